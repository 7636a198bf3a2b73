/// <reference types="vite/client" />

/** Of the Hugging Face Hub or a mirror, without a slash at its end. */
declare const __HUB__: string;
declare const __ORT_WASM_BYTES__: number;
