/** A folder of published models that the page has: those of this repository's run, or those that came with the repository. */
export interface Version {
  /** In links. */
  name: string;
  /** Relative to the page, with a slash at its end. */
  folder: string;
  title: string;
  /** That the commit of the build has as a tag, where the manifest names none. */
  version?: string;
}

const RUN: Version = { name: 'run', folder: 'models/', title: 'This run' };

/** What the build found, the usual one first; the run's own where it found none, or there was no build. */
export async function loadVersions(): Promise<[Version, ...Version[]]> {
  try {
    const response = await fetch(new URL('versions.json', document.baseURI), { cache: 'no-cache' });
    const [first, ...others] = response.ok ? ((await response.json()) as Version[]) : [];
    return first ? [first, ...others] : [RUN];
  } catch {
    return [RUN];
  }
}
