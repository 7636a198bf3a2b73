import { expect, test } from 'vitest';
import type { Manifest } from '../../lib/manifest';
import { classWeights, parseSeed, parseSettings, settingsParams } from './settings';

const CLASSES = ['Bengal', 'British_Shorthair', 'other'];
const GUIDED = { method: 'euler', steps: 20, guidance: 2, guidance_low: 0.1, guidance_high: 0.9 };
const FEW_STEP = { method: 'euler', steps: 4, guidance: 1, guidance_low: 0, guidance_high: 1 };
const TEACHER_ALONE = { generator: { classes: CLASSES, few_step: false, sampler: GUIDED } } as Manifest;
const MANIFEST = { ...TEACHER_ALONE, student: { classes: CLASSES, few_step: true, sampler: FEW_STEP } } as Manifest;

test.each([
  'model=teacher&class=British_Shorthair&seed=4294967295&steps=7&guidance=3.5&guidance_low=0.2&guidance_high=0.55&method=heun&count=2',
  'model=teacher&class=Bengal:1,other:2.5&seed=0&steps=1&guidance=1&guidance_low=0&guidance_high=1&method=euler&to=other&toSeed=9&frames=5',
  'model=student&class=Bengal&seed=1&steps=8&count=1',
  'model=student&class=Bengal&seed=1&steps=8&count=1&first=2',
])('a link gives back the settings it was made of: %s', (link) => {
  const settings = parseSettings(new URLSearchParams(link), MANIFEST);
  expect(decodeURIComponent(settingsParams(settings, MANIFEST).toString())).toBe(link);
});

test('what is wrong in a link is as published, or the nearest allowed value', () => {
  const settings = parseSettings(
    new URLSearchParams('model=teacher&class=Tiger&seed=-1&steps=1e9&guidance=x&method=toString&count='),
    MANIFEST,
  );
  expect(settings).toEqual({
    model: 'generator',
    mix: [{ name: 'Bengal', weight: 1 }],
    seed: 1,
    sampler: { ...GUIDED, steps: 100 },
    count: 4,
    first: 0,
    walk: null,
  });
});

test('the student, if published, is the default, and only its steps can be set', () => {
  const parse = (link: string, manifest: Manifest) => {
    const { model, sampler } = parseSettings(new URLSearchParams(link), manifest);
    return [model, sampler];
  };
  expect(parse('', MANIFEST)).toEqual(['student', FEW_STEP]);
  expect(parse('steps=2', MANIFEST)).toEqual(['student', { ...FEW_STEP, steps: 2 }]);
  expect(parse('model=student&steps=20&guidance=3&method=heun', MANIFEST)).toEqual(['student', { ...FEW_STEP, steps: 8 }]);
  expect(parse('model=student', TEACHER_ALONE)).toEqual(['generator', GUIDED]);
});

test('seeds are whole numbers of 32 bits', () => {
  expect(['7', ' 7 ', '4294967296', '1.5', '-1', 'x', ''].map(parseSeed)).toEqual([7, 7, null, null, null, null, null]);
});

test('the shares of a mix add up to one, without the null class', () => {
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
