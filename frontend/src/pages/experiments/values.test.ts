import { describe, expect, it } from 'vitest';
import { formatNumber, formatPercent, formatSigned, formatValue } from './numbers';
import { predecessor, type Revision } from './report';
import { align, smooth, thin } from './series';
import { difference, differs, matches, paramGroups, rowsOf } from './values';

const revision = (fields: Partial<Revision>): Revision => ({
  kind: 'commit', metrics: {}, params: {}, curves: {}, confusion: {}, tables: {}, images: [], ...fields,
}); // prettier-ignore

describe('rows', () => {
  const rows = rowsOf([
    { 'timing/fetch': { seconds: 3 }, classifier: { loss: 0.5, top1: 0 } },
    { evaluate: { n: 3 }, classifier: { top1: 0 } },
  ]);
  it('have what any revision has, results first and clock readings last', () => {
    expect(rows.map(({ group, key }) => `${group} ${key}`)).toEqual([
      'evaluate n',
      'classifier loss',
      'classifier top1',
      'timing/fetch seconds',
    ]);
  });
  it('tell what is missing from 0', () => {
    expect(rows.map(({ values }) => values)).toEqual([
      [undefined, 3],
      [0.5, undefined],
      [0, 0],
      [3, undefined],
    ]);
    expect(rows.map(differs)).toEqual([true, true, false, true]);
    expect(differs({ group: '', key: '', values: [['a'], ['a']] })).toBe(false);
    expect(differs({ group: '', key: '', values: [null, undefined] })).toBe(true);
  });
  it('are found by parts of their name', () => {
    expect(rows.filter((row) => matches(row, 'TOP class')).map(({ key }) => key)).toEqual(['top1']);
    expect(rows.filter((row) => matches(row, ''))).toHaveLength(4);
  });
  it('group parameters by their first name', () => {
    expect(paramGroups(revision({ params: { seed: 0, 'train.lr': 0.1, 'train.ema.decay': 0.9 } }))).toEqual({
      general: { seed: 0 },
      train: { lr: 0.1, 'ema.decay': 0.9 },
    });
  });
});

describe('difference', () => {
  it('is absolute and relative to the older value', () => {
    expect(difference(3, 4, 'lower')).toEqual({ absolute: -1, relative: -0.25, verdict: 'better' });
    expect(difference(3, 4, 'higher')?.verdict).toBe('worse');
    expect(difference(-3, -4)).toEqual({ absolute: 1, relative: 0.25 });
    expect(difference(4, 4, 'higher')).toEqual({ absolute: 0, relative: 0, verdict: 'same' });
    expect(difference(0.1 + 0.2, 0.3, 'lower')?.verdict).toBe('same');
    expect(difference(0.3 + 1e-6, 0.3, 'lower')?.verdict).toBe('worse');
  });
  it('has no share of 0, and is absent if a value is', () => {
    expect(difference(1, 0)).toEqual({ absolute: 1 });
    expect(difference(1, undefined)).toBeUndefined();
    expect(difference(undefined, 0)).toBeUndefined();
    expect(difference(1, '1')).toBeUndefined();
  });
});

describe('numbers', () => {
  it('are whole in full, else of four digits', () => {
    expect([0, 1, 44723567, 0.04294217830030327, 84.00672043063301, 1679.699743999663, 2.384185791015625e-7, -0.5].map(formatNumber)).toEqual([
      '0', '1', '44,723,567', '0.04294', '84.01', '1,680', '2.384e-7', '-0.5',
    ]); // prettier-ignore
    expect([true, null, 'a', ['a', 1]].map((value) => formatValue(value))).toEqual(['true', 'null', 'a', '["a",1]']);
  });
  it('of a difference have a sign', () => {
    expect([1, 0, -0.25].map(formatSigned)).toEqual(['+1', '0', '−0.25']);
    expect([0.185, -0.058, 12.5, 0].map(formatPercent)).toEqual(['+18.5%', '−5.80%', '+1,250%', '0.00%']);
  });
});

describe('curves', () => {
  it('are smoothed without a pull to 0', () => {
    expect(smooth([4, 4, 4], 0.9).map((value) => Number(value.toFixed(9)))).toEqual([4, 4, 4]);
    expect(smooth([1, 3], 0)).toEqual([1, 3]);
    expect(smooth([0, 3], 0.5)[1]).toBeCloseTo(2);
  });
  it('keep their ends when thinned', () => {
    const step = Array.from({ length: 1003 }, (_, index) => index);
    const thinned = thin({ step, value: step }, 100);
    expect(thinned.step.length).toBeLessThanOrEqual(101);
    expect([thinned.step[0], thinned.step.at(-1)]).toEqual([0, 1002]);
    expect(thinned.value).toEqual(thinned.step);
  });
  it('share an axis', () => {
    const aligned = align([
      { step: [1, 3], value: [10, 30] },
      { step: [2, 3], value: [0, 5] },
    ]);
    expect(aligned).toEqual({
      steps: [1, 2, 3],
      values: [
        [10, null, 30],
        [null, 0, 5],
      ],
    });
  });
});

describe('predecessor', () => {
  const [workspace, newer, older] = [revision({ kind: 'workspace' }), revision({ commit: 'b' }), revision({ commit: 'a' })];
  const experiment = revision({ kind: 'experiment', commit: 'x', baseline: 'a' });
  const elsewhere = revision({ kind: 'experiment', commit: 'y', baseline: 'not listed' });
  const all = [workspace, newer, older, experiment, elsewhere];
  it('is the revision before, or what an experiment started from', () => {
    expect(all.map((one) => predecessor(all, one))).toEqual([newer, older, newer, older, newer]);
    expect(predecessor([newer], newer)).toBeUndefined();
  });
});
