import type { SamplerSettings } from './manifest';

/**
 * The predicted pictures [batch, D] of states x [batch, D] at time t, for class weights [batch, K + 1]; `h` is the length
 * of the step that the prediction is for, 0 where the model knows none.
 */
export type Denoise = (x: Float32Array, t: number, h: number, classWeights: Float32Array, batch: number) => Promise<Float32Array>;

export class Cancelled extends Error {
  override name = 'Cancelled';
}

/** Session runs that a picture takes; a guided run holds two network evaluations as a batch. */
export function sessionRuns({ method, steps }: SamplerSettings): number {
  return method === 'heun' ? 2 * steps - 1 : steps;
}

/** steps + 1 times from 0 to 1, as torch.linspace in float64 rounds them: from the nearer end, with one rounding. */
export function times(steps: number): number[] {
  const step = 1 / steps;
  return Array.from({ length: steps + 1 }, (_, i) => (i < (steps + 1) / 2 ? step * i : oneMinusProduct(step, steps - i)));
}

/** 1 - a b rounded once (a fused multiply-add), for a in (0, 1] and a small integer b. */
function oneMinusProduct(a: number, b: number): number {
  const product = a * b;
  const high = Math.fround(a);
  const error = high * b - product + (a - high) * b; // exact: both products fit into 53 bits
  const difference = 1 - product;
  const lost = 1 - difference - product;
  return difference + (lost - error);
}

/**
 * From noise at t=0 to pictures at t=1 along the probability flow, with classifier-free guidance: the arithmetic of
 * tinycats/models/sampler.py in float32. A few-step student is told the length of its step. `noise` is [n, D],
 * `classWeights` [n, K + 1], whose last column is the null class.
 * `onStep(i, state)` sees the state after step i and may throw Cancelled. The result is clipped to [-1, 1].
 */
export async function sample(
  denoise: Denoise,
  noise: Float32Array,
  classWeights: Float32Array,
  n: number,
  settings: SamplerSettings & { few_step: boolean },
  onStep: (step: number, state: Float32Array) => Promise<void> | void = () => undefined,
): Promise<Float32Array> {
  const moments = times(settings.steps);
  let z = noise;
  for (let i = 0; i < settings.steps; i++) {
    const t = moments[i]!;
    const next = moments[i + 1]!;
    const h = settings.few_step ? next - t : 0;
    const predicted = await predict(denoise, z, t, h, classWeights, n, settings);
    const velocity = velocityOf(predicted, z, t);
    let zNext = advance(z, velocity, next - t);
    if (settings.method === 'heun' && i + 1 < settings.steps) {
      const corrected = velocityOf(await predict(denoise, zNext, next, h, classWeights, n, settings), zNext, next);
      for (let j = 0; j < corrected.length; j++) velocity[j] = (velocity[j]! + corrected[j]!) / 2;
      zNext = advance(z, velocity, next - t);
    }
    z = zNext;
    await onStep(i, z);
  }
  return z.map((value) => Math.min(1, Math.max(-1, value)));
}

function velocityOf(predicted: Float32Array, z: Float32Array, t: number): Float32Array {
  const rest = 1 - t;
  return predicted.map((value, j) => Math.fround(value - z[j]!) / rest);
}

function advance(z: Float32Array, velocity: Float32Array, dt: number): Float32Array {
  return z.map((value, j) => value + Math.fround(dt * velocity[j]!));
}

async function predict(
  denoise: Denoise,
  z: Float32Array,
  t: number,
  h: number,
  classWeights: Float32Array,
  n: number,
  { guidance, guidance_low, guidance_high }: SamplerSettings,
): Promise<Float32Array> {
  if (guidance === 1 || t < guidance_low || t >= guidance_high) return denoise(z, t, h, classWeights, n);
  const columns = classWeights.length / n;
  const twice = new Float32Array(2 * z.length);
  twice.set(z);
  twice.set(z, z.length);
  const weights = new Float32Array(2 * classWeights.length);
  weights.set(classWeights);
  for (let row = n; row < 2 * n; row++) weights[row * columns + columns - 1] = 1;
  const both = await denoise(twice, t, h, weights, 2 * n);
  const free = both.subarray(z.length);
  return z.map((_, j) => free[j]! + Math.fround(guidance * Math.fround(both[j]! - free[j]!)));
}

/** Planes [3, S, S] in [-1, 1] to the RGBA of a canvas. */
export function toRgba(picture: Float32Array, size: number): Uint8ClampedArray<ArrayBuffer> {
  const plane = size * size;
  const out = new Uint8ClampedArray(plane * 4);
  for (let i = 0; i < plane; i++) {
    for (let channel = 0; channel < 3; channel++) {
      out[i * 4 + channel] = (picture[channel * plane + i]! + 1) * 127.5; // the array rounds half to even, and clips
    }
    out[i * 4 + 3] = 255;
  }
  return out;
}
