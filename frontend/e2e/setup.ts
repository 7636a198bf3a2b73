import { execFileSync } from 'node:child_process';
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { DIST, GOLDEN } from './browser.ts';

const PROJECT = join(import.meta.dirname, '../..');

/** Models to test with, and the pipeline's own answers to compare with. */
export default function setup(): void {
  let processed = join(PROJECT, 'data/processed');
  if (!existsSync(join(DIST, 'index.html'))) throw new Error(`${DIST}: no build; run npm run build first`);
  if (!existsSync(join(DIST, 'models/manifest.json')) || !existsSync(join(processed, 'index.csv'))) {
    const tiny = join(import.meta.dirname, '.tiny');
    console.log('no published models here: making tiny ones with the pipeline');
    python('-m', 'tests.web.tiny_models', tiny);
    cpSync(join(tiny, 'models'), join(DIST, 'models'), { recursive: true });
    processed = join(tiny, 'processed');
  }
  python(join(import.meta.dirname, 'golden.py'), join(DIST, 'models'), processed, GOLDEN);
}

function python(...args: string[]): void {
  execFileSync('python', args, { cwd: PROJECT, stdio: 'inherit' });
}
