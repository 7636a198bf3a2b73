// Serves the production build with the headers of cross-origin isolation: node serve.mjs [--port N] [--base /path/]
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { delimiter, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.webmanifest': 'application/manifest+json',
};
export const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/**
 * A request handler for the files below `root`, at the path `base`.
 * @param {string} root
 * @param {string} base begins and ends with a slash
 * @param {Record<string, string>} headers
 * @returns {(request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse) => void}
 */
export function serveFiles(root, base, headers) {
  return (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = path.startsWith(base) ? join(root, normalize(`/${path.slice(base.length) || 'index.html'}`)) : '';
    if (!file || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404, { 'Content-Type': 'text/plain', ...headers }).end('not found\n');
      return;
    }
    const { size } = statSync(file);
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0); // the rest of a download
    const part = start > 0 && start < size;
    response.writeHead(part ? 206 : 200, {
      'Content-Type': TYPES[/** @type {keyof typeof TYPES} */ (extname(file))] ?? 'application/octet-stream',
      'Content-Length': part ? size - start : size,
      ...(part && { 'Content-Range': `bytes ${start}-${size - 1}/${size}` }),
      'Cache-Control': path.includes('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
      ...headers,
    });
    if (request.method === 'HEAD') response.end();
    else createReadStream(file, { start: part ? start : 0 }).pipe(response);
  };
}

/** The system's browser, for tests and benchmarks. */
export function findChromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of names) if (existsSync(join(directory, name))) return join(directory, name);
  }
  throw new Error(`no browser on PATH (${names.join(', ')}); on Debian or Ubuntu: apt-get install chromium`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '4173' }, base: { type: 'string', default: '/' } },
  });
  const root = join(import.meta.dirname, 'dist');
  const server = createServer(serveFiles(root, values.base, ISOLATION));
  server.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
    console.error(
      `error: ${error.code === 'EADDRINUSE' ? `port ${values.port} is taken; name another with --port` : error.message}`,
    );
    process.exitCode = 1;
  });
  server.listen(Number(values.port), '127.0.0.1', () => {
    const address = server.address();
    const port = address && typeof address === 'object' ? address.port : values.port;
    console.log(`tinycats is at http://127.0.0.1:${port}${values.base} (Ctrl-C stops it)`);
  });
}
