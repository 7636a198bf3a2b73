import { readFileSync, readdirSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { CONTENT_POLICY, HUB } from '../build/origins.ts';
import { BASE, DIST, manifest, openPage, PATIENCE_MS, visit } from './browser.ts';
import { openSite, type Site } from './server.ts';
import { browser, shareSite, site } from './shared.ts';

const CLASSIFIER = manifest().classifier.files.int8;
const ISOLATED = { 'Cross-Origin-Embedder-Policy': 'require-corp' }; // a worker's script needs it too
const CORS = { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' };

shareSite();

function asked(path: string, of = site): number {
  return of.requests.filter((url) => url.endsWith(path)).length;
}

async function classify(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Example: Bengal' }).click();
}

function sent(response: ServerResponse, content: Buffer, headers: Record<string, string> = {}): true {
  response.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Cross-Origin-Resource-Policy': 'cross-origin',
    ...headers,
  });
  response.end(content);
  return true;
}

function altered(): Buffer {
  const content = readFileSync(join(DIST, 'models', CLASSIFIER));
  content[content.length >> 1]! ^= 1;
  return content;
}

test.each([
  { what: 'altered', content: () => altered(), reason: 'is not what was published (its SHA-256 differs)' },
  { what: 'truncated', content: () => altered().subarray(0, 1000), reason: 'ended after 1000 of' },
  { what: 'longer', content: () => Buffer.concat([altered(), Buffer.alloc(9)]), reason: 'sent more than the' },
])(
  'a download that is $what is fetched again, then refused; a retry works once the server recovers',
  async ({ content, reason }) => {
    site.fault = (request, response) => request.url!.endsWith(CLASSIFIER) && sent(response, content());
    const { page, close } = await visit(browser, site, '/classify');
    await classify(page);
    const error = page.getByRole('alert').filter({ hasText: 'could not be loaded' });
    await error.waitFor();
    expect(await error.textContent()).toContain(`${CLASSIFIER} could not be loaded: the page's own copy ${reason}`);
    expect(asked(CLASSIFIER)).toBe(2);
    expect(await page.getByTestId('answer').count()).toBe(0);
    site.fault = null;
    await error.getByRole('button', { name: 'Try again' }).click();
    await page.getByTestId('answer').waitFor();
    expect(asked(CLASSIFIER)).toBe(3);
    await close();
  },
);

test('a download that breaks off resumes where it stopped, also on the next visit', async () => {
  const content = readFileSync(join(DIST, 'models', CLASSIFIER));
  const half = content.length >> 1;
  const ranges: (string | undefined)[] = [];
  site.fault = (request, response) => {
    if (!request.url!.endsWith(CLASSIFIER)) return false;
    ranges.push(request.headers.range);
    if (ranges.length > 1) {
      response.destroy(); // the rest is unavailable
      return true;
    }
    response.writeHead(200, { 'Content-Length': content.length, 'Cross-Origin-Resource-Policy': 'same-origin' });
    response.write(content.subarray(0, half), () => setTimeout(() => response.destroy(), 1000));
    return true;
  };
  const { page, close } = await visit(browser, site, '/classify');
  await classify(page);
  await page.getByText(`broke off after ${half} of ${content.length} bytes; fetching the rest.`).waitFor();
  await page.getByRole('alert').filter({ hasText: 'could not be loaded' }).waitFor();
  expect(ranges.slice(0, 2)).toEqual([undefined, `bytes=${half}-`]);
  site.fault = (request) => {
    if (request.url!.endsWith(CLASSIFIER)) ranges.push(request.headers.range);
    return false;
  };
  await page.reload();
  await classify(page);
  await page.getByTestId('answer').waitFor();
  expect(ranges.at(-1)).toBe(`bytes=${half}-`);
  await page.getByTestId('device').click();
  await page.getByText(/^2 files, /).waitFor(); // and nothing is left of the part
  await close();
});

test('one broken download heals by itself, and the page says so', async () => {
  let broken = 0;
  site.fault = (request, response) => request.url!.endsWith(CLASSIFIER) && broken++ === 0 && sent(response, altered());
  const { page, close } = await visit(browser, site, '/classify');
  await classify(page);
  await page.getByTestId('answer').waitFor();
  await page.getByText(/fetching it again/).waitFor();
  await close();
});

test('progress counts the bytes of the manifest, never more, also under gzip', async () => {
  let finish = (): void => undefined;
  const content = readFileSync(join(DIST, 'models', CLASSIFIER));
  site.fault = (request, response) => {
    if (!request.url!.endsWith(CLASSIFIER)) return false;
    response.writeHead(200, { 'Content-Encoding': 'gzip', 'Cross-Origin-Resource-Policy': 'same-origin' });
    const zipped = gzipSync(content);
    response.write(zipped.subarray(0, zipped.length >> 1));
    finish = () => void response.end(zipped.subarray(zipped.length >> 1));
    return true;
  };
  const { page, close } = await visit(browser, site, '/classify');
  await classify(page);
  const total = content.length < 1e6 ? `${(content.length / 1e3).toFixed(0)} kB` : `${(content.length / 1e6).toFixed(1)} MB`;
  await page.getByText(new RegExp(`Loading .*${CLASSIFIER.split('/')[1]!}.*of ${total}`)).waitFor();
  await page.waitForFunction(() => Number(document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow')) > 0);
  const now = Number(await page.getByRole('progressbar').getAttribute('aria-valuenow'));
  expect(now).toBeLessThan(100);
  finish();
  await page.getByTestId('answer').waitFor();
  await close();
});

test.each([
  { what: 'answers 404', hub: (response: ServerResponse) => void response.writeHead(404, CORS).end(), said: 'answered 404' },
  {
    what: 'forbids the page',
    hub: (response: ServerResponse) => void response.writeHead(200).end(),
    said: 'could not be reached',
  },
  {
    what: 'sends something else',
    hub: (response: ServerResponse) => void sent(response, altered(), CORS),
    said: 'SHA-256 differs',
  },
  { what: 'says nothing', hub: () => undefined, said: 'did not answer in time' },
])("if the Hub $what, the page's own copy is used, and the page says so", async ({ hub, said }) => {
  const theHub = await openSite({});
  theHub.fault = (_, response) => {
    hub(response);
    return true;
  };
  await withHub(theHub, async (page, own) => {
    await classify(page);
    await page
      .getByText(new RegExp(`the Hub .*${said}.*Using the page's own copy`))
      .first()
      .waitFor();
    await page.getByTestId('answer').waitFor({ timeout: 2 * PATIENCE_MS });
    expect(asked(CLASSIFIER, theHub)).toBeGreaterThan(0);
    expect(asked(CLASSIFIER, own)).toBe(1);
  });
});

test('models come from the Hub when the manifest names it, at its revision, and then not from the page', async () => {
  const theHub = await openSite({
    base: '/someone/cats/resolve/v1/',
    build: { outDir: join(DIST, 'models') },
    preview: { headers: CORS },
  });
  await withHub(theHub, async (page, own) => {
    await classify(page);
    await page.getByTestId('answer').waitFor();
    expect(theHub.requests).toContain(`/someone/cats/resolve/v1/${CLASSIFIER}`);
    expect(asked(CLASSIFIER, own)).toBe(0);
    expect(await page.getByText("the page's own copy").count()).toBe(0);
  });
});

/** The build as it would be with HF_ENDPOINT, and a manifest that names a repository there. */
async function withHub(
  hub: Site,
  use: (page: Page, site: Site) => Promise<void>,
  headers: 'isolation' | 'all' = 'isolation',
): Promise<void> {
  const named = { ...manifest(), hub: { repo_id: 'someone/cats', revision: 'v1' } };
  const policy: Record<string, string> = headers === 'all' ? { 'Content-Security-Policy': CONTENT_POLICY } : {};
  const own = await openPage(headers);
  own.fault = (request, response) => {
    const path = request.url!.split('?')[0]!;
    if (path.endsWith('manifest.json')) {
      return sent(response, Buffer.from(JSON.stringify(named)), { 'Content-Type': 'application/json' });
    }
    if (!path.endsWith('.js') || !path.startsWith(`${BASE}assets/`)) return false;
    const script = readFileSync(join(DIST, path.slice(BASE.length)), 'utf8').replaceAll(HUB, hub.origin);
    return sent(response, Buffer.from(script), { 'Content-Type': 'text/javascript', ...ISOLATED, ...policy });
  };
  const { page, close } = await visit(browser, own, '/classify');
  try {
    await use(page, own);
  } finally {
    await close();
    await own.close();
    await hub.close();
  }
}

test('the browser itself keeps the page from fetching from elsewhere, also in its worker', async () => {
  const theHub = await openSite({});
  await withHub(
    theHub,
    async (page, own) => {
      await classify(page);
      await page
        .getByText(/the Hub could not be reached/)
        .first()
        .waitFor();
      await page.getByTestId('answer').waitFor();
      const reached = await page.evaluate(
        (url) =>
          fetch(url, { mode: 'no-cors' }).then(
            () => true,
            () => false,
          ),
        theHub.origin,
      );
      expect(reached).toBe(false);
      expect(theHub.requests).toEqual([]);
      expect(asked(CLASSIFIER, own)).toBe(1);
    },
    'all',
  );
});

test('without isolation headers the service worker isolates the page; the second visit fetches no model and works offline', async () => {
  const pages = await openPage('none');
  const { page, context, errors, close } = await visit(browser, pages, '/classify', { serviceWorkers: 'allow', threads: 2 });
  await page.waitForFunction(() => self.crossOriginIsolated, undefined, { timeout: PATIENCE_MS });
  await page.waitForLoadState();
  await classify(page);
  await page.getByTestId('answer').waitFor();
  expect(await page.getByTestId('device').textContent()).toBe('WASM, 2 threads');
  expect(asked(CLASSIFIER, pages)).toBe(1);
  pages.requests.length = 0;
  await page.reload();
  await classify(page);
  await page.getByTestId('answer').waitFor();
  expect(pages.requests.filter((url) => /\.(onnx|bin|wasm)$/.test(url))).toEqual([]);

  await pages.close();
  await context.setOffline(true);
  await page.reload();
  await classify(page);
  await page.getByTestId('answer').waitFor();
  for (const name of ['Generate', 'Benchmark', 'Experiments']) {
    await page.getByRole('link', { name }).click();
    await page.getByRole('heading', { level: 1 }).waitFor();
  }
  expect(errors.filter((error) => !/Failed to load resource|ERR_/.test(error))).toEqual([]);
  await close();
});

test('stored models are counted and can be cleared', async () => {
  const { page, close } = await visit(browser, site, '/classify');
  await classify(page);
  await page.getByTestId('answer').waitFor();
  await page.getByTestId('device').click();
  await page.getByText(/^2 files, /).waitFor(); // the classifier and its head
  await page.getByRole('button', { name: 'Clear' }).click();
  await page.getByText('0 files, 0 B stored on this device').waitFor();
  await close();
});

test('without published models, the page says what to do', async () => {
  site.fault = (request, response) => {
    if (!request.url!.endsWith('manifest.json')) return false;
    response.writeHead(404).end();
    return true;
  };
  const context = await browser.newContext({ serviceWorkers: 'block' });
  const page = await context.newPage();
  await page.goto(`${site.origin}${BASE}`);
  await page.getByText('Run the pipeline (make repro)').waitFor();
  site.fault = null;
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('heading', { level: 1 }).waitFor();
  await context.close();
});

test('the first page needs less than 150 kB of gzipped JavaScript', async () => {
  const { page, close } = await visit(browser, site, '/classify');
  await page.waitForLoadState('networkidle');
  const scripts = site.requests.filter((url) => url.endsWith('.js'));
  const size = scripts.reduce((sum, url) => sum + gzipSync(readFileSync(join(DIST, url.slice(BASE.length)))).length, 0);
  expect(scripts.length).toBeGreaterThan(1);
  expect(size).toBeLessThan(150_000);
  expect(readdirSync(join(DIST, 'assets')).some((name) => name.startsWith('ort'))).toBe(true);
  expect(scripts.some((url) => url.includes('ort'))).toBe(false);
  await close();
});
