import { UserError } from './errors';
import type { Manifest, ManifestFile } from './manifest';

const CACHE = 'tinycats-models';
const HUB = 'https://huggingface.co';
const SILENCE_MS = 20_000; // no byte for as long as this is a failure

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

export interface DownloadOptions {
  onProgress?: (progress: Progress) => void;
  onNotice?: (notice: string) => void;
  silenceMs?: number;
}

/** Where a published file may come from, first choice first. */
export function sourcesOf(manifest: Manifest, folder: string, path: string): Source[] {
  const own: Source = { url: new URL(path, folder).href, from: 'page' };
  if (!manifest.hub) return [own];
  const { repo_id, revision, endpoint = HUB } = manifest.hub;
  return [{ url: `${endpoint}/${repo_id}/resolve/${encodeURIComponent(revision)}/${path}`, from: 'hub' }, own];
}

/**
 * The bytes of a published file, of the size and hash that the manifest says, from the cache or else the first source
 * that has them. Every source gets a second try where its bytes are wrong. Raises UserError where none can be had.
 */
export async function download(
  file: ManifestFile,
  sources: Source[],
  { onProgress, onNotice, silenceMs = SILENCE_MS }: DownloadOptions = {},
): Promise<ArrayBuffer> {
  const cached = await fromCache(file);
  if (cached) {
    onProgress?.({ path: file.path, loaded: file.bytes, total: file.bytes, from: 'cache' });
    return cached;
  }
  const reasons: string[] = [];
  for (const { url, from } of sources) {
    const where = from === 'hub' ? 'the Hub' : "the page's own copy";
    for (let attempt = 1; attempt <= 2; attempt++) {
      try {
        const bytes = await fetchBytes(url, file.bytes, silenceMs, (loaded) =>
          onProgress?.({ path: file.path, loaded, total: file.bytes, from }),
        );
        await verify(bytes, file);
        await intoCache(file, bytes);
        return bytes;
      } catch (error) {
        const reason = reasonOf(error);
        if (error instanceof WrongBytes && attempt === 1) {
          onNotice?.(`${file.path} from ${where} ${reason}; fetching it again.`);
          continue;
        }
        reasons.push(`${where} ${reason}`);
        if (from === 'hub') onNotice?.(`${file.path}: the Hub ${reason}. Using the page's own copy.`);
        break;
      }
    }
  }
  throw new UserError(`${file.path} could not be loaded: ${reasons.join('; ')}. Check the connection and try again.`);
}

class WrongBytes extends Error {}
class HttpError extends Error {}
class Silence extends Error {}

function reasonOf(error: unknown): string {
  if (error instanceof WrongBytes || error instanceof HttpError || error instanceof Silence) return error.message;
  return 'could not be reached';
}

/** A body that is read to its end, with its progress; `expected` bytes, or it is refused. */
export async function fetchBytes(
  url: string,
  expected: number,
  silenceMs: number,
  onLoaded: (loaded: number) => void,
): Promise<ArrayBuffer> {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(new Silence('did not answer in time')), silenceMs);
  };
  alive();
  try {
    // no-store: what is right is kept by hash, a second copy in the browser's own cache would be waste
    const response = await fetch(url, {
      signal: abort.signal,
      referrerPolicy: 'no-referrer',
      credentials: 'omit',
      cache: 'no-store',
    });
    if (!response.ok) throw new HttpError(`answered ${response.status}`);
    if (!response.body) throw new WrongBytes('sent nothing');
    const bytes = new Uint8Array(expected);
    let loaded = 0;
    onLoaded(0);
    const reader = response.body.getReader();
    for (;;) {
      let chunk: ReadableStreamReadResult<Uint8Array>;
      try {
        chunk = await reader.read();
      } catch (error) {
        if (abort.signal.aborted) throw abort.signal.reason;
        throw new WrongBytes(`broke off after ${loaded} of ${expected} bytes`, { cause: error });
      }
      if (chunk.done) break;
      alive();
      if (loaded + chunk.value.length > expected) {
        void reader.cancel();
        throw new WrongBytes(`sent more than the ${expected} bytes that were published`);
      }
      bytes.set(chunk.value, loaded);
      loaded += chunk.value.length;
      onLoaded(loaded);
    }
    if (loaded < expected) throw new WrongBytes(`ended after ${loaded} of ${expected} bytes`);
    return bytes.buffer;
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

function cacheKey(file: ManifestFile): string {
  return new URL(`/tinycats-models/sha256/${file.sha256}`, self.location.origin).href;
}

/** null also where the browser has no cache, as in some private windows, or holds something else under this hash. */
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
  try {
    const headers = { 'Content-Length': String(file.bytes), 'Content-Type': 'application/octet-stream' };
    await (await caches.open(CACHE)).put(cacheKey(file), new Response(bytes, { headers }));
  } catch {
    // full or forbidden: it works without, and is fetched again next time
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
