import { expect, test } from 'vitest';
import { heatMap, ranked } from './classification';

test('the mean of the heat map is the logit without its bias', () => {
  const shape = { channels: 3, height: 2, width: 2 };
  const features = Float32Array.of(1, 2, 3, 4, 0, 1, 0, 1, 5, 5, 5, 5);
  const head = Float32Array.of(0, 0, 0, 0.5, -1, 2);
  const map = heatMap(head, features, shape, 1);
  const means = [2.5, 0.5, 5];
  const logit = 0.5 * means[0]! - 1 * means[1]! + 2 * means[2]!;
  expect(map.reduce((a, b) => a + b) / 4).toBeCloseTo(logit, 5);
  expect(map[1]).toBeCloseTo(0.5 * 2 - 1 + 10, 5);
});

test('ranked by confidence, the first class first where equal', () => {
  expect(ranked([0.2, 0.5, 0.2, 0.1], 3).map(({ label }) => label)).toEqual([1, 0, 2]);
});
