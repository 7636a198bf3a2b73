/// <reference types="vite/client" />

declare const __ORT_WASM_BYTES__: number;
