import type { Better, Groups, Revision, Value } from './report';

export interface Row {
  group: string;
  key: string;
  /** One for each revision; undefined if it has none. */
  values: (Value | undefined)[];
}

/** Results first, clock readings last. */
function rank(group: string): number {
  if (group.startsWith('timing/')) return 2;
  return group === 'evaluate' ? 0 : 1;
}

/** A row for every key that any of the revisions has, by group. */
export function rowsOf(groupsOf: Groups[]): Row[] {
  const names = new Map<string, Set<string>>();
  for (const groups of groupsOf) {
    for (const [group, values] of Object.entries(groups)) {
      const keys = names.get(group) ?? new Set();
      for (const key of Object.keys(values)) keys.add(key);
      names.set(group, keys);
    }
  }
  return [...names.keys()]
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
    .flatMap((group) =>
      [...names.get(group)!].map((key) => ({ group, key, values: groupsOf.map((groups) => groups[group]?.[key]) })),
    );
}

/** In the order of the groups. */
export function groupRows(rows: Row[]): [string, Row[]][] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  return [...groups];
}

/** Parameters by the first part of their name; those without a dot are `general`. */
export function paramGroups(revision: Revision): Groups {
  const groups: Groups = {};
  for (const [name, value] of Object.entries(revision.params)) {
    const dot = name.indexOf('.');
    const [group, key] = dot < 0 ? ['general', name] : [name.slice(0, dot), name.slice(dot + 1)];
    (groups[group] ??= {})[key] = value;
  }
  return groups;
}

export function differs(row: Row): boolean {
  return new Set(row.values.map((value) => JSON.stringify(value))).size > 1;
}

/** Every word of `words` is in the row's name. */
export function matches(row: Row, words: string): boolean {
  const name = `${row.group} ${row.key}`.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => name.includes(word));
}

/** Less than this share of a value is rounding: neither better nor worse. */
const ROUNDING = 1e-9;

export interface Difference {
  absolute: number;
  /** As a share of the older value; undefined if that is 0. */
  relative?: number;
  verdict?: 'better' | 'worse' | 'same';
}

/** How `value` differs from `older`; undefined unless both are numbers. */
export function difference(value: Value | undefined, older: Value | undefined, better?: Better): Difference | undefined {
  if (typeof value !== 'number' || typeof older !== 'number') return undefined;
  const absolute = value - older;
  const same = Math.abs(absolute) <= ROUNDING * Math.abs(older);
  return {
    absolute,
    ...(older !== 0 && { relative: absolute / Math.abs(older) }),
    ...(better && { verdict: same ? 'same' : absolute > 0 === (better === 'higher') ? 'better' : 'worse' }),
  };
}
