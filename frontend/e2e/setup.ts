import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DIST, GOLDEN } from './browser.ts';

const PROJECT = join(import.meta.dirname, '../..');

/** Models to test with, and the pipeline's own answers to compare with. */
export default function setup(): () => void {
  const home = useOwnHome();
  let processed = join(PROJECT, 'data/processed/photo');
  if (!existsSync(join(DIST, 'index.html'))) throw new Error(`${DIST}: no build; run npm run build first`);
  if (process.env.PAGE) {
    processed = join(process.env.TINY_PROJECT!, 'data/processed/photo'); // it has the models of that run
  } else if (!existsSync(join(DIST, 'models/manifest.json')) || !existsSync(join(processed, 'index.csv'))) {
    const tiny = process.env.TINY_PROJECT ?? join(PROJECT, 'tests/.tiny/project');
    console.log('no published models here: testing tiny ones, made with the pipeline');
    if (!process.env.TINY_PROJECT) python('-m', 'tests.pipeline.tiny', dirname(tiny));
    cpSync(join(tiny, 'frontend/public/models'), join(DIST, 'models'), { recursive: true });
    writeFileSync(join(DIST, 'versions.json'), '[]\n'); // the run's own models, whatever else the build found
    processed = join(tiny, 'data/processed/photo');
  }
  python(join(import.meta.dirname, 'golden.py'), join(DIST, 'models'), processed, GOLDEN);
  return () => rmSync(home, { recursive: true, force: true });
}

/** Nothing of the user's, as in tests/bare.py: what the tests start inherits this process's environment. */
function useOwnHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'tinycats-home-'));
  const gitConfig = join(home, '.gitconfig');
  writeFileSync(gitConfig, '[user]\n  name = Test\n  email = test@example.com\n');
  for (const name of Object.keys(process.env)) if (/^(DVC|GIT|LC|XDG)_/.test(name)) Reflect.deleteProperty(process.env, name);
  const own = { HOME: home, GIT_CONFIG_GLOBAL: gitConfig, GIT_CONFIG_NOSYSTEM: '1', LANG: 'C.UTF-8', TZ: 'UTC' };
  Object.assign(process.env, own);
  return home;
}

function python(...args: string[]): void {
  execFileSync('python', args, { cwd: PROJECT, stdio: 'inherit' });
}
