import type { InferenceSession, Tensor } from 'onnxruntime-web/wasm';
import { download, sourcesOf } from '../lib/download';
import {
  fileOf,
  generatorInfo,
  modelFile,
  type GeneratorName,
  type Manifest,
  type ModelName,
  type Precision,
} from '../lib/manifest';
import { Cancelled, sample, type Denoise } from '../lib/sampler';
import { readPicture } from './picture';
import type {
  CheckResult,
  ClassifyResult,
  Device,
  FromPage,
  FromWorker,
  GenerateRequest,
  GenerateResult,
  Operations,
  Request,
} from './protocol';
import { startRuntime, wasmBytes, type Runtime } from './runtime';

interface Session {
  session: InferenceSession;
  loadMs: number;
  bytes: number;
}

function listen(): void {
  const cancelled = new Set<number>();
  const inference = new Inference(post);
  let queue = Promise.resolve(); // a session runs one thing at a time
  self.onmessage = ({ data }: MessageEvent<FromPage>) => {
    if (data.operation === 'cancel') {
      cancelled.add(data.id);
      return;
    }
    queue = queue.then(async () => {
      try {
        const stop = () => cancelled.has(data.id);
        if (stop()) throw new Cancelled();
        const { result, transfer } = await inference.handle(data, stop);
        post({ kind: 'result', id: data.id, result }, transfer);
      } catch (error) {
        const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
        post({ kind: 'error', id: data.id, name, message });
      } finally {
        cancelled.delete(data.id);
      }
    });
  };
}

function post(message: FromWorker, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

class Inference {
  private ort!: Runtime;
  private device!: Device;
  private manifest!: Manifest;
  private folder = '';
  private head: Float32Array | null = null;
  private readonly sessions = new Map<string, Promise<Session>>();
  private readonly post: typeof post;

  constructor(posting: typeof post) {
    this.post = posting;
  }

  async handle(
    { id, operation, payload }: Request,
    stop: () => boolean,
  ): Promise<{ result: Operations[Request['operation']]['result']; transfer: Transferable[] }> {
    switch (operation) {
      case 'start':
        return { result: await this.start(payload), transfer: [] };
      case 'load': {
        const { loadMs, bytes } = await this.session(payload.model, payload.precision);
        if (payload.model === 'classifier') await this.headWeights();
        return { result: { loadMs, bytes }, transfer: [] };
      }
      case 'classify': {
        const result = await this.classify(payload.picture, payload.precision);
        return { result, transfer: [result.thumbnail] };
      }
      case 'generate': {
        const onStep = (step: number, state: Float32Array) => this.post({ kind: 'step', id, step, state });
        return { result: await this.generate(payload, onStep, stop), transfer: [] };
      }
      case 'memory':
        return { result: { bytes: wasmBytes() }, transfer: [] };
      case 'check':
        return { result: await this.check(payload.model, payload.precision, stop), transfer: [] };
    }
  }

  private async start({ choice, manifest, folder }: Operations['start']['request']): Promise<Device> {
    this.manifest = manifest;
    this.folder = folder;
    const { ort, device } = await startRuntime(choice, (progress) => this.post({ kind: 'progress', progress }));
    this.ort = ort;
    this.device = device;
    return device;
  }

  private fetch(path: string): Promise<ArrayBuffer> {
    return download(fileOf(this.manifest, path), sourcesOf(this.manifest, this.folder, path), {
      onProgress: (progress) => this.post({ kind: 'progress', progress }),
      onNotice: (notice) => this.post({ kind: 'notice', notice }),
    });
  }

  private session(model: ModelName, precision: Precision): Promise<Session> {
    const key = `${model} ${precision}`;
    let found = this.sessions.get(key);
    if (!found) {
      found = this.open(model, precision);
      this.sessions.set(key, found);
      found.catch(() => this.sessions.delete(key)); // the next call tries again
    }
    return found;
  }

  private async open(model: ModelName, precision: Precision): Promise<Session> {
    const { path, bytes } = modelFile(this.manifest, model, precision);
    const content = await this.fetch(path);
    const start = performance.now();
    const session = await this.ort.InferenceSession.create(new Uint8Array(content), {
      executionProviders: [this.device.backend],
    });
    return { session, bytes, loadMs: performance.now() - start };
  }

  private async headWeights(): Promise<Float32Array> {
    return (this.head ??= new Float32Array(await this.fetch(this.manifest.classifier.head.path)));
  }

  private async classify(picture: Blob, precision: Precision): Promise<ClassifyResult> {
    const { session } = await this.session('classifier', precision);
    const head = await this.headWeights();
    const { image_size: size, crop_size: seen = size, input_convention: convention } = this.manifest.classifier;
    const start = performance.now();
    const { input, thumbnail } = await readPicture(picture, size, convention?.fit ?? 'crop');
    const sessionStart = performance.now();
    const images = new this.ort.Tensor('uint8', input.data, [1, size, size, 3]);
    const outputs = await session.run({ images });
    const end = performance.now();
    const features = outputs.features as Tensor;
    const [, channels, height, width] = features.dims as [number, number, number, number];
    return {
      probabilities: (await outputs.probabilities!.getData()) as Float32Array,
      distance: outputs.distance ? ((await outputs.distance.getData()) as Float32Array)[0]! : null,
      features: (await features.getData()) as Float32Array,
      featureShape: { channels, height, width },
      seen: seen / size,
      head,
      input: input.data,
      size,
      thumbnail,
      sessionMs: end - sessionStart,
      totalMs: end - start,
    };
  }

  private async generate(
    { model, precision, noise, classWeights, settings }: GenerateRequest,
    onStep: (step: number, state: Float32Array) => void,
    stop: () => boolean,
  ): Promise<GenerateResult> {
    const { denoise, runMs } = await this.denoiser(model, precision);
    const start = performance.now();
    const { few_step } = generatorInfo(this.manifest, model);
    const picture = await sample(denoise, noise, classWeights, 1, { ...settings, few_step }, async (step, state) => {
      onStep(step, state);
      await nextTask(); // lets a message to cancel in
      if (stop()) throw new Cancelled();
    });
    return { picture, runs: runMs.length, runMs, totalMs: performance.now() - start };
  }

  private async denoiser(model: GeneratorName, precision: Precision): Promise<{ denoise: Denoise; runMs: number[] }> {
    const { session } = await this.session(model, precision);
    const size = generatorInfo(this.manifest, model).image_size;
    const { Tensor: OrtTensor } = this.ort;
    const runMs: number[] = [];
    const denoise: Denoise = async (x, t, h, weights, batch) => {
      const start = performance.now();
      const outputs = await session.run({
        x: new OrtTensor('float32', x, [batch, 3, size, size]),
        t: new OrtTensor('float32', new Float32Array(batch).fill(t), [batch]),
        h: new OrtTensor('float32', new Float32Array(batch).fill(h), [batch]),
        class_weights: new OrtTensor('float32', weights, [batch, weights.length / batch]),
      });
      const prediction = (await outputs.prediction!.getData()) as Float32Array;
      runMs.push(performance.now() - start);
      return prediction;
    };
    return { denoise, runMs };
  }

  /** The pipeline's own run of the sampler, repeated here: a golden file has its noise and the state after every step. */
  private async check(model: GeneratorName, precision: Precision, stop: () => boolean): Promise<CheckResult> {
    const { denoise, runMs } = await this.denoiser(model, precision);
    const { golden: path, few_step } = generatorInfo(this.manifest, model);
    const golden = JSON.parse(new TextDecoder().decode(await this.fetch(path)));
    const noise = decodeTensor(golden.tensors.noise.base64);
    const states = decodeTensor(golden.tensors.states.base64);
    const n = golden.tensors.noise.shape[0] as number;
    const maxAbsDiff: number[] = [];
    const weights = decodeTensor(golden.tensors.class_weights.base64);
    await sample(denoise, noise, weights, n, { ...golden.sampler, few_step }, async (step, state) => {
      const expected = states.subarray(step * state.length, (step + 1) * state.length);
      maxAbsDiff.push(state.reduce((largest, value, i) => Math.max(largest, Math.abs(value - expected[i]!)), 0));
      await nextTask();
      if (stop()) throw new Cancelled();
    });
    return { maxAbsDiff, runs: runMs.length };
  }
}

function decodeTensor(base64: string): Float32Array {
  return new Float32Array(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).buffer);
}

/** Resolves in a task of its own, after messages that wait; a resolved promise would not let them in. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

// ONNX Runtime starts its threads as workers of the same file: those must not listen here.
if (!self.name.startsWith('em-pthread')) listen();
