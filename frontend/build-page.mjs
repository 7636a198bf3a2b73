// Builds the page with another public folder into another place: node build-page.mjs --public DIR --out DIR. The last line of
// its stderr says why where that fails.
import { parseArgs } from 'node:util';
import { build } from 'vite';

const { values } = parseArgs({ options: { public: { type: 'string' }, out: { type: 'string' } } });
try {
  await build({
    root: import.meta.dirname,
    publicDir: values.public,
    build: { outDir: values.out, emptyOutDir: true },
    logLevel: 'warn',
  });
} catch (error) {
  const { message } = /** @type {Error} */ (error);
  console.error(`error: ${message.split('\n')[0]}`);
  process.exitCode = 1;
}
