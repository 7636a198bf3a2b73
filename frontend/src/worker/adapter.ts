/** A real GPU, or why there is none: `navigator.gpu` alone says little, and a software adapter is slower than WASM. */
export async function findAdapter(): Promise<{ adapter: string } | { reason: string }> {
  const gpu = (navigator as { gpu?: Gpu }).gpu;
  if (!gpu) return { reason: 'WASM: this browser has no WebGPU' };
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (!adapter) return { reason: 'WASM: WebGPU found no adapter' };
  if (
    adapter.info.isFallbackAdapter ||
    /swiftshader|llvmpipe/i.test(`${adapter.info.architecture} ${adapter.info.description}`)
  ) {
    return { reason: 'WASM: WebGPU has only a software adapter here' };
  }
  const { vendor, architecture, description } = adapter.info;
  return { adapter: description || [vendor, architecture].filter(Boolean).join(' ') || 'unnamed adapter' };
}

/** The part of WebGPU that is looked at here; TypeScript's own library does not have it yet. */
interface Gpu {
  requestAdapter(): Promise<{
    info: { vendor: string; architecture: string; description: string; isFallbackAdapter?: boolean };
  } | null>;
}
