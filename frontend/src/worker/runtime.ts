import type * as Ort from 'onnxruntime-web/wasm';
import wasmUrl from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url';
import { fetchBytes, type Progress } from '../lib/download';
import { messageOf, UserError } from '../lib/errors';
import { findAdapter } from './adapter';
import type { Device, DeviceChoice } from './protocol';

export type Runtime = typeof Ort;

const SILENCE_MS = 20_000;

const memories: WebAssembly.Memory[] = [];

/** ONNX Runtime does not say how much memory it takes, but makes it here. */
class CountedMemory extends WebAssembly.Memory {
  constructor(descriptor: WebAssembly.MemoryDescriptor) {
    super(descriptor);
    memories.push(this);
  }
}

export function wasmBytes(): number {
  return memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
}

/** Loads ONNX Runtime and says what it really runs on. Without a real GPU it falls back to WASM, and says why. */
export async function startRuntime(
  choice: DeviceChoice,
  onProgress: (progress: Progress) => void,
): Promise<{ ort: Runtime; device: Device }> {
  WebAssembly.Memory = CountedMemory;
  let reason: string | null = null;
  if (choice.backend === 'webgpu') {
    const found = await findAdapter();
    if ('adapter' in found) {
      const ort = (await import('onnxruntime-web/webgpu')) as unknown as Runtime;
      ort.env.logLevel = 'error';
      ort.env.wasm.numThreads = 1;
      return { ort, device: { backend: 'webgpu', threads: 1, adapter: found.adapter, reason: null } };
    }
    reason = found.reason;
  }
  const ort = await import('onnxruntime-web/wasm');
  let threads = Math.max(1, Math.min(choice.threads, navigator.hardwareConcurrency));
  if (threads > 1 && !self.crossOriginIsolated) {
    threads = 1;
    reason = [reason, 'one thread: the page is not cross-origin isolated'].filter(Boolean).join('; ');
  }
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.proxy = false; // this is a worker already
  const received = { bytes: new Uint8Array(__ORT_WASM_BYTES__), loaded: 0 };
  try {
    await fetchBytes(wasmUrl, received, SILENCE_MS, (loaded) =>
      onProgress({ path: 'ONNX Runtime', loaded, total: __ORT_WASM_BYTES__, from: 'page' }),
    );
    ort.env.wasm.wasmBinary = received.bytes.buffer;
  } catch (error) {
    throw new UserError(`ONNX Runtime ${messageOf(error)}. Check the connection and try again.`);
  }
  return { ort, device: { backend: 'wasm', threads, adapter: null, reason } };
}
