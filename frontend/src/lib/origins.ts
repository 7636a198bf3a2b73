/** Where a published model may come from besides the page's own folder. A manifest can name no other place. */
export const HUB = 'https://huggingface.co';

/** What the page may connect to besides itself: the Hub, and where it sends the reader for large files. */
export const MODEL_ORIGINS = [HUB, 'https://*.huggingface.co', 'https://*.hf.co'] as const;

/** Kept by the browser, whatever the page's code or a manifest says (Content-Security-Policy). */
export const CONTENT_POLICY = [
  `connect-src 'self' blob: data: ${MODEL_ORIGINS.join(' ')}`,
  "object-src 'none'",
  "base-uri 'none'",
].join('; ');

/** The Hub's origin that a manifest names: the usual one, or on a page of this machine another server of this machine. */
export function hubOrigin(endpoint: string | undefined, page: string | undefined): string | null {
  if (endpoint === undefined || endpoint === HUB) return HUB;
  return page !== undefined && isHere(page) && isHere(endpoint) ? new URL(endpoint).origin : null;
}

function isHere(address: string): boolean {
  try {
    const { protocol, hostname } = new URL(address);
    return protocol === 'http:' && ['127.0.0.1', 'localhost'].includes(hostname);
  } catch {
    return false;
  }
}
