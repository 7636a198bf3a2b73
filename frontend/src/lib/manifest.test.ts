import { expect, test } from 'vitest';
import { generatorInfo, generatorNames, modelFile, parseManifest } from './manifest';

const MODEL = { classes: ['Bengal'], image_size: 32, files: { fp32: 'a.onnx', int8: 'b.onnx' } };
const SAMPLER = { method: 'euler', steps: 20, guidance: 2, guidance_low: 0.1, guidance_high: 0.9 };
const FILES = [{ path: 'b.onnx', sha256: 'x', bytes: 5 }];
const TEACHER = { ...MODEL, sampler: { ...SAMPLER, few_step: false }, golden: 'golden.json' };
const FAST = { ...TEACHER, files: { ...MODEL.files, int8: 'c.onnx' } };
const VERSION_2 = { schema_version: 2, classifier: MODEL, generator: TEACHER, files: FILES };

test('a version without a student has its teacher alone, and says so where the student is asked for', () => {
  const manifest = parseManifest(VERSION_2);
  expect(generatorNames(manifest)).toEqual(['generator']);
  expect(() => generatorInfo(manifest, 'generator_fast')).toThrow('has no fast generator');
  expect(modelFile(manifest, 'generator', 'int8')).toEqual(FILES[0]);
});

test('a student comes first, and its files are found', () => {
  const manifest = parseManifest({ ...VERSION_2, generator_fast: FAST });
  expect(generatorNames(manifest)).toEqual(['generator_fast', 'generator']);
  expect(() => modelFile(manifest, 'generator_fast', 'int8')).toThrow('does not name c.onnx');
});

test('what was published before there were students reads as if it were now', () => {
  const before = {
    schema_version: 1,
    classifier: MODEL,
    generator: MODEL,
    sampler: SAMPLER,
    golden: 'golden.json',
    files: FILES,
  };
  expect(parseManifest(before)).toEqual(VERSION_2);
});

test.each([
  [null, 'is no manifest'],
  [{ schema_version: 3 }, 'schema version 3; this page reads versions 1 and 2'],
  [{ ...VERSION_2, generator: { ...TEACHER, classes: undefined } }, 'too little about the generator'],
  [{ ...VERSION_2, generator_fast: { ...FAST, sampler: undefined } }, 'how to sample the generator_fast'],
  [{ ...VERSION_2, files: undefined }, 'names no files'],
])('%j is refused', (content, message) => {
  expect(() => parseManifest(content)).toThrow(message);
});
