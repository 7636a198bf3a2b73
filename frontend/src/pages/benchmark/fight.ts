import { Engine } from '../../lib/engine';
import { UserError } from '../../lib/errors';
import { generatorInfo, loadManifest, modelFile, type GeneratorName, type Manifest, type Precision } from '../../lib/manifest';
import { gaussianNoise } from '../../lib/noise';
import { toRgba } from '../../lib/sampler';
import type { DeviceChoice } from '../../worker/protocol';
import { classWeights } from '../generate/settings';

export interface Fighter {
  manifest: Manifest;
  model: GeneratorName;
  precision: Precision;
  steps: number;
  /** Calls of session.run. */
  runs: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
  size: number;
  bytes: number;
  ms: number;
  /** Measured by the pipeline for this version and precision. */
  fd: number | null;
  top1: number | null;
}

interface Call {
  folder: string;
  model: GeneratorName;
  precision: Precision;
  choice: DeviceChoice;
  name: string;
  seed: number;
  signal: AbortSignal;
  onEngine: (engine: Engine) => void;
}

/** One picture of a published version, made by its own engine. */
export async function fight({ folder, model, precision, choice, name, seed, signal, onEngine }: Call): Promise<Fighter> {
  const address = folder.endsWith('/') ? folder : `${folder}/`;
  if (!URL.canParse(address)) throw new UserError(`${folder} is not an address; enter one such as https://example.org/models/`);
  const manifest = await loadManifest(address);
  const { classes, image_size: size, sampler } = generatorInfo(manifest, model);
  if (!classes.includes(name)) throw new UserError(`The version at ${folder} has no class ${name}; choose another class.`);
  const engine = new Engine(choice, manifest, address);
  onEngine(engine);
  try {
    await engine.call('load', { model, precision }, { signal });
    const result = await engine.call(
      'generate',
      {
        model,
        precision,
        noise: gaussianNoise(seed, 0, 3 * size ** 2),
        classWeights: classWeights([{ name, weight: 1 }], classes),
        settings: sampler,
      },
      { signal },
    );
    return {
      manifest,
      model,
      precision,
      steps: sampler.steps,
      runs: result.runs,
      rgba: toRgba(result.picture, size),
      size,
      bytes: modelFile(manifest, model, precision).bytes,
      ms: result.totalMs,
      fd: published(manifest, model, precision === 'fp32' ? /^fd_.+_before$/ : /^fd_.+_after$/),
      top1: published(manifest, 'classifier', precision === 'fp32' ? /^top1_before$/ : /^top1_after$/),
    };
  } finally {
    engine.dispose();
  }
}

/** What the quantize stage measured under a key; that of a distance has the name of its features. */
function published(manifest: Manifest, model: string, key: RegExp): number | null {
  const quantize = manifest.metrics.quantize as Record<string, Record<string, unknown> | undefined> | undefined;
  const value = Object.entries(quantize?.[model] ?? {}).find(([name]) => key.test(name))?.[1];
  return typeof value === 'number' ? value : null;
}

/** Four times the difference of each channel, and its mean on 0..255; null where the sizes differ. */
export function difference(a: Fighter, b: Fighter): { rgba: Uint8ClampedArray<ArrayBuffer>; mean: number } | null {
  if (a.size !== b.size) return null;
  let sum = 0;
  const rgba = a.rgba.map((value, i) => {
    if (i % 4 === 3) return 255;
    const apart = Math.abs(value - b.rgba[i]!);
    sum += apart;
    return Math.min(255, 4 * apart);
  });
  return { rgba, mean: sum / (3 * a.size ** 2) };
}
