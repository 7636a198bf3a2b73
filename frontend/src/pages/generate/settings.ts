import { generatorInfo, generatorNames, type GeneratorName, type Manifest, type SamplerSettings } from '../../lib/manifest';
import { MAX_SEED } from '../../lib/noise';

export type Mix = { name: string; weight: number }[];

/** All that decides the pixels, and how many pictures; the link to the page holds it. */
export interface Settings {
  model: GeneratorName;
  mix: Mix;
  seed: number;
  steps: number;
  /** Of the teacher alone, as the method: the student has its guidance built in. */
  guidance: number;
  method: SamplerSettings['method'];
  count: number;
  /** A walk from mix and seed to these, in so many frames. */
  walk: { mix: Mix; seed: number; frames: number } | null;
}

export const LIMITS = {
  steps: { generator: [1, 100], generator_fast: [1, 8] },
  guidance: [0, 10],
  count: [1, 12],
  frames: [2, 24],
} as const;

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

/** The names of the generators in an address. */
const MODEL_PARAMS: Record<GeneratorName, string> = { generator_fast: 'fast', generator: 'teacher' };

/** Steps, guidance and method as the pipeline has them for a generator. */
export function usualSettings(
  manifest: Manifest,
  model: GeneratorName,
): Pick<Settings, 'model' | 'steps' | 'guidance' | 'method'> {
  const { steps, guidance, method } = generatorInfo(manifest, model).sampler;
  return { model, steps, guidance, method };
}

/** All that the sampler needs to know. */
export function samplerOf({ model, steps, guidance, method }: Settings, manifest: Manifest): SamplerSettings {
  return { ...generatorInfo(manifest, model).sampler, steps, guidance, method };
}

/** What an address says; what it does not say, or says wrong, is as the pipeline's sampler has it. */
export function parseSettings(params: URLSearchParams, manifest: Manifest): Settings {
  const names = generatorNames(manifest);
  const model = names.find((name) => MODEL_PARAMS[name] === params.get('model')) ?? names[0]!;
  const { classes } = generatorInfo(manifest, model);
  const usual = usualSettings(manifest, model);
  const method = params.get('method');
  return {
    ...usual,
    mix: mixOf(params.get('class'), classes, classes[0]!),
    seed: parseSeed(params.get('seed') ?? '') ?? 1,
    steps: integerOf(params.get('steps'), usual.steps, LIMITS.steps[model]),
    ...(model === 'generator' && {
      guidance: numberOf(params.get('guidance'), usual.guidance, LIMITS.guidance),
      method: method === 'heun' || method === 'euler' ? method : usual.method,
    }),
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

export function settingsParams({ model, mix, seed, steps, guidance, method, count, walk }: Settings): URLSearchParams {
  return new URLSearchParams({
    model: MODEL_PARAMS[model],
    class: mixText(mix),
    seed: String(seed),
    steps: String(steps),
    ...(model === 'generator' && { guidance: String(guidance), method }),
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
