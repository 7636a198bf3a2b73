import {
  generatorInfo,
  generatorNames,
  type GeneratorInfo,
  type GeneratorName,
  type Manifest,
  type SamplerSettings,
} from '../../lib/manifest';
import { MAX_SEED } from '../../lib/noise';

export type Mix = { name: string; weight: number }[];

/** All that decides the pixels, and the number of pictures; links to the page hold it. */
export interface Settings {
  model: GeneratorName;
  mix: Mix;
  seed: number;
  sampler: SamplerSettings;
  count: number;
  /** The number of the first picture: with count 1, one picture of a seed alone. */
  first: number;
  /** A walk from mix and seed to these, with this number of frames. */
  walk: { mix: Mix; seed: number; frames: number } | null;
}

type Limits = readonly [number, number];

export const LIMITS = { count: [1, 12], first: [0, 11], frames: [2, 24] } as const;

/** In a link: the pictures are made at once, without a click. */
export const START_PARAM = 'start';

export type SamplerKey = keyof SamplerSettings;
export type SamplerControl = { label: string } & ({ limits: Limits; step: number } | { choices: Record<string, string> });

/** How each setting of the sampler is set on the page: the form, the links and their limits follow this table. */
const CONTROLS: Record<SamplerKey, SamplerControl> = {
  steps: { label: 'Steps', limits: [1, 100], step: 1 },
  guidance: { label: 'Guidance', limits: [0, 10], step: 0.1 },
  guidance_low: { label: 'Guided from (0 is noise)', limits: [0, 1], step: 0.05 },
  guidance_high: { label: 'Guided until (1 is the picture)', limits: [0, 1], step: 0.05 },
  method: { label: 'Method', choices: { euler: 'Euler', heun: 'Heun' } },
};

/** The controls of a generator; a few-step student has all but its steps built in. */
export function controlsOf({ few_step, sampler }: GeneratorInfo): [SamplerKey, SamplerControl][] {
  if (few_step) return [['steps', { label: 'Steps', limits: [1, 2 * sampler.steps], step: 1 }]];
  return Object.entries(CONTROLS) as [SamplerKey, SamplerControl][];
}

function clamp(value: number, [low, high]: Limits): number {
  return Math.min(high, Math.max(low, value));
}

function numberOf(text: string | null, usual: number, limits: Limits): number {
  const value = text?.trim() ? Number(text) : NaN;
  return Number.isFinite(value) ? clamp(value, limits) : usual;
}

function integerOf(text: string | null, usual: number, limits: Limits): number {
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

/** The generators' names in links. */
const MODEL_PARAMS: Record<GeneratorName, string> = { student: 'student', generator: 'teacher' };

function samplerOf(params: URLSearchParams, info: GeneratorInfo): SamplerSettings {
  const said = controlsOf(info).map(([key, control]) => {
    const [text, usual] = [params.get(key), info.sampler[key]];
    if ('choices' in control) return [key, text !== null && Object.hasOwn(control.choices, text) ? text : usual];
    return [key, (control.step === 1 ? integerOf : numberOf)(text, usual as number, control.limits)];
  });
  return { ...info.sampler, ...Object.fromEntries(said) };
}

/** The settings in a link; what is missing or wrong in it is as published. */
export function parseSettings(params: URLSearchParams, manifest: Manifest): Settings {
  const names = generatorNames(manifest);
  const model = names.find((name) => MODEL_PARAMS[name] === params.get('model')) ?? names[0]!;
  const info = generatorInfo(manifest, model);
  const { classes } = info;
  return {
    model,
    mix: mixOf(params.get('class'), classes, classes[0]!),
    seed: parseSeed(params.get('seed') ?? '') ?? 1,
    sampler: samplerOf(params, info),
    count: integerOf(params.get('count'), 4, LIMITS.count),
    first: integerOf(params.get('first'), 0, LIMITS.first),
    walk: params.has('to')
      ? {
          mix: mixOf(params.get('to'), classes, classes[1] ?? classes[0]!),
          seed: parseSeed(params.get('toSeed') ?? '') ?? 2,
          frames: integerOf(params.get('frames'), 8, LIMITS.frames),
        }
      : null,
  };
}

export function settingsParams({ model, mix, seed, sampler, count, first, walk }: Settings, manifest: Manifest): URLSearchParams {
  const controls = controlsOf(generatorInfo(manifest, model));
  return new URLSearchParams({
    model: MODEL_PARAMS[model],
    class: mixText(mix),
    seed: String(seed),
    ...Object.fromEntries(controls.map(([key]) => [key, String(sampler[key])])),
    ...(walk
      ? { to: mixText(walk.mix), toSeed: String(walk.seed), frames: String(walk.frames) }
      : { count: String(count), ...(first > 0 && { first: String(first) }) }),
  });
}

/** The classes' shares as the generator takes them, [K + 1]; the last is the null class. */
export function classWeights(mix: Mix, classes: readonly string[]): Float32Array {
  const total = mix.reduce((sum, { weight }) => sum + weight, 0);
  const weights = new Float32Array(classes.length + 1);
  for (const { name, weight } of mix) weights[classes.indexOf(name)]! += weight / total;
  return weights;
}

/** Those that make one picture alone; a walk as it is. */
export function settingsOfOne(settings: Settings, number: number): Settings {
  return settings.walk ? settings : { ...settings, first: number, count: 1 };
}
