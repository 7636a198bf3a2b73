import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { CONTENT_POLICY } from '../build/origins.ts';

const SERVE = join(import.meta.dirname, '../serve.mjs');

test('the server says its address or that its port is taken, in a line; a missing file is a 404; Ctrl-C stops it', async () => {
  const server = spawn('node', [SERVE, '--port', '0']);
  const stopped = once(server, 'exit');
  try {
    const [line] = (await once(createInterface(server.stdout), 'line')) as [string];
    const [, address, port] = /^tinycats is at (http:\/\/127\.0\.0\.1:(\d+)\/) /.exec(line)!;
    const page = await fetch(address!);
    const text = await page.text();
    expect(text).toContain('<title>tinycats</title>');
    expect(page.headers.get('Cross-Origin-Opener-Policy')).toBe('same-origin');
    expect(page.headers.get('Cross-Origin-Embedder-Policy')).toBe('require-corp');
    // in the page too, for servers that send no headers of their own
    const policy = page.headers.get('Content-Security-Policy');
    expect(policy).toBe(CONTENT_POLICY);
    expect(text.replaceAll('&#39;', "'")).toContain(`<meta http-equiv="Content-Security-Policy" content="${policy}">`);
    expect((await fetch(`${address}models/missing.json`)).status).toBe(404);
    const second = spawnSync('node', [SERVE, '--port', port!], { encoding: 'utf8' });
    expect(second.stderr).toBe(`error: Port ${port} is already in use; choose another one: make app PORT=...\n`);
    expect(second.status).toBe(1);
  } finally {
    server.kill('SIGINT');
  }
  expect(await stopped).toEqual([null, 'SIGINT']);
});
