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
