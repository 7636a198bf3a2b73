import type { Device, DeviceChoice, FromWorker, Operation, Operations } from '../worker/protocol';
import type { Progress } from './download';
import { UserError } from './errors';
import type { Manifest } from './manifest';
import { Cancelled } from './sampler';

export interface EngineState {
  /** null until ONNX Runtime runs. */
  device: Device | null;
  /** Files on their way, by path. */
  downloads: Record<string, Progress>;
  notices: string[];
}

/** Between two progress reports to the page: each draws it anew, and a fast download has hundreds a second. */
const PROGRESS_MS = 100;

interface Waiting {
  resolve: (result: never) => void;
  reject: (error: Error) => void;
  onStep?: ((step: number, state: Float32Array) => void) | undefined;
}

export interface CallOptions {
  signal?: AbortSignal;
  onStep?: (step: number, state: Float32Array) => void;
}

/** The models in a worker. It starts with the first call and lives until `dispose`. */
export class Engine {
  /** Whether any model was used since the page was loaded. */
  static begun = false;
  private worker: Worker | null = null;
  private started: Promise<Device> | null = null;
  private nextId = 1;
  private readonly waiting = new Map<number, Waiting>();
  private readonly listeners = new Set<() => void>();
  private state: EngineState = { device: null, downloads: {}, notices: [] };
  /** What the worker has said last of each file on its way, and the timer by which it is told. */
  private progress: Record<string, Progress> = {};
  private later: ReturnType<typeof setTimeout> | undefined;
  readonly choice: DeviceChoice;
  private readonly manifest: Manifest;
  private readonly folder: string;

  constructor(choice: DeviceChoice, manifest: Manifest, folder: string) {
    this.choice = choice;
    this.manifest = manifest;
    this.folder = folder;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): EngineState => this.state;

  /** What it really runs on, once ONNX Runtime has started. */
  start(): Promise<Device> {
    this.started ??= this.send('start', { choice: this.choice, manifest: this.manifest, folder: this.folder }).then(
      (device) => {
        this.change({ device });
        return device;
      },
      (error: unknown) => {
        this.dispose(); // a runtime that failed half-way cannot be started again
        throw error;
      },
    );
    return this.started;
  }

  /** Rejects with UserError, or with Cancelled if the signal ended it. */
  async call<K extends Operation>(
    operation: K,
    payload: Operations[K]['request'],
    options: CallOptions = {},
  ): Promise<Operations[K]['result']> {
    await this.start();
    return this.send(operation, payload, options);
  }

  dismiss(notice: string): void {
    this.change({ notices: this.state.notices.filter((other) => other !== notice) });
  }

  dispose(): void {
    this.worker?.terminate();
    this.worker = null;
    this.started = null;
    for (const { reject } of this.waiting.values()) reject(new Cancelled());
    this.waiting.clear();
    this.change({ device: null });
    this.progress = {};
    this.tellProgress();
  }

  private send<K extends Operation>(
    operation: K,
    payload: Operations[K]['request'],
    { signal, onStep }: CallOptions = {},
  ): Promise<Operations[K]['result']> {
    if (signal?.aborted) return Promise.reject(new Cancelled());
    const worker = (this.worker ??= this.open());
    const id = this.nextId++;
    const cancel = () => worker.postMessage({ operation: 'cancel', id });
    signal?.addEventListener('abort', cancel);
    return new Promise<Operations[K]['result']>((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (result: never) => void, reject, onStep });
      worker.postMessage({ id, operation, payload });
    }).finally(() => signal?.removeEventListener('abort', cancel));
  }

  private open(): Worker {
    Engine.begun = true;
    const worker = new Worker(new URL('../worker/inference.worker.ts', import.meta.url), { type: 'module', name: 'tinycats' });
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
    worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) {
        reject(new UserError(`The models' worker stopped (${event.message || 'it could not be loaded'}). Try again.`));
      }
      this.waiting.clear();
      this.dispose();
    };
    return worker;
  }

  private receive(message: FromWorker): void {
    switch (message.kind) {
      case 'result':
        this.waiting.get(message.id)?.resolve(message.result as never);
        this.waiting.delete(message.id);
        break;
      case 'error': {
        const { name, message: text } = message;
        this.waiting
          .get(message.id)
          ?.reject(name === 'Cancelled' ? new Cancelled() : name === 'UserError' ? new UserError(text) : new Error(text));
        this.waiting.delete(message.id);
        this.progress = {};
        this.tellProgress();
        break;
      }
      case 'step':
        this.waiting.get(message.id)?.onStep?.(message.step, message.state);
        break;
      case 'progress': {
        const { path, loaded, total } = message.progress;
        const { [path]: known, ...others } = this.progress;
        this.progress = loaded < total ? { ...others, [path]: message.progress } : others;
        if (known && loaded < total) this.later ??= setTimeout(() => this.tellProgress(), PROGRESS_MS);
        else this.tellProgress();
        break;
      }
      case 'notice':
        if (!this.state.notices.includes(message.notice)) this.change({ notices: [...this.state.notices, message.notice] });
    }
  }

  private tellProgress(): void {
    clearTimeout(this.later);
    this.later = undefined;
    this.change({ downloads: this.progress });
  }

  private change(part: Partial<EngineState>): void {
    this.state = { ...this.state, ...part };
    for (const listener of this.listeners) listener();
  }
}
