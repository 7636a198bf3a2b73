import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';
import type { Version } from '../src/lib/versions.ts';

/** Writes versions.json: the folders of models that this build has, the usual one first. */
export function versions(): Plugin {
  let publicDir = 'public';
  let root = '.';
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
      root = config.root;
    },
    generateBundle() {
      const registered = registeredVersion(root);
      const found = [
        ...versionIn('models/', 'run', () => 'This run').map((run) => ({ ...run, ...(registered && { version: registered }) })),
        ...versionIn('pretrained/', 'pretrained', (data) => `Pretrained: ${data}`),
      ];
      this.emitFile({ type: 'asset', fileName: 'versions.json', source: `${JSON.stringify(found)}\n` });
    },
  };
}

/** What `tinycats register` has called the models of this commit: only where dvc.lock is the commit's, and all have one version. */
export function registeredVersion(root: string): string | undefined {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    if (git('status', '--porcelain', '--', ':/dvc.lock')) return undefined;
    const names = git('tag', '--points-at', 'HEAD').split('\n');
    const found = new Set(names.flatMap((name) => /^(?:classifier|generator|student|published)@v(.+)$/.exec(name)?.[1] ?? []));
    return found.size === 1 ? [...found][0] : undefined;
  } catch {
    return undefined; // no git here, or no repository
  }
}
