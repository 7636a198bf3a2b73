import { expect, test } from 'vitest';
import type { SamplerSettings } from './manifest';
import { Cancelled, sample, sessionRuns, times, toRgba } from './sampler';

const SETTINGS: SamplerSettings = { method: 'euler', steps: 5, guidance: 1, guidance_low: 0, guidance_high: 1 };
const PLAIN = { ...SETTINGS, few_step: false };
const NOISE = Float32Array.of(1, -0.5, 0.25, 2);
const WEIGHTS = Float32Array.of(1, 0, 0);

test('times are those of torch.linspace, also where it rounds another way than i / steps', () => {
  expect(times(20)[11]).toBe(0.5499999999999999);
  expect(times(20)[3]).toBe(0.15000000000000002);
  expect(times(10)[9]).toBe(0.9);
});

test.each(['euler', 'heun'] as const)('%s goes straight to a prediction that does not move', async (method) => {
  const target = Float32Array.of(0.5, -1, 0, 0.75);
  const picture = await sample(async () => target, NOISE, WEIGHTS, 1, { ...PLAIN, method });
  picture.forEach((value, i) => expect(value).toBeCloseTo(target[i]!, 5));
});

test('euler follows its recursion, with the state after every step shown', async () => {
  const states: number[] = [];
  await sample(
    async (x) => x.map((value) => value * 0.5),
    NOISE,
    WEIGHTS,
    1,
    PLAIN,
    (_, z) => void states.push(z[3]!),
  );
  let z = 2;
  const expected = [0, 0.2, 0.4, 0.6, 0.8].map((t) => (z += (0.2 * (0.5 * z - z)) / (1 - t)));
  states.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5));
});

test('guidance runs class and null class as one batch, inside its interval alone', async () => {
  const settings = { ...PLAIN, guidance: 3, guidance_low: 0.2, guidance_high: 0.6 };
  const batches: number[] = [];
  const seen: number[][] = [];
  const denoise = async (x: Float32Array, _t: number, _h: number, weights: Float32Array, batch: number) => {
    batches.push(batch);
    if (batch === 2) seen.push([...weights]);
    return x.map((_, i) => (i < 4 ? 0.3 : 0.1)); // class, null
  };
  const picture = await sample(denoise, NOISE, WEIGHTS, 1, { ...settings, guidance_high: 2 });
  expect(picture[0]).toBeCloseTo(0.1 + 3 * 0.2, 5);
  batches.length = 0;
  await sample(denoise, NOISE, WEIGHTS, 1, settings);
  expect(batches).toEqual([1, 2, 2, 1, 1]);
  expect(seen[0]).toEqual([1, 0, 0, 0, 0, 1]);
});

test.each(['euler', 'heun'] as const)('the number of session runs of %s is as said', async (method) => {
  let runs = 0;
  const denoise = async (x: Float32Array) => {
    runs++;
    return x;
  };
  await sample(denoise, NOISE, WEIGHTS, 1, { ...PLAIN, method });
  expect(runs).toBe(sessionRuns({ ...PLAIN, method }));
});

test.each([
  { few_step: false, lengths: [0, 0, 0, 0] },
  { few_step: true, lengths: [0.25, 0.25, 0.25, 0.25] },
])('few_step: $few_step tells the model that steps are $lengths long', async ({ few_step, lengths }) => {
  const told: number[] = [];
  const denoise = async (x: Float32Array, _t: number, h: number) => {
    told.push(h);
    return x;
  };
  await sample(denoise, NOISE, WEIGHTS, 1, { ...PLAIN, steps: 4, few_step });
  expect(told).toEqual(lengths);
});

test('a step may cancel', async () => {
  const steps: number[] = [];
  const run = sample(
    async (x) => x,
    NOISE,
    WEIGHTS,
    1,
    PLAIN,
    (step) => {
      steps.push(step);
      if (step === 1) throw new Cancelled();
    },
  );
  await expect(run).rejects.toBeInstanceOf(Cancelled);
  expect(steps).toEqual([0, 1]);
});

test('planes become pixels as the pipeline rounds them', () => {
  expect([...toRgba(Float32Array.of(-1, 0, 1), 1)]).toEqual([0, 128, 255, 255]);
});
