import { expect, test } from 'vitest';
import { verdictOf } from './verdict';

test.each([
  [0.9, 1, { reject_threshold: 0.5, distance_limit: 1.2 }, 'class'],
  [0.4, 1, { reject_threshold: 0.5, distance_limit: 1.2 }, 'not sure'],
  [0.5, 1.2, { reject_threshold: 0.5, distance_limit: 1.2 }, 'class'], // at a bound is within it
  [0.9, 1.3, { reject_threshold: 0.5, distance_limit: 1.2 }, 'unlike'],
  [0.4, 1.3, { reject_threshold: 0.5, distance_limit: 1.2 }, 'unlike'], // comes before "not sure"
  [0.9, null, { reject_threshold: 0.5, distance_limit: 1.2 }, 'class'],
  [0.4, null, { reject_threshold: 0.5 }, 'not sure'],
  [0.1, 99, { reject_threshold: null, distance_limit: null }, 'class'],
  [0.1, 99, {}, 'class'],
] as const)('confidence %s and distance %s within %j: %s', (confidence, distance, bounds, verdict) => {
  expect(verdictOf({ ranking: [{ label: 0, confidence }], distance }, bounds)).toBe(verdict);
});
