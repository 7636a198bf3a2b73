import type { Manifest, SamplerSettings } from '../../lib/manifest';
import { MAX_SEED } from '../../lib/noise';

export type Mix = { name: string; weight: number }[];

/** All that decides the pixels, and how many pictures; the link to the page holds it. */
export interface Settings {
  mix: Mix;
  seed: number;
  steps: number;
  guidance: number;
  method: SamplerSettings['method'];
  count: number;
  /** A walk from mix and seed to these, in so many frames. */
  walk: { mix: Mix; seed: number; frames: number } | null;
}

export const LIMITS = { steps: [1, 100], guidance: [0, 10], count: [1, 12], frames: [2, 24] } as const;

function clamp(value: number, [low, high]: readonly [number, number]): number {
  return Math.min(high, Math.max(low, value));
}

function numberOf(text: string | null, usual: number, limits: readonly [number, number]): number {
  const value = text?.trim() ? Number(text) : NaN;
  return Number.isFinite(value) ? clamp(value, limits) : usual;
}

function integerOf(text: string | null, usual: number, limits: readonly [number, number]): number {
  return Math.round(numberOf(text, usual, limits));
}

export function parseSeed(text: string): number | null {
  return /^\d{1,10}$/.test(text.trim()) && Number(text) <= MAX_SEED ? Number(text) : null;
}

function mixOf(text: string | null, classes: readonly string[], usual: string): Mix {
  const entries = (text ?? '').split(',').flatMap((part) => {
    const [name = '', weight = '1'] = part.split(':');
    const value = Number(weight);
    return classes.includes(name) && value > 0 && value <= 100 ? [{ name, weight: value }] : [];
  });
  const known = entries.filter(({ name }, i) => entries.findIndex((other) => other.name === name) === i);
  return known.length ? known : [{ name: usual, weight: 1 }];
}

function mixText(mix: Mix): string {
  return mix.length === 1 ? mix[0]!.name : mix.map(({ name, weight }) => `${name}:${weight}`).join(',');
}

/** What an address says; what it does not say, or says wrong, is as the pipeline's sampler has it. */
export function parseSettings(params: URLSearchParams, { generator, sampler }: Manifest): Settings {
  const { classes } = generator;
  return {
    mix: mixOf(params.get('class'), classes, classes[0]!),
    seed: parseSeed(params.get('seed') ?? '') ?? 1,
    steps: integerOf(params.get('steps'), sampler.steps, LIMITS.steps),
    guidance: numberOf(params.get('guidance'), sampler.guidance, LIMITS.guidance),
    method: params.get('method') === 'heun' ? 'heun' : params.get('method') === 'euler' ? 'euler' : sampler.method,
    count: integerOf(params.get('count'), 4, LIMITS.count),
    walk: params.has('to')
      ? {
          mix: mixOf(params.get('to'), classes, classes[1] ?? classes[0]!),
          seed: parseSeed(params.get('toSeed') ?? '') ?? 2,
          frames: integerOf(params.get('frames'), 8, LIMITS.frames),
        }
      : null,
  };
}

export function settingsParams({ mix, seed, steps, guidance, method, count, walk }: Settings): URLSearchParams {
  return new URLSearchParams({
    class: mixText(mix),
    seed: String(seed),
    steps: String(steps),
    guidance: String(guidance),
    method,
    ...(walk ? { to: mixText(walk.mix), toSeed: String(walk.seed), frames: String(walk.frames) } : { count: String(count) }),
  });
}

/** Shares of the classes as the generator takes them, [K + 1]; the last is the null class. */
export function classWeights(mix: Mix, classes: readonly string[]): Float32Array {
  const total = mix.reduce((sum, { weight }) => sum + weight, 0);
  const weights = new Float32Array(classes.length + 1);
  for (const { name, weight } of mix) weights[classes.indexOf(name)]! += weight / total;
  return weights;
}
