// Serves the production build: node serve.mjs [--port N]. It is `vite preview`, whose command prints a stack trace where the
// port is taken.
import { parseArgs } from 'node:util';
import { preview } from 'vite';

const { values } = parseArgs({ options: { port: { type: 'string', default: '4173' } } });
try {
  const server = await preview({ root: import.meta.dirname, preview: { port: Number(values.port) } });
  console.log(`tinycats is at ${server.resolvedUrls?.local[0]} (Ctrl-C stops it)`);
} catch (error) {
  const { message } = /** @type {Error} */ (error);
  console.error(`error: ${message}${/in use/.test(message) ? '; choose another one: make app PORT=...' : ''}`);
  process.exitCode = 1;
}
