import { deflateSync, crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { toCsv } from './csv';
import { parseManifest } from './manifest';
import { readText, withText } from './png';
import { percentile, summarize } from './stats';

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

const HEADER = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
const PNG = Buffer.concat([
  Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
  chunk('IHDR', HEADER),
  chunk('IDAT', deflateSync(Buffer.from([0, 128]))),
  chunk('IEND', Buffer.alloc(0)),
]);

test('a PNG carries text, with the checksum that zlib computes', () => {
  const text = { class: 'Bengal', note: 'crème 0.5' };
  const written = withText(PNG, text);
  expect(readText(written)).toEqual(text);
  const at = PNG.length - 12;
  const length = Buffer.from(written).readUInt32BE(at);
  expect(Buffer.from(written).readUInt32BE(at + 8 + length)).toBe(crc32(written.subarray(at + 4, at + 8 + length)));
  expect(Buffer.from(written.subarray(-12))).toEqual(PNG.subarray(-12));
});

test('percentiles are linear between ranks', () => {
  const samples = [4, 1, 3, 2];
  expect(percentile(samples, 50)).toBe(2.5);
  expect(percentile(samples, 95)).toBeCloseTo(3.85, 12); // numpy.percentile([1, 2, 3, 4], 95)
  expect(percentile([5], 99)).toBe(5);
  expect(percentile([], 50)).toBeNaN();
  expect(summarize(samples)).toMatchObject({ n: 4, mean: 2.5, min: 1, max: 4 });
});

test('CSV quotes what needs it, and disarms formulas', () => {
  expect(toCsv([['a,b', 'c"d', 1.5, -2, '=1+1']])).toBe('"a,b","c""d",1.5,-2,\'=1+1\r\n');
});

test('content that is not a manifest is refused with a sentence', () => {
  expect(() => parseManifest([])).toThrow('is not a manifest');
  expect(() => parseManifest({ schema_version: 3 })).toThrow('incomplete: classifier');
  expect(() => parseManifest({ schema_version: 1 })).toThrow('classifier');
});
