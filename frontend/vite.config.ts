import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';
import { contentPolicy } from './build/content-policy.ts';
import { CONTENT_POLICY, HUB } from './build/origins.ts';
import { serviceWorker } from './build/service-worker.ts';
import { versions } from './build/versions.ts';

const require = createRequire(import.meta.url);

/** Bytes of one of ONNX Runtime's WebAssembly files, for honest progress: under gzip no header says it. */
function ortBytes(name: string): number {
  return statSync(require.resolve(`onnxruntime-web/${name}`)).size;
}

export default defineConfig({
  base: './', // works at any path; routes are in the fragment
  appType: 'mpa', // a missing file is a 404, not the page
  plugins: [react(), contentPolicy(), versions(), serviceWorker()],
  worker: { format: 'es' },
  define: {
    __HUB__: JSON.stringify(HUB),
    __ORT_WASM_BYTES__: ortBytes('ort-wasm-simd-threaded.wasm'),
  },
  preview: {
    host: '127.0.0.1',
    strictPort: true,
    // cross-origin isolation: without it WASM has one thread
    headers: {
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
      'Content-Security-Policy': CONTENT_POLICY,
    },
  },
  build: { target: 'es2022', chunkSizeWarningLimit: 1000 },
  test: { include: ['{src,build}/**/*.test.{ts,tsx}'], environment: 'node', testTimeout: 120_000 },
});
