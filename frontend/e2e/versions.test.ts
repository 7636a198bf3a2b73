import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from '../chromium.mjs';
import { BASE, DIST, GOLDEN, manifest, visit, type Visit } from './browser.ts';
import { openSite, type Site } from './server.ts';

const ROOT = join(import.meta.dirname, '..');
const MODEL = manifest().classifier.files.int8;
const TITLE = 'other cats';
const PARTS = ['examples', 'icon.svg', 'icons', 'manifest.webmanifest'];
let folder: string;
let browser: Browser;
let both: Site;
let pretrainedAlone: Site;

/** What `tinycats release` makes of the published models. */
function release(target: string): void {
  const { classifier, ...others } = manifest();
  const paths = [MODEL, classifier.head.path];
  for (const path of paths) cpSync(join(DIST, 'models', path), join(target, path));
  const content = {
    ...others,
    generator: undefined,
    student: undefined,
    data: { ...others.data, title: TITLE },
    classifier: { ...classifier, files: { int8: MODEL } },
    files: others.files.filter(({ path }) => paths.includes(path)),
  };
  writeFileSync(join(target, 'manifest.json'), JSON.stringify(content));
}

/** The production build with these folders of models. */
async function built(name: string, models: boolean): Promise<Site> {
  const [publicDir, outDir] = [join(folder, name, 'public'), join(folder, name, 'dist')];
  for (const path of PARTS) cpSync(join(ROOT, 'public', path), join(publicDir, path), { recursive: true });
  if (models) cpSync(join(DIST, 'models'), join(publicDir, 'models'), { recursive: true });
  release(join(publicDir, 'pretrained'));
  await build({ root: ROOT, publicDir, build: { outDir, emptyOutDir: true }, logLevel: 'warn' });
  return openSite({ base: BASE, build: { outDir } });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tinycats-'));
  browser = await launchChromium();
  both = await built('both', true);
  pretrainedAlone = await built('alone', false);
});
afterAll(async () => {
  await browser.close();
  await both.close();
  await pretrainedAlone.close();
  rmSync(folder, { recursive: true });
});

async function classify({ page }: Visit): Promise<void> {
  await page.getByLabel('Choose pictures').setInputFiles(join(GOLDEN, 'plain.png'));
  await page.getByTestId('answer').waitFor();
}

function modelsAsked(site: Site): string[] {
  return site.requests.filter((url) => url.endsWith('.onnx'));
}

test('where both are there, the run is used until the pretrained classifier is chosen, which the address then says', async () => {
  both.requests.length = 0;
  const visited = await visit(browser, both, '/classify');
  const { page, errors, close } = visited;
  await classify(visited);
  expect(modelsAsked(both)).toEqual([`${BASE}models/${MODEL}`]);

  await page.getByTestId('device').click();
  await page.getByRole('dialog').getByRole('combobox', { name: 'Models' }).click();
  expect(await page.getByRole('option').allTextContents()).toEqual(['This run', `Pretrained: ${TITLE}`]);
  await page.getByRole('option', { name: `Pretrained: ${TITLE}` }).click();
  await page.getByRole('button', { name: 'Use' }).click();
  await page.getByText(`trained on ${TITLE}`).waitFor();
  expect(new URL(page.url()).hash).toBe('#/classify?models=pretrained');
  await page.evaluate(() => caches.delete('tinycats-models')); // it has the same model of the run, by its hash
  await classify(visited);
  expect(modelsAsked(both).at(-1)).toBe(`${BASE}pretrained/${MODEL}`);

  await page.getByRole('link', { name: 'Generate' }).click();
  await page.getByText('This version has no generator: it can only classify.').waitFor();
  await page.getByRole('link', { name: 'Benchmark' }).click();
  await page.getByText('This version has no generator: only its classifier can be measured.').waitFor();
  await page.getByLabel('Runs').fill('2');
  await page.getByRole('button', { name: 'Measure' }).click();
  await page.getByTestId('machine').waitFor();

  await page.getByTestId('device').click();
  await page.getByRole('dialog').getByRole('combobox', { name: 'Models' }).click();
  await page.getByRole('option', { name: 'This run' }).click();
  await page.getByRole('button', { name: 'Use' }).click();
  await page.getByRole('heading', { name: 'Duel' }).waitFor();
  expect(new URL(page.url()).hash).toBe('#/benchmark');
  expect(errors).toEqual([]);
  await close();
});

test('a link names the version; one that the page does not have is the usual one', async () => {
  for (const [name, title] of [
    ['pretrained', TITLE],
    ['run', manifest().data.title],
    ['nothing', manifest().data.title],
  ]) {
    const { page, errors, close } = await visit(browser, both, `/classify?models=${name}`);
    await page.getByText(`trained on ${title}`).waitFor();
    expect(errors).toEqual([]);
    await close();
  }
});

test('without a run the pretrained classifier is served, in int8 whatever was chosen before', async () => {
  pretrainedAlone.requests.length = 0;
  const visited = await visit(browser, pretrainedAlone, '/', { precision: 'fp32' });
  const { page, errors, close } = visited;
  await page.getByText(`trained on ${TITLE}`).waitFor();
  expect(new URL(page.url()).hash).toBe('#/classify'); // without a generator there is nothing to see before
  await classify(visited);
  expect(modelsAsked(pretrainedAlone)).toEqual([`${BASE}pretrained/${MODEL}`]);
  expect(pretrainedAlone.requests.some((url) => url.includes('/models/'))).toBe(false);
  await page.getByTestId('device').click();
  await page.getByRole('dialog').waitFor();
  expect(await page.getByRole('dialog').getByRole('combobox', { name: 'Models' }).count()).toBe(0);
  await page.getByLabel('Precision').click();
  await page.getByRole('option', { name: 'fp32 (not in this version)' }).waitFor();
  const worker = readFileSync(join(folder, 'alone/dist/sw.js'), 'utf8');
  expect(worker).toContain('versions.json');
  expect(worker).not.toContain('pretrained/'); // models are fetched when they are needed
  expect(errors).toEqual([]);
  await close();
});
