import { afterEach, expect, test, vi } from 'vitest';
import { share } from './share';

const FILE = new File(['picture'], 'cat.png', { type: 'image/png' });
const CAT = { file: FILE, title: 'A cat', url: 'https://example.org/#/generate?seed=1' };

/** What a browser has of sharing and copying, which Node has not. */
function browser(own: Partial<Record<'share' | 'canShare' | 'writeText', unknown>>): void {
  const { writeText, ...others } = own;
  vi.stubGlobal('navigator', { ...others, ...(writeText ? { clipboard: { writeText } } : {}) });
  vi.stubGlobal('window', { prompt: vi.fn() });
}
afterEach(() => vi.unstubAllGlobals());

test('the picture and its link are shared where the browser takes files', async () => {
  const shared = vi.fn(async () => undefined);
  browser({ share: shared, canShare: () => true });
  expect(await share(CAT)).toBe('shared');
  expect(shared).toHaveBeenCalledExactlyOnceWith({ title: CAT.title, url: CAT.url, files: [FILE] });
});

test.each([
  { what: 'takes no files', canShare: (data: ShareData) => !data.files },
  { what: 'cannot say what it takes', canShare: undefined },
])('the link alone is shared where the browser $what', async ({ canShare }) => {
  const shared = vi.fn(async () => undefined);
  browser({ share: shared, canShare });
  expect(await share(CAT)).toBe('shared');
  expect(shared).toHaveBeenCalledExactlyOnceWith({ title: CAT.title, url: CAT.url });
});

test('a reader who changes their mind gets nothing copied', async () => {
  const writeText = vi.fn(async () => undefined);
  browser({ share: () => Promise.reject(new DOMException('', 'AbortError')), canShare: () => true, writeText });
  expect(await share(CAT)).toBe('cancelled');
  expect(writeText).not.toHaveBeenCalled();
});

test.each([
  { what: 'cannot share', own: {} },
  { what: 'may not', own: { share: () => Promise.reject(new DOMException('', 'NotAllowedError')), canShare: () => true } },
])('the link is copied where the browser $what', async ({ own }) => {
  const writeText = vi.fn(async () => undefined);
  browser({ ...own, writeText });
  expect(await share(CAT)).toBe('copied');
  expect(writeText).toHaveBeenCalledExactlyOnceWith(CAT.url);
});

test('the link is shown where it cannot be copied either', async () => {
  browser({});
  expect(await share(CAT)).toBe('shown');
  expect(window.prompt).toHaveBeenCalledExactlyOnceWith(expect.any(String), CAT.url);
});
