import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import golden from './preprocess.golden.json';
import { seenBox, toSquare } from './preprocess';

/** As in tests/unit/test_web_preprocess.py, with an alpha channel. */
function noise(width: number, height: number): Uint8Array {
  const data = new Uint8Array(width * height * 4).fill(255);
  let state = width;
  for (let i = 0; i < width * height; i++) {
    for (let channel = 0; channel < 3; channel++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      data[i * 4 + channel] = state >>> 24;
    }
  }
  return data;
}

test.each(golden)(
  '$width x $height px to $size px is bit for bit what the pipeline makes of it',
  ({ width, height, size, sha256 }) => {
    const { data } = toSquare({ data: noise(width, height), width, height }, size);
    expect(createHash('sha256').update(data).digest('hex')).toBe(sha256);
  },
);

test('the crop is in the middle, in whole pixels; nothing is cropped to be stretched', () => {
  expect(seenBox(101, 64, 'crop')).toEqual({ left: 18, top: 0, width: 64, height: 64 });
  expect(seenBox(64, 101, 'crop')).toEqual({ left: 0, top: 18, width: 64, height: 64 });
  expect(seenBox(64, 101, 'stretch')).toEqual({ left: 0, top: 0, width: 64, height: 101 });
});
