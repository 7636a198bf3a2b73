import { UserError } from './errors';
import type { Manifest, ManifestFile } from './manifest';

const CACHE = 'tinycats-models';
const SILENCE_MS = 20_000; // without a byte for this long, a download has failed

export interface Source {
  url: string;
  from: 'hub' | 'page';
}

export interface Progress {
  path: string;
  loaded: number;
  total: number;
  from: 'hub' | 'page' | 'cache';
}

/** The part of a file received so far: the first `loaded` of its `bytes`. */
export interface Received {
  bytes: Uint8Array<ArrayBuffer>;
  loaded: number;
}

export interface DownloadOptions {
  onProgress?: (progress: Progress) => void;
  onNotice?: (notice: string) => void;
  silenceMs?: number;
}

/**
 * The sources of a published file, first choice first: the Hub that the page was built for, and `folder`. Raises UserError
 * where the manifest names any other place.
 */
export function sourcesOf(manifest: Manifest, folder: string, path: string): Source[] {
  const own: Source = { url: within(new URL('.', folder).href, path), from: 'page' };
  if (!manifest.hub) return [own];
  const { repo_id, revision } = manifest.hub;
  const repository = within(`${__HUB__}/`, `${repo_id}/resolve/${encodeURIComponent(revision)}/`);
  return [{ url: within(repository, path), from: 'hub' }, own];
}

/** The address of what lies at `path` below `folder`, which ends with a slash. */
function within(folder: string, path: string): string {
  const { href } = new URL(path, folder);
  if (!href.startsWith(folder)) {
    throw new UserError(`The list of models names ${path}, which is not in its folder. Run the publish stage again.`);
  }
  return href;
}

/**
 * The bytes of a published file, with the size and hash in the manifest, from the cache or else the first source that has
 * them. A source whose bytes are wrong gets a second try. A download that broke off resumes where it stopped, also on a
 * later visit. Raises UserError if the file is unavailable.
 */
export async function download(
  file: ManifestFile,
  sources: Source[],
  { onProgress, onNotice, silenceMs = SILENCE_MS }: DownloadOptions = {},
): Promise<ArrayBuffer> {
  if (!self.isSecureContext) {
    throw new UserError('Models can be verified only on https:// or 127.0.0.1; open this page at such an address.');
  }
  const cached = await fromCache(file);
  if (cached) {
    onProgress?.({ path: file.path, loaded: file.bytes, total: file.bytes, from: 'cache' });
    return cached;
  }
  const received = (await keptPart(file)) ?? { bytes: new Uint8Array(file.bytes), loaded: 0 };
  const parts = new PartKeeper(file, received);
  const reasons: string[] = [];
  for (const { url, from } of sources) {
    const where = from === 'hub' ? 'the Hub' : "the page's own copy";
    for (let attempt = 1; attempt <= 2; attempt++) {
      try {
        await fetchBytes(url, received, silenceMs, (loaded) => {
          parts.at(loaded);
          onProgress?.({ path: file.path, loaded, total: file.bytes, from });
        });
        const { buffer } = received.bytes;
        await verify(buffer, file);
        await intoCache(file, buffer);
        await parts.drop();
        return buffer;
      } catch (error) {
        const reason = reasonOf(error);
        if (error instanceof WrongBytes) received.loaded = 0;
        if ((error instanceof WrongBytes || error instanceof BrokenOff) && attempt === 1) {
          onNotice?.(`${file.path} from ${where} ${reason}; fetching ${received.loaded ? 'the rest' : 'it again'}.`);
          continue;
        }
        reasons.push(`${where} ${reason}`);
        if (from === 'hub') onNotice?.(`${file.path}: the Hub ${reason}. Using the page's own copy.`);
        break;
      }
    }
  }
  await (received.loaded ? parts.keep() : parts.drop());
  throw new UserError(`${file.path} could not be loaded: ${reasons.join('; ')}. Check the connection and try again.`);
}

class WrongBytes extends Error {}
class BrokenOff extends Error {}
class HttpError extends Error {}
class Silence extends Error {}

function reasonOf(error: unknown): string {
  const told = [WrongBytes, BrokenOff, HttpError, Silence].some((kind) => error instanceof kind);
  if (told) return (error as Error).message;
  return 'could not be reached';
}

/** Fills `received` and reports progress; refuses a body that is shorter or longer than the missing bytes. */
export async function fetchBytes(
  url: string,
  received: Received,
  silenceMs: number,
  onLoaded: (loaded: number) => void,
): Promise<void> {
  const expected = received.bytes.length;
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(new Silence('did not answer in time')), silenceMs);
  };
  alive();
  try {
    // no-store: the page keeps verified files by hash, a second copy in the browser's cache would be waste
    const response = await fetch(url, {
      signal: abort.signal,
      referrerPolicy: 'no-referrer',
      credentials: 'omit',
      cache: 'no-store',
      headers: received.loaded ? { Range: `bytes=${received.loaded}-` } : {},
    });
    if (!response.ok) throw new HttpError(`answered ${response.status}`);
    if (!response.body) throw new WrongBytes('sent nothing');
    if (response.status !== 206) received.loaded = 0; // the whole file, whatever was asked for
    onLoaded(received.loaded);
    const reader = response.body.getReader();
    for (;;) {
      let chunk: ReadableStreamReadResult<Uint8Array>;
      try {
        chunk = await reader.read();
      } catch (error) {
        if (abort.signal.aborted) throw abort.signal.reason;
        throw new BrokenOff(`broke off after ${received.loaded} of ${expected} bytes`, { cause: error });
      }
      if (chunk.done) break;
      alive();
      if (received.loaded + chunk.value.length > expected) {
        void reader.cancel();
        throw new WrongBytes(`sent more than the ${expected} bytes that were published`);
      }
      received.bytes.set(chunk.value, received.loaded);
      received.loaded += chunk.value.length;
      onLoaded(received.loaded);
    }
    if (received.loaded < expected) throw new BrokenOff(`ended after ${received.loaded} of ${expected} bytes`);
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}

export async function sha256(bytes: ArrayBuffer): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function verify(bytes: ArrayBuffer, file: ManifestFile): Promise<void> {
  if ((await sha256(bytes)) !== file.sha256) throw new WrongBytes('is not what was published (its SHA-256 differs)');
}

function cacheKey(file: ManifestFile, kind: 'sha256' | 'part' = 'sha256'): string {
  return new URL(`/tinycats-models/${kind}/${file.sha256}`, self.location.origin).href;
}

/** null also if the browser has no cache, as in some private windows, or the cached bytes are wrong. */
async function fromCache(file: ManifestFile): Promise<ArrayBuffer | null> {
  try {
    const cache = await caches.open(CACHE);
    const found = await cache.match(cacheKey(file));
    if (!found) return null;
    const bytes = await found.arrayBuffer();
    if ((await sha256(bytes)) === file.sha256) return bytes;
    await cache.delete(cacheKey(file));
  } catch {
    // no cache: the network has it
  }
  return null;
}

async function intoCache(file: ManifestFile, bytes: ArrayBuffer): Promise<void> {
  await put(cacheKey(file), new Uint8Array(bytes));
}

async function put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  try {
    const headers = { 'Content-Length': String(bytes.length), 'Content-Type': 'application/octet-stream' };
    await (await caches.open(CACHE)).put(key, new Response(bytes, { headers }));
  } catch {
    // full or forbidden: works without, and is fetched again next time
  }
}

/** The part of a file that an earlier download left. */
async function keptPart(file: ManifestFile): Promise<Received | null> {
  try {
    const found = await (await caches.open(CACHE)).match(cacheKey(file, 'part'));
    const part = found && new Uint8Array(await found.arrayBuffer());
    if (!part || part.length >= file.bytes) return null;
    const bytes = new Uint8Array(file.bytes);
    bytes.set(part);
    return { bytes, loaded: part.length };
  } catch {
    return null;
  }
}

/** Keeps a partial download: at each quarter, since a page may be closed at any time, and when asked. */
class PartKeeper {
  private quarter = 1;
  private last: Promise<unknown> = Promise.resolve();
  private readonly file: ManifestFile;
  private readonly received: Received;

  constructor(file: ManifestFile, received: Received) {
    this.file = file;
    this.received = received;
  }

  at(loaded: number): void {
    if (loaded < (this.quarter * this.file.bytes) / 4 || loaded === this.file.bytes) return;
    this.quarter = Math.floor((4 * loaded) / this.file.bytes) + 1;
    void this.keep();
  }

  keep(): Promise<unknown> {
    const { bytes, loaded } = this.received;
    return (this.last = this.last.then(() => put(cacheKey(this.file, 'part'), bytes.slice(0, loaded))));
  }

  async drop(): Promise<void> {
    await this.last;
    await caches
      .open(CACHE)
      .then((cache) => cache.delete(cacheKey(this.file, 'part')))
      .catch(() => undefined);
  }
}

export interface Stored {
  files: number;
  bytes: number;
}

export async function storedModels(): Promise<Stored> {
  try {
    const cache = await caches.open(CACHE);
    const sizes = await Promise.all(
      (await cache.keys()).map(async (key) => Number((await cache.match(key))?.headers.get('Content-Length') ?? 0)),
    );
    return { files: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  } catch {
    return { files: 0, bytes: 0 };
  }
}

export async function clearModels(): Promise<void> {
  await caches.delete(CACHE);
}
