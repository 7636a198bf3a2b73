/** experiments.json, as `tinycats experiments` writes it. What a revision lacks is absent. */
export interface Report {
  schema_version: number;
  /** By group and metric, if known. */
  better: Record<string, Record<string, Better>>;
  /** The newest first; experiments come after the commits. */
  revisions: Revision[];
}

export type Better = 'higher' | 'lower';
export type Value = number | boolean | string | null | Value[];
export type Groups = Record<string, Record<string, Value>>;

export interface Revision {
  kind: 'workspace' | 'commit' | 'experiment';
  commit?: string;
  /** ISO 8601, UTC. */
  date?: string;
  message?: string;
  /** Of an experiment; `baseline` is the commit it started from. */
  name?: string;
  baseline?: string;
  /** By file, then by dotted key. */
  metrics: Groups;
  /** By dotted key. */
  params: Record<string, Value>;
  /** By run, then by name. */
  curves: Record<string, Record<string, Curve>>;
  /** By run; a row of `counts` for each actual class. */
  confusion: Record<string, { classes: string[]; counts: number[][] }>;
  tables: Record<string, { columns: string[]; rows: Value[][] }>;
  images: Picture[];
}

export interface Curve {
  step: number[];
  value: number[];
}

export interface Picture {
  series: string;
  step?: number;
  path: string;
  width: number;
  height: number;
}

const FOLDER = './experiments/';
const SCHEMA_VERSION = 1;

/** Address of a picture, relative to the page. */
export function pictureUrl(picture: Picture): string {
  return FOLDER + picture.path;
}

/** Throws an Error with a message for the reader if there is no readable report. */
export async function loadReport(signal?: AbortSignal): Promise<Report> {
  let response: Response;
  try {
    response = await fetch(`${FOLDER}experiments.json`, { signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error('The experiment data could not be loaded: no connection, and no copy in this browser.', {
      cause: error,
    });
  }
  if (response.status === 404) throw new Error('This page was built without experiment data; `make app` includes it.');
  if (!response.ok) throw new Error(`The experiment data could not be loaded: the server answered ${response.status}.`);
  const report: unknown = await response.json().catch(() => null);
  if (!isReport(report)) throw new Error('This page cannot read experiments.json; build it again with `make app`.');
  return report;
}

function isReport(value: unknown): value is Report {
  if (typeof value !== 'object' || value === null) return false;
  const { schema_version, revisions } = value as Partial<Report>;
  return schema_version === SCHEMA_VERSION && Array.isArray(revisions) && revisions.length > 0;
}

/** Unique in a report and stable between reports: it is in links. */
export function revisionId(revision: Revision): string {
  return revision.commit?.slice(0, 7) ?? revision.kind;
}

export function revisionTitle(revision: Revision): string {
  if (revision.kind === 'workspace') return 'workspace';
  return revision.name ?? revisionId(revision);
}

/** The default to compare with: for an experiment its baseline, else the revision before. */
export function predecessor(revisions: Revision[], revision: Revision): Revision | undefined {
  const others = revisions.filter((other) => other !== revision);
  const commits = others.filter(({ kind }) => kind === 'commit');
  const before = revisions.indexOf(revision) + 1;
  const first =
    revision.kind === 'experiment'
      ? commits.find(({ commit }) => commit === revision.baseline)
      : revisions.slice(before).find(({ kind }) => kind === 'commit');
  return first ?? commits[0] ?? others[0];
}

/** What goes with the title, in a line. */
export function revisionNote(revision: Revision): string {
  if (revision.kind === 'workspace') return 'not committed';
  const day = revision.date?.slice(0, 10) ?? '';
  const words =
    revision.kind === 'experiment' ? `experiment on ${revision.baseline?.slice(0, 7) ?? 'an unknown commit'}` : revision.message;
  return [day, words].filter(Boolean).join(' · ');
}
