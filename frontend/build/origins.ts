/** The one other place that models may come from. huggingface_hub, which uploads them, reads the same variable. */
export const HUB = (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '');

/** Where the Hub sends the reader for large files. */
const STORAGE = HUB === 'https://huggingface.co' ? ['https://*.huggingface.co', 'https://*.hf.co'] : [anyPort(HUB)];

/** What the page may connect to. Kept by the browser, whatever the page's code or a manifest says (Content-Security-Policy). */
export const CONTENT_POLICY = [
  `connect-src 'self' blob: data: ${[new URL(HUB).origin, ...STORAGE].join(' ')}`,
  "object-src 'none'",
  "base-uri 'none'",
].join('; ');

function anyPort(address: string): string {
  const { protocol, hostname } = new URL(address);
  return `${protocol}//${hostname}:*`;
}
