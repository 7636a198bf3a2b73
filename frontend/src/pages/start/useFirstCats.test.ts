import { expect, test } from 'vitest';
import type { Manifest } from '../../lib/manifest';
import { MAX_SEED } from '../../lib/noise';
import { firstCats } from './useFirstCats';

const BREEDS = Array.from({ length: 20 }, (_, i) => `breed ${i}`);
const SAMPLER = { method: 'euler', steps: 4, guidance: 1, guidance_low: 0, guidance_high: 1 };

/** What is read of a manifest. */
function published(parts: { student?: string[]; generator?: string[]; other?: string | null }): Manifest {
  const model = (classes: string[] | undefined, few_step: boolean) => classes && { classes, few_step, sampler: SAMPLER };
  const { student, generator, other = null } = parts;
  return { classifier: { other }, student: model(student, true), generator: model(generator, false) } as unknown as Manifest;
}

test('the first cats are one of each breed, by the student, of seeds that follow each other', () => {
  const cats = firstCats(published({ student: ['other', ...BREEDS.slice(0, 3)], generator: BREEDS, other: 'other' }), MAX_SEED);
  expect(cats.map(({ model, mix, seed }) => [model, mix[0]!.name, seed])).toEqual([
    ['student', 'breed 0', MAX_SEED],
    ['student', 'breed 1', 0],
    ['student', 'breed 2', 1],
  ]);
  expect(cats[0]).toMatchObject({ sampler: SAMPLER, count: 1, first: 0, walk: null });
});

test('there are twelve at most, few where only the slow teacher can make them, and none without a generator', () => {
  expect(firstCats(published({ student: BREEDS }), 1)).toHaveLength(12);
  expect(firstCats(published({ generator: BREEDS }), 1)).toHaveLength(3);
  expect(firstCats(published({}), 1)).toEqual([]);
  expect(firstCats(published({ student: ['other'], other: 'other' }), 1)).toHaveLength(1); // it has nothing else to show
});
