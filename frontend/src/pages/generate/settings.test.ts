import { expect, test } from 'vitest';
import type { Manifest } from '../../lib/manifest';
import { classWeights, parseSeed, parseSettings, settingsParams } from './settings';

const CLASSES = ['Bengal', 'British_Shorthair', 'other'];
const MANIFEST = {
  generator: { classes: CLASSES },
  sampler: { method: 'euler', steps: 20, guidance: 2, guidance_low: 0.1, guidance_high: 0.9 },
} as Manifest;

test.each([
  'class=British_Shorthair&seed=4294967295&steps=7&guidance=3.5&method=heun&count=2',
  'class=Bengal:1,other:2.5&seed=0&steps=1&guidance=1&method=euler&to=other&toSeed=9&frames=5',
])('a link gives back the settings it was made of: %s', (link) => {
  const settings = parseSettings(new URLSearchParams(link), MANIFEST);
  expect(decodeURIComponent(settingsParams(settings).toString())).toBe(link);
});

test('what a link says wrong is as the pipeline has it, or the nearest that is allowed', () => {
  const settings = parseSettings(new URLSearchParams('class=Tiger&seed=-1&steps=1e9&guidance=x&method=magic&count='), MANIFEST);
  expect(settings).toEqual({
    mix: [{ name: 'Bengal', weight: 1 }],
    seed: 1,
    steps: 100,
    guidance: 2,
    method: 'euler',
    count: 4,
    walk: null,
  });
});

test('seeds are whole numbers of 32 bits', () => {
  expect(['7', ' 7 ', '4294967296', '1.5', '-1', 'x', ''].map(parseSeed)).toEqual([7, 7, null, null, null, null, null]);
});

test('shares of a mix add up to one, and leave the null class alone', () => {
  expect([
    ...classWeights(
      [
        { name: 'Bengal', weight: 1 },
        { name: 'other', weight: 3 },
      ],
      CLASSES,
    ),
  ]).toEqual([0.25, 0, 0.75, 0]);
});
