// The production build on a free port, and a headless Chromium to look at it
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
import { findChromium, ISOLATION, serveFiles } from './serve.mjs';

/** @param {string} dist the build's folder */
export async function browse(dist) {
  const server = createServer(serveFiles(dist, '/', ISOLATION));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  const port = address && typeof address === 'object' ? address.port : 0;
  const browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox'] });
  const close = async () => {
    await browser.close();
    server.close();
  };
  return { browser, origin: `http://127.0.0.1:${port}`, close };
}
