import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';
import type { Version } from '../src/lib/versions.ts';

/** Writes versions.json: the folders of models that this build has, the usual one first. */
export function versions(): Plugin {
  let publicDir = 'public';
  const versionIn = (folder: string, name: string, title: (data: string) => string): Version[] => {
    const path = join(publicDir, folder, 'manifest.json');
    if (!existsSync(path)) return [];
    const { data } = JSON.parse(readFileSync(path, 'utf8')) as { data: { title: string } };
    return [{ name, folder, title: title(data.title) }];
  };
  return {
    name: 'tinycats-versions',
    apply: 'build',
    configResolved(config) {
      publicDir = config.publicDir;
    },
    generateBundle() {
      const found = [
        ...versionIn('models/', 'run', () => 'This run'),
        ...versionIn('pretrained/', 'pretrained', (data) => `Pretrained: ${data}`),
      ];
      this.emitFile({ type: 'asset', fileName: 'versions.json', source: `${JSON.stringify(found)}\n` });
    },
  };
}
