import { Engine } from '../../lib/engine';
import {
  generatorInfo,
  modelFile,
  type GeneratorName,
  type Manifest,
  type ModelName,
  type Precision,
  type SamplerSettings,
} from '../../lib/manifest';
import { gaussianNoise } from '../../lib/noise';
import { Cancelled } from '../../lib/sampler';
import { summarize, type Summary } from '../../lib/stats';
import type { Device, DeviceChoice } from '../../worker/protocol';
import { classWeights } from '../generate/settings';

export interface Plan {
  models: ModelName[];
  choice: DeviceChoice;
  precision: Precision;
  warmup: number;
  runs: number;
  /** Of each generator in `models`. */
  samplers: Partial<Record<GeneratorName, SamplerSettings>>;
}

export interface Machine {
  user_agent: string;
  cores: number;
  memory_gb: number | null;
  cross_origin_isolated: boolean;
}

export interface ModelResult {
  model: ModelName;
  precision: Precision;
  /** null for the classifier. */
  sampler: SamplerSettings | null;
  bytes: number;
  /** Time to create the session, without the download. */
  load_ms: number;
  /** classifier: from the file to the answer; generator: a whole picture. In order. */
  samples_ms: number[];
  /** The sessions' share of each sample. */
  session_ms: number[];
  /** Session runs in each sample. */
  session_runs: number;
  summary_ms: Summary;
  images_per_second: number;
}

export interface Report {
  format: 'tinycats-benchmark-3';
  date: string;
  machine: Machine;
  device: Device;
  published: { name: string; revision: string | null };
  settings: { warmup: number; runs: number };
  results: ModelResult[];
  /** Allocated by ONNX Runtime, models included. */
  runtime_memory_bytes: number;
  /** Of the page and its workers; null if the browser does not tell. */
  memory_bytes: number | null;
}

export interface Progress {
  model: ModelName;
  done: number;
  of: number;
}

function machine(): Machine {
  return {
    user_agent: navigator.userAgent,
    cores: navigator.hardwareConcurrency,
    memory_gb: (navigator as { deviceMemory?: number }).deviceMemory ?? null,
    cross_origin_isolated: self.crossOriginIsolated,
  };
}

/** Runs the plan on `engine`. Rejects with Cancelled if the signal ended it. */
export async function measure(
  plan: Plan,
  engine: Engine,
  manifest: Manifest,
  picture: Blob,
  signal: AbortSignal,
  onProgress: (progress: Progress) => void,
): Promise<Report> {
  const device = await engine.start();
  let wholePage: Promise<number | null> = Promise.resolve(null);
  const results: ModelResult[] = [];
  for (const model of plan.models) {
    const { loadMs } = await engine.call('load', { model, precision: plan.precision }, { signal });
    const sampler = model === 'classifier' ? null : plan.samplers[model]!;
    const once = model === 'classifier' ? () => classifyOnce() : (index: number) => generateOnce(model, index);
    const samples: number[] = [];
    const sessions: number[] = [];
    let sessionRuns = 0;
    for (let i = 0; i < plan.warmup + plan.runs; i++) {
      if (signal.aborted) throw new Cancelled();
      onProgress({ model, done: i, of: plan.warmup + plan.runs });
      if (model === plan.models.at(-1) && i === plan.warmup) wholePage = pageMemory(); // all models are loaded
      const start = performance.now();
      const { sessionMs, runs } = await once(i);
      const took = performance.now() - start;
      if (i < plan.warmup) continue;
      samples.push(took);
      sessions.push(sessionMs);
      sessionRuns = runs;
    }
    const summary = summarize(samples);
    results.push({
      model,
      precision: plan.precision,
      sampler,
      bytes: modelFile(manifest, model, plan.precision).bytes,
      load_ms: loadMs,
      samples_ms: samples,
      session_ms: sessions,
      session_runs: sessionRuns,
      summary_ms: summary,
      images_per_second: 1000 / summary.mean,
    });
  }
  return {
    format: 'tinycats-benchmark-3',
    date: new Date().toISOString(),
    machine: machine(),
    device,
    published: { name: manifest.name, revision: manifest.revision },
    settings: { warmup: plan.warmup, runs: plan.runs },
    results,
    runtime_memory_bytes: (await engine.call('memory', {})).bytes,
    memory_bytes: await Promise.race([wholePage, afterwards(PATIENCE_MS)]),
  };

  async function classifyOnce() {
    const { sessionMs, thumbnail } = await engine.call('classify', { picture, precision: plan.precision }, { signal });
    thumbnail.close();
    return { sessionMs, runs: 1 };
  }

  async function generateOnce(model: GeneratorName, index: number) {
    const { classes, image_size } = generatorInfo(manifest, model);
    const name = classes[index % classes.length]!;
    const { runMs, runs } = await engine.call(
      'generate',
      {
        model,
        precision: plan.precision,
        noise: gaussianNoise(index, 0, 3 * image_size ** 2),
        classWeights: classWeights([{ name, weight: 1 }], classes),
        settings: plan.samplers[model]!,
      },
      { signal },
    );
    return { sessionMs: runMs.reduce((sum, value) => sum + value, 0), runs };
  }
}

const PATIENCE_MS = 1000; // the browser waits for a garbage collection, which may take longer than all runs

function afterwards(ms: number): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), ms));
}

async function pageMemory(): Promise<number | null> {
  const ask = (performance as { measureUserAgentSpecificMemory?: () => Promise<{ bytes: number }> })
    .measureUserAgentSpecificMemory;
  if (!ask || !self.crossOriginIsolated) return null;
  try {
    return (await ask.call(performance)).bytes;
  } catch {
    return null;
  }
}
