import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Plugin } from 'vite';
import { CONTENT_POLICY } from './origins.ts';

// Fetched when they are needed: ONNX Runtime's binaries, the models, what the pipeline measured.
const ON_DEMAND = /(\.wasm$|^assets\/ort[.-]|^models\/|^pretrained\/|^experiments\/|^sw\.js$)/;

function files(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(directory, name)).isFile())
    .map((name) => name.replaceAll('\\', '/'))
    .sort();
}

/** Writes sw.js with the list of what a first visit stores; its version is the hash of those files. */
export function serviceWorker(): Plugin {
  let out = 'dist';
  let root = '.';
  return {
    name: 'tinycats-service-worker',
    apply: 'build',
    configResolved(config) {
      root = config.root;
      out = resolve(config.root, config.build.outDir);
    },
    closeBundle() {
      const built = files(out);
      const listed = built.filter((name) => !ON_DEMAND.test(name));
      const hash = createHash('sha256');
      for (const name of listed) hash.update(name).update(readFileSync(join(out, name)));
      const template = readFileSync(join(root, 'build/sw.js'), 'utf8');
      hash.update(template).update(CONTENT_POLICY);
      const text = template
        .replace('__VERSION__', hash.digest('hex').slice(0, 12))
        .replace('__POLICY__', JSON.stringify(CONTENT_POLICY))
        .replace('__PRECACHE__', JSON.stringify(listed.map((name) => `./${name}`)))
        .replace('__ASSETS__', JSON.stringify(built.filter((name) => name.startsWith('assets/'))));
      writeFileSync(join(out, 'sw.js'), text);
    },
  };
}
