import { execFileSync } from 'node:child_process';
import { cpSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DIST, GOLDEN } from './browser.ts';

const PROJECT = join(import.meta.dirname, '../..');

/** Models to test with, and the pipeline's own answers to compare with. */
export default function setup(): void {
  let processed = join(PROJECT, 'data/processed');
  if (!existsSync(join(DIST, 'index.html'))) throw new Error(`${DIST}: no build; run npm run build first`);
  if (!existsSync(join(DIST, 'models/manifest.json')) || !existsSync(join(processed, 'index.csv'))) {
    const tiny = process.env.TINY_PROJECT ?? join(PROJECT, 'tests/.tiny/project');
    console.log('no published models here: testing tiny ones, made with the pipeline');
    if (!process.env.TINY_PROJECT) python('-m', 'tests.pipeline.tiny', dirname(tiny));
    cpSync(join(tiny, 'frontend/public/models'), join(DIST, 'models'), { recursive: true });
    processed = join(tiny, 'data/processed');
  }
  python(join(import.meta.dirname, 'golden.py'), join(DIST, 'models'), processed, GOLDEN);
}

function python(...args: string[]): void {
  execFileSync('python', args, { cwd: PROJECT, stdio: 'inherit' });
}
