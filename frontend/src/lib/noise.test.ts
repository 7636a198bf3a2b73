import { expect, test } from 'vitest';
import { gaussianNoise, slerp } from './noise';
import { summarize } from './stats';

const LENGTH = 3 * 64 * 64;

test('a seed gives the same noise every time, and each picture and seed its own', () => {
  expect(gaussianNoise(7, 0, LENGTH)).toEqual(gaussianNoise(7, 0, LENGTH));
  expect(gaussianNoise(7, 0, LENGTH)).not.toEqual(gaussianNoise(8, 0, LENGTH));
  expect(gaussianNoise(7, 0, LENGTH)).not.toEqual(gaussianNoise(7, 1, LENGTH));
  expect(gaussianNoise(7, 0, 11)).toEqual(gaussianNoise(7, 0, LENGTH).slice(0, 11));
});

test.each([0, 1, 7, 2 ** 31, 2 ** 32 - 1])('noise of seed %i is standard normal', (seed) => {
  const values = [...gaussianNoise(seed, 3, 60_000)];
  const mean = values.reduce((a, b) => a + b) / values.length;
  const moment = (power: number) => values.reduce((sum, value) => sum + (value - mean) ** power, 0) / values.length;
  expect(Math.abs(mean)).toBeLessThan(0.02);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.03);
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.2);
  expect(summarize(values).p95).toBeCloseTo(1.645, 1);
});

test('seeds that are neighbours are not alike', () => {
  const a = gaussianNoise(1, 0, 20_000);
  const b = gaussianNoise(2, 0, 20_000);
  expect(Math.abs(a.reduce((sum, value, i) => sum + value * b[i]!, 0) / a.length)).toBeLessThan(0.03);
});

test('the arc begins and ends at its noises and is as long as they are between', () => {
  const a = gaussianNoise(1, 0, LENGTH);
  const b = gaussianNoise(2, 0, LENGTH);
  const length = (values: Float32Array) => Math.hypot(...values);
  slerp(a, b, 0).forEach((value, i) => expect(value).toBeCloseTo(a[i]!, 5));
  slerp(a, b, 1).forEach((value, i) => expect(value).toBeCloseTo(b[i]!, 5));
  expect(length(slerp(a, b, 0.5)) / length(a)).toBeCloseTo(1, 1);
});
