// The production build on a free port, and a headless Chromium to look at it
import { resolve } from 'node:path';
import { preview } from 'vite';
import { launchChromium } from './chromium.mjs';

/** @param {string} dist the build's folder */
export async function browse(dist) {
  const server = await preview({ root: import.meta.dirname, build: { outDir: resolve(dist) }, preview: { port: 0 } });
  const browser = await launchChromium();
  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { browser, address: server.resolvedUrls?.local[0], close };
}
