import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { registeredVersion } from './versions';

let root: string;
const git = (...args: string[]) => execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.c', ...args], { cwd: root });

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tinycats-'));
  writeFileSync(join(root, 'dvc.lock'), 'stages: {}\n');
  git('init', '--quiet');
  git('add', 'dvc.lock');
  git('commit', '--quiet', '--message', 'Run');
});
afterEach(() => rmSync(root, { recursive: true }));

test("the version is that of this commit's tag, while dvc.lock is the commit's", () => {
  expect(registeredVersion(root)).toBeUndefined();
  git('tag', 'classifier@v1.2.0');
  git('tag', 'student@v1.2.0');
  git('tag', 'classifier#prod#1');
  git('tag', 'v3.0.0');
  expect(registeredVersion(root)).toBe('1.2.0');
  appendFileSync(join(root, 'dvc.lock'), '# another run\n');
  expect(registeredVersion(root)).toBeUndefined();
  git('commit', '--quiet', '--all', '--message', 'Another run');
  expect(registeredVersion(root)).toBeUndefined();
});

test('models of several versions have none together, and neither has a folder without git', () => {
  git('tag', 'classifier@v1.2.0');
  git('tag', 'generator@v2.0.0');
  expect(registeredVersion(root)).toBeUndefined();
  rmSync(join(root, '.git'), { recursive: true });
  expect(registeredVersion(root)).toBeUndefined();
});
