import type { Progress } from '../lib/download';
import type { GeneratorName, Manifest, ModelName, Precision, SamplerSettings } from '../lib/manifest';

export type Backend = 'wasm' | 'webgpu';

export interface DeviceChoice {
  backend: Backend;
  threads: number;
}

/** What really runs, as ONNX Runtime says after its start; `reason` if it is not what was chosen. */
export interface Device {
  backend: Backend;
  threads: number;
  adapter: string | null;
  reason: string | null;
}

export interface ClassifyResult {
  probabilities: Float32Array;
  /** To the training pictures; null where the model does not measure it, as early versions. */
  distance: number | null;
  /** Last feature map [channels, height, width] and the head's weights [classes, channels]: the heat map's two factors. */
  features: Float32Array;
  featureShape: { channels: number; height: number; width: number };
  /** The share of the picture's side, around its middle, that the features are of. */
  seen: number;
  head: Float32Array;
  /** What the model saw: RGB, size x size. */
  input: Uint8Array;
  size: number;
  /** The middle square of the upright picture, for showing. */
  thumbnail: ImageBitmap;
  sessionMs: number;
  /** From the file to the answer, in the worker: decoding, resampling, session. */
  totalMs: number;
}

export interface GenerateRequest {
  model: GeneratorName;
  precision: Precision;
  noise: Float32Array;
  /** [K + 1], the last for the null class. */
  classWeights: Float32Array;
  settings: SamplerSettings;
}

export interface GenerateResult {
  picture: Float32Array;
  /** Calls of session.run, counted. */
  runs: number;
  /** Time of each of them. */
  runMs: number[];
  totalMs: number;
}

export interface CheckResult {
  /** Largest difference from the pipeline's states, after each step, over all pictures. */
  maxAbsDiff: number[];
  runs: number;
}

export interface Operations {
  start: { request: { choice: DeviceChoice; manifest: Manifest; folder: string }; result: Device };
  load: { request: { model: ModelName; precision: Precision }; result: { loadMs: number; bytes: number } };
  classify: { request: { picture: Blob; precision: Precision }; result: ClassifyResult };
  generate: { request: GenerateRequest; result: GenerateResult };
  memory: { request: Record<string, never>; result: { bytes: number } };
  check: { request: { model: GeneratorName; precision: Precision }; result: CheckResult };
}

export type Operation = keyof Operations;

export type Request = { [K in Operation]: { id: number; operation: K; payload: Operations[K]['request'] } }[Operation];

export type FromPage = Request | { operation: 'cancel'; id: number };

export type FromWorker =
  | { kind: 'result'; id: number; result: Operations[Operation]['result'] }
  | { kind: 'error'; id: number; name: string; message: string }
  | { kind: 'step'; id: number; step: number; state: Float32Array }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'notice'; notice: string };
