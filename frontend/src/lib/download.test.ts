import { expect, test } from 'vitest';
import { sourcesOf } from './download';
import { origin, parseManifest, shortVersion, type Manifest } from './manifest';

const FOLDER = 'https://user-page.static.hf.space/models/';
const MODEL = { classes: ['Bengal'], image_size: 32, files: { int8: 'onnx/a.onnx' } };
const OWN = { schema_version: 3, classifier: MODEL, files: [], data: { title: 'cats' }, revision: '0123456789abcdef' };
/** Not even what parseManifest would refuse leads elsewhere. */
const manifest = (more: object): Manifest => ({ ...parseManifest(OWN), ...more });
const HUB = { repo_id: 'user/name', revision: 'git-0123' };

test('the Hub at the tag comes first, then the own copy; without a repository only that', () => {
  const own = { url: `${FOLDER}onnx/a.onnx`, from: 'page' };
  expect(sourcesOf(manifest({ hub: HUB }), FOLDER, 'onnx/a.onnx')).toEqual([
    { url: 'https://huggingface.co/user/name/resolve/git-0123/onnx/a.onnx', from: 'hub' },
    own,
  ]);
  expect(sourcesOf(manifest({ hub: null }), FOLDER, 'onnx/a.onnx')).toEqual([own]);
  expect(sourcesOf(manifest({}), 'HTTPS://Example.org/models/', 'a b.bin')).toEqual([
    { url: 'https://example.org/models/a%20b.bin', from: 'page' },
  ]);
});

test.each([
  [{ hub: HUB }, 'https://elsewhere.example/a.onnx'],
  [{ hub: HUB }, '//elsewhere.example/a.onnx'],
  [{ hub: HUB }, '../a.onnx'],
  [{ hub: null }, 'data:,a'],
  [{ hub: { ...HUB, repo_id: '//elsewhere.example' } }, 'a.onnx'],
  [{ hub: { ...HUB, repo_id: 'https://elsewhere.example' } }, 'a.onnx'],
])('a manifest with %j cannot make the page fetch %s', (more, path) => {
  expect(() => sourcesOf(manifest(more), FOLDER, path)).toThrow('which is not in its folder');
});

test('no manifest chooses another Hub', () => {
  const [first] = sourcesOf(manifest({ hub: { ...HUB, endpoint: 'https://elsewhere.example' } }), FOLDER, 'a.onnx');
  expect(new URL(first!.url).origin).toBe('https://huggingface.co');
});

test('the version is named where there is one, else the revision', () => {
  expect(origin(manifest({ version: '1.2.0' }))).toBe('trained on cats (version 1.2.0)');
  expect(origin(manifest({ version: null }))).toBe('trained on cats');
  expect(shortVersion(manifest({ version: '1.2.0' }))).toBe('1.2.0');
  expect(shortVersion(manifest({}))).toBe('0123456789');
});
