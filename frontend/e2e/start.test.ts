import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { displayName, generatorInfo } from '../src/lib/manifest.ts';
import { readText } from '../src/lib/png.ts';
import { BASE, GOLDEN, manifest, pixels } from './browser.ts';
import { browser, shareSite, site, withPage } from './shared.ts';

const { files, classes, sampler } = generatorInfo(manifest(), 'student');
const BREEDS = classes.filter((name) => name !== manifest().classifier.other).slice(0, 12);
const MADE = /^Made on your device just now/;

shareSite();

/** Until the pictures of the Generate page have their verdicts. */
async function made(page: Page): Promise<void> {
  await page.getByText(/The classifier agrees on/).waitFor();
  await page.getByRole('button', { name: 'Generate', exact: true }).waitFor();
}

test('a first visit sees a cat of each breed without a click, the first within 3 seconds of the arrival of the model', async () => {
  let arrived = 0;
  site.fault = (request, response) => {
    if (request.url!.endsWith(files.int8!)) response.on('finish', () => (arrived = Date.now()));
    return false;
  };
  await withPage('', async ({ page }) => {
    await page.locator('[data-testid=cat][data-done=true]').first().waitFor();
    expect(Date.now() - arrived).toBeLessThan(3000);
    await page.getByText(MADE).waitFor();
    const cats = page.getByTestId('cat');
    expect(await cats.allTextContents()).toEqual(BREEDS.map(displayName));
    const pictures = await Promise.all(BREEDS.map((_, i) => pixels(cats.nth(i).locator('canvas'))));
    for (const picture of pictures) expect(new Set(picture).size).toBeGreaterThan(4); // not a plane
    expect(new Set(pictures.map(String)).size).toBe(BREEDS.length);

    const others = page.getByRole('button', { name: 'Make others' });
    await others.click();
    await expect.poll(() => pixels(cats.first().locator('canvas'))).not.toEqual(pictures[0]);
    await page.getByText(MADE).waitFor();
    expect(site.requests.filter((url) => url.endsWith('.onnx'))).toHaveLength(1);
  });
});

test('a cat of the first page leads to its settings, which make the same pixels at once', async () => {
  await withPage('/', async ({ page }) => {
    await page.getByText(MADE).waitFor();
    const cat = page.getByTestId('cat').nth(1);
    const first = await pixels(cat.locator('canvas'));
    await cat.click();
    await made(page);
    expect(await page.getByRole('combobox', { name: 'Class' }).textContent()).toBe(displayName(BREEDS[1]!));
    expect(await page.getByTestId('picture').count()).toBe(1);
    expect(await pixels(page.getByTestId('picture'))).toEqual(first);
    expect(new URL(page.url()).hash).not.toContain('start='); // going back here must not start it again
    await page.getByRole('link', { name: 'tinycats' }).click();
    await page.getByText(MADE).waitFor();
  });
});

test('who saves data is asked first', async () => {
  const visited = await browser.newContext({ serviceWorkers: 'block' });
  await visited.addInitScript(() => Object.defineProperty(navigator, 'connection', { value: { saveData: true } }));
  const page = await visited.newPage();
  await page.goto(`${site.origin}${BASE}`);
  await page.getByText(/MB to load, once/).waitFor();
  await page.waitForLoadState('networkidle');
  expect(site.requests.filter((url) => /\.(onnx|wasm)$/.test(url))).toEqual([]);
  await page.getByRole('button', { name: 'Make cats' }).click();
  await page.getByText(MADE).waitFor();
  await visited.close();
});

test('from a photo to its breed, to new pictures of that breed, and back', async () => {
  await withPage('/', async ({ page }) => {
    await page.getByLabel('Use my photo').setInputFiles(join(GOLDEN, 'plain.png'));
    await page.getByRole('heading', { name: 'Which breed is it?' }).waitFor();
    const answer = page.getByRole('region', { name: 'Answer for plain.png' });
    await answer.waitFor();

    // models that were trained for seconds may take the photo for no breed at all
    const bars = answer.getByRole('list', { name: 'Most likely classes' }).getByRole('button');
    const names = (await bars.allTextContents()).map((text) => text.replace(/[\d.]+%$/, ''));
    const breed = names.find((name) => BREEDS.map(displayName).includes(name))!;
    await bars.nth(names.indexOf(breed)).click();
    const { other } = manifest().classifier;
    if (other && names.includes(displayName(other))) {
      await bars.nth(names.indexOf(displayName(other))).click();
      expect(await answer.getByRole('link', { name: /^Make a new/ }).count()).toBe(classes.includes(other) ? 1 : 0);
      await bars.nth(names.indexOf(breed)).click();
    }
    await answer.getByRole('link', { name: `Make a new ${breed}` }).click();
    await made(page);
    expect(await page.getByRole('combobox', { name: 'Class' }).textContent()).toBe(breed);
    expect(await page.getByTestId('picture').count()).toBeGreaterThan(0);

    await page.getByRole('link', { name: 'Back to my pictures' }).click();
    await answer.waitFor({ timeout: 5000 });
    await page.getByRole('button', { name: 'Remove all' }).click();
    await page.getByRole('link', { name: 'Generate' }).click();
    await page.getByRole('link', { name: 'Which breed is my cat?' }).waitFor();
  });
});

interface SharedData {
  title: string;
  url: string;
  files: { name: string; type: string; bytes: number[] }[];
}

test('a picture is shared as a file with the link that makes it again, alone, in another browser', async () => {
  let data: SharedData | undefined;
  let picture: number[] = [];
  await withPage(`/generate?model=student&class=${BREEDS[0]}&seed=21&count=3`, async ({ page }) => {
    await page.exposeFunction('shared', (given: SharedData) => (data = given));
    await page.evaluate(() => {
      navigator.canShare = () => true;
      navigator.share = async ({ title, url, files = [] } = {}) => {
        const read = files.map(async (file) => ({
          name: file.name,
          type: file.type,
          bytes: [...new Uint8Array(await file.arrayBuffer())],
        }));
        const { shared } = globalThis as unknown as { shared: (given: unknown) => Promise<void> };
        await shared({ title, url, files: await Promise.all(read) });
      };
    });
    await page.getByRole('button', { name: 'Generate', exact: true }).click();
    await made(page);
    await page.getByRole('button', { name: 'Share picture 3' }).click();
    await expect.poll(() => data).toBeDefined();
    picture = await pixels(page.getByTestId('picture').nth(2));
  });
  const [file] = data!.files;
  expect(file).toMatchObject({ name: `${BREEDS[0]}-21-2.png`, type: 'image/png' });
  expect(readText(new Uint8Array(file!.bytes))).toMatchObject({ seed: '21', number: '2', steps: String(sampler.steps) });
  await withPage(new URL(data!.url).hash.slice(1), async ({ page }) => {
    await made(page);
    expect(await page.getByTestId('picture').count()).toBe(1);
    expect(await pixels(page.getByTestId('picture'))).toEqual(picture);
  });
});

test('without Web Share the link of a picture is copied', async () => {
  await withPage(
    `/generate?model=student&class=${BREEDS[0]}&seed=21&count=1&start=1`,
    async ({ page }) => {
      await made(page);
      await page.evaluate(() => Reflect.deleteProperty(Navigator.prototype, 'share')); // Linux has none anyway
      await page.getByRole('button', { name: 'Share picture 1' }).click();
      await page.getByRole('button', { name: 'Link of picture 1 copied' }).waitFor();
      const link = await page.evaluate(() => navigator.clipboard.readText());
      const said = new URLSearchParams(new URL(link).hash.split('?')[1]);
      expect(Object.fromEntries(said)).toMatchObject({ class: BREEDS[0], seed: '21', count: '1', start: '1' });
    },
    { permissions: ['clipboard-read', 'clipboard-write'] },
  );
});

test('the page can be installed: what its manifest names is there, and of the size that it says', async () => {
  await withPage('/classify', async ({ page, context }) => {
    const session = await context.newCDPSession(page);
    const { url, errors, data } = await session.send('Page.getAppManifest');
    expect(errors).toEqual([]);
    const content = JSON.parse(data!) as { start_url: string; icons: { src: string; sizes: string; purpose?: string }[] };
    expect(content).toMatchObject({ display: 'standalone', start_url: './', scope: './' });
    expect(new URL(content.start_url, url).href).toBe(`${site.origin}${BASE}`); // below any path
    expect(content.icons.map(({ sizes }) => sizes)).toEqual(expect.arrayContaining(['192x192', '512x512']));
    expect(content.icons.some(({ purpose }) => purpose === 'maskable')).toBe(true);
    for (const { src, sizes } of content.icons.filter(({ sizes }) => sizes !== 'any')) {
      const answer = await page.request.get(new URL(src, url).href);
      expect(answer.status(), src).toBe(200);
      const png = await answer.body();
      expect(`${png.readUInt32BE(16)}x${png.readUInt32BE(20)}`, src).toBe(sizes);
    }
    const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
    const profile = 'in-incognito'; // of every test
    expect(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== profile)).toEqual([]);
    const icon = readFileSync(join(import.meta.dirname, '../public/icon.svg'), 'utf8');
    expect(await (await page.request.get(new URL('icon.svg', url).href)).text()).toBe(icon);
  });
});
