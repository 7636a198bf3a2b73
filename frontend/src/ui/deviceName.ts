import type { Backend } from '../worker/protocol';

export function deviceName({ backend, threads }: { backend: Backend; threads: number }): string {
  return backend === 'webgpu' ? 'WebGPU' : `WASM, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
}
