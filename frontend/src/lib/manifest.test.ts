import { expect, test } from 'vitest';
import { generatorInfo, generatorNames, modelFile, parseManifest, precisionsOf } from './manifest';

const MODEL = { classes: ['Bengal'], image_size: 32, files: { fp32: 'a.onnx', int8: 'b.onnx' } };
const SAMPLER = { method: 'euler', steps: 20, guidance: 2, guidance_low: 0.1, guidance_high: 0.9 };
const FILES = [{ path: 'b.onnx', sha256: 'x', bytes: 5 }];
const TEACHER = { ...MODEL, few_step: false, sampler: SAMPLER, golden: 'golden.json' };
const STUDENT = { ...TEACHER, few_step: true, files: { ...MODEL.files, int8: 'c.onnx' } };
const ALONE = { schema_version: 3, classifier: MODEL, generator: TEACHER, files: FILES };
const BOTH = { ...ALONE, student: STUDENT };

test('a version without a student has only its teacher, and says so when asked for the student', () => {
  const manifest = parseManifest(ALONE);
  expect(generatorNames(manifest)).toEqual(['generator']);
  expect(() => generatorInfo(manifest, 'student')).toThrow('has no student');
  expect(modelFile(manifest, 'generator', 'int8')).toEqual(FILES[0]);
});

test('a student comes first, and its files are found', () => {
  const manifest = parseManifest(BOTH);
  expect(generatorNames(manifest)).toEqual(['student', 'generator']);
  expect(() => modelFile(manifest, 'student', 'int8')).toThrow('lacks c.onnx');
});

test('a version may have a classifier alone, and that in int8 alone', () => {
  const manifest = parseManifest({ schema_version: 3, classifier: { ...MODEL, files: { int8: 'b.onnx' } }, files: FILES });
  expect(generatorNames(manifest)).toEqual([]);
  expect(() => generatorInfo(manifest, 'generator')).toThrow('has no teacher');
  expect(precisionsOf(manifest)).toEqual(['int8']);
  expect(modelFile(manifest, 'classifier', 'int8')).toEqual(FILES[0]);
  expect(() => modelFile(manifest, 'classifier', 'fp32')).toThrow('has no classifier in fp32');
});

test('the precisions are those that all models have', () => {
  expect(precisionsOf(parseManifest(BOTH))).toEqual(['int8', 'fp32']);
  expect(precisionsOf(parseManifest({ ...BOTH, student: { ...STUDENT, files: { fp32: 'a.onnx' } } }))).toEqual(['fp32']);
});

test('earlier versions read as if they were published now', () => {
  const others = { classifier: MODEL, files: FILES };
  const first = { schema_version: 1, ...others, generator: MODEL, sampler: SAMPLER, golden: 'golden.json' };
  expect(parseManifest(first)).toEqual(ALONE);
  const asBefore = ({ few_step, sampler, ...model }: typeof TEACHER) => ({ ...model, sampler: { ...sampler, few_step } });
  const second = { schema_version: 2, ...others, generator: asBefore(TEACHER), generator_fast: asBefore(STUDENT) };
  expect(parseManifest(second)).toEqual(BOTH);
});

test.each([
  [null, 'is not a manifest'],
  [{ schema_version: 4 }, 'schema version 4; this page reads versions 1 to 3'],
  [{ ...ALONE, generator: { ...TEACHER, classes: undefined } }, 'incomplete: generator'],
  [{ ...ALONE, classifier: { ...MODEL, files: {} } }, 'incomplete: classifier'],
  [{ ...BOTH, student: { ...STUDENT, sampler: undefined } }, 'how to sample the student'],
  [{ ...BOTH, student: { ...STUDENT, few_step: undefined } }, 'how to sample the student'],
  [{ ...BOTH, schema_version: 2, generator: { ...TEACHER, sampler: undefined } }, 'how to sample the generator'],
  [{ ...ALONE, files: undefined }, 'has no files'],
])('%j is refused', (content, message) => {
  expect(() => parseManifest(content)).toThrow(message);
});

const withFile = (path: unknown) => ({ ...ALONE, files: [{ ...FILES[0], path }] });

test.each(['b.onnx', 'onnx/b.onnx', 'samples/Maine Coon.png', 'samples/50%.png', 'samples/Zoë 猫.png', '..b.onnx', 'a/b:c.png'])(
  'the path %j is below the folder',
  (path) => {
    expect(parseManifest(withFile(path)).files[0]!.path).toBe(path);
  },
);

test.each([
  'https://example.org/b.onnx',
  'HTTPS:example.org/b.onnx',
  'ht\ntps://example.org/b.onnx',
  'data:,x',
  'javascript:1',
  '//example.org/b.onnx',
  '/\\example.org/b.onnx',
  '\\\\example.org\\b.onnx',
  ' //example.org/b.onnx',
  '\t//example.org/b.onnx',
  '/b.onnx',
  '../b.onnx',
  'a/../../b.onnx',
  '..\\b.onnx',
  '%2e%2e/b.onnx',
  'a/.%2E/%2e./b.onnx',
  './b.onnx',
  'a//b.onnx',
  '',
  5,
  null,
  undefined,
])('the path %j is not, and refused, wherever it stands', (path) => {
  const message = 'names a file that is not beside it';
  expect(() => parseManifest(withFile(path))).toThrow(message);
  expect(() => parseManifest({ ...ALONE, generator: { ...TEACHER, files: { int8: 'a.onnx', fp32: path ?? '' } } })).toThrow(
    message,
  );
  expect(() => parseManifest({ ...BOTH, student: { ...STUDENT, golden: path ?? '' } })).toThrow(message);
  expect(() => parseManifest({ ...ALONE, classifier: { ...MODEL, head: { path: path ?? '' } } })).toThrow(message);
});

test.each([-1, 1.5, 1e12, '5', undefined])('no file has %j bytes', (bytes) => {
  expect(() => parseManifest({ ...ALONE, files: [{ ...FILES[0], bytes }] })).toThrow('no possible size');
});

test('a repository of the Hub is user/name at a revision, and nothing that leads elsewhere', () => {
  const withHub = (repo_id: unknown, revision: unknown = 'v1') => ({ ...ALONE, hub: { repo_id, revision } });
  expect(parseManifest(withHub('some-one/tiny.cats_1')).hub).toEqual({ repo_id: 'some-one/tiny.cats_1', revision: 'v1' });
  for (const name of ['cats', '../cats', 'a/..', 'a/b/c', 'a/b?', '/a/b', '//example.org/b', 'a@example.org/b', 5, undefined]) {
    expect(() => parseManifest(withHub(name))).toThrow('names no repository');
  }
  for (const revision of ['', '..', '.', 5, null]) expect(() => parseManifest(withHub('a/b', revision))).toThrow('no repository');
});
