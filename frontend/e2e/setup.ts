import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DIST } from './browser.ts';

/** The pipeline's own answers for these models, to compare with. */
export default function setup(): void {
  if (!existsSync(join(DIST, 'models/manifest.json'))) {
    throw new Error(`${DIST}: no build with models in it; make app builds one`);
  }
  const golden = join(import.meta.dirname, '.golden');
  execFileSync('python', [join(import.meta.dirname, 'golden.py'), join(DIST, 'models'), golden], { stdio: 'inherit' });
}
