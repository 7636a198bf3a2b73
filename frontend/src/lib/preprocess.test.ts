import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import golden from './preprocess.golden.json';
import { middleSquare, toSquare } from './preprocess';

/** As in tests/unit/test_web_preprocess.py, with an alpha channel. */
function noise(side: number): Uint8Array {
  const data = new Uint8Array(side * side * 4).fill(255);
  let state = side;
  for (let i = 0; i < side * side; i++) {
    for (let channel = 0; channel < 3; channel++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      data[i * 4 + channel] = state >>> 24;
    }
  }
  return data;
}

test.each(golden)('$side px to $size px is bit for bit what the pipeline makes of it', ({ side, size, sha256 }) => {
  const { data } = toSquare({ data: noise(side), width: side, height: side }, size);
  expect(createHash('sha256').update(data).digest('hex')).toBe(sha256);
});

test('the crop is in the middle, in whole pixels', () => {
  expect(middleSquare(101, 64)).toEqual({ left: 18, top: 0, side: 64 });
  expect(middleSquare(64, 101)).toEqual({ left: 0, top: 18, side: 64 });
});
