import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium } from '../chromium.mjs';
import { generatorInfo, generatorNames } from '../src/lib/manifest.ts';
import type { Report } from '../src/pages/benchmark/measure.ts';
import { downloaded, manifest, openPage, pixels, visit, workerThreads } from './browser.ts';
import type { Site } from './server.ts';

let browser: Browser;
let isolated: Site;
let plain: Site;

beforeAll(async () => {
  browser = await launchChromium();
  [isolated, plain] = await Promise.all([openPage(), openPage('none')]);
});
afterAll(async () => {
  await browser.close();
  await Promise.all([isolated.close(), plain.close()]);
});

/** numpy.percentile written another way than the page does it. */
function percentile(samples: number[], p: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (p / 100) * (sorted.length - 1);
  const weight = at % 1;
  return sorted[Math.trunc(at)]! * (1 - weight) + (sorted[Math.ceil(at)] ?? 0) * weight;
}

test('the exported report has every sample, and the percentiles that follow from them', async () => {
  const { page, errors, close } = await visit(browser, isolated, '/benchmark');
  await page.getByLabel('Runs').fill('4');
  await page.getByLabel('Steps, teacher').fill('2');
  await page.getByLabel('Steps, student').fill('3');
  await page.getByRole('button', { name: 'Measure' }).click();
  await page.getByTestId('machine').waitFor();
  const { content } = await downloaded(page, () => page.getByRole('button', { name: 'Export JSON' }).click());
  const report = JSON.parse(content.toString()) as Report;
  const { generator, student } = manifest();
  expect(report.results.map(({ model, session_runs, sampler }) => [model, session_runs, sampler])).toEqual([
    ['classifier', 1, null],
    ['student', 3, { ...student!.sampler, steps: 3 }],
    ['generator', 2, { ...generator.sampler, steps: 2 }],
  ]);
  for (const { model, samples_ms, session_ms, summary_ms, images_per_second, bytes } of report.results) {
    expect(samples_ms.length).toBe(4);
    samples_ms.forEach((sample, i) => expect(sample).toBeGreaterThan(session_ms[i]!));
    for (const p of [50, 95, 99] as const) expect(summary_ms[`p${p}`]).toBeCloseTo(percentile(samples_ms, p), 6);
    const mean = samples_ms.reduce((a, b) => a + b) / 4;
    expect(images_per_second).toBeCloseTo(1000 / mean, 6);
    const path = manifest()[model]!.files.int8;
    expect(bytes).toBe(manifest().files.find((file) => file.path === path)!.bytes);
    const shown = await page.getByTestId(`p50-${model}`).textContent();
    expect(shown).toBe(summary_ms.p50 >= 100 ? `${summary_ms.p50.toFixed(0)} ms` : `${summary_ms.p50.toFixed(1)} ms`);
  }
  expect(report.runtime_memory_bytes).toBeGreaterThan(report.results.reduce((sum, { bytes }) => sum + bytes, 0));
  expect(report.device).toMatchObject({ backend: 'wasm', threads: 1 });
  expect(report.machine.cross_origin_isolated).toBe(true);
  expect(errors).toEqual([]);
  await close();
});

test('the sampler goes through the states that the pipeline recorded, step by step', async () => {
  const { page, errors, close } = await visit(browser, isolated, '/benchmark');
  await page.getByRole('button', { name: 'Check', exact: true }).click();
  expect(generatorNames(manifest())).toEqual(['student', 'generator']);
  for (const name of generatorNames(manifest())) {
    const steps = page.getByTestId(`check-${name}`).getByTestId('check-steps');
    await steps.waitFor();
    const differences = (await steps.textContent())!.split(', ').map(Number);
    expect(differences.length).toBe(generatorInfo(manifest(), name).sampler.steps);
    expect(Math.max(...differences)).toBeLessThan(1e-3);
  }
  expect(errors).toEqual([]);
  await close();
});

async function chooseSide(page: Page, label: string, option: string): Promise<void> {
  await page.getByLabel(label).click();
  await page.getByRole('option', { name: option }).click();
}

test('a duel of student against teacher, then of two precisions and two addresses, is of one seed', async () => {
  const { page, errors, close } = await visit(browser, isolated, '/benchmark');
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.getByTestId('duel').waitFor();
  await page.getByText('A: teacher, int8').waitFor();
  await page.getByText('B: student, int8').waitFor();
  const { generator, student } = manifest();
  const stepsRow = page.getByRole('row', { name: /^Steps/ });
  expect(await stepsRow.getByRole('cell').allTextContents()).toEqual(
    [generator, student!].map(({ sampler }) => String(sampler.steps)),
  );
  expect(await pixels(page.getByTestId('fighter').first())).not.toEqual(await pixels(page.getByTestId('fighter').last()));

  await chooseSide(page, 'Side A: model', 'student');
  await chooseSide(page, 'Side A: precision', 'fp32');
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.getByTestId('duel').waitFor();
  const [a, b] = [await pixels(page.getByTestId('fighter').first()), await pixels(page.getByTestId('fighter').last())];
  expect(a).not.toEqual(b);
  const mean = a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / ((a.length * 3) / 4);
  await page.getByText(`Difference x 4; mean ${mean.toFixed(2)}`).waitFor();
  const address = `${isolated.origin}/tinycats/models`;
  await page.getByLabel('Side B: address of another version').fill(address);
  await chooseSide(page, 'Side B: precision', 'fp32');
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.getByText('Difference x 4; mean 0.00').waitFor(); // the same version under its own address
  expect(errors).toEqual([]);
  await close();
});

test.each([
  { isolation: true, threads: 2, badge: 'WASM, 2 threads' },
  { isolation: true, threads: 1, badge: 'WASM, 1 thread' },
  { isolation: false, threads: 2, badge: 'WASM, 1 thread' },
])(
  'isolated: $isolation, $threads threads asked for: the badge says $badge, and the system counts as many',
  async ({ isolation, threads, badge }) => {
    const { page, errors, close } = await visit(browser, isolation ? isolated : plain, '/classify', { threads });
    expect(await page.getByTestId('device').textContent()).toBe('Not started');
    expect(workerThreads()).toBe(0);
    await page.getByRole('button', { name: 'Example: Bengal' }).click();
    await page.getByTestId('answer').waitFor();
    expect(await page.getByTestId('device').textContent()).toBe(badge);
    const measured = Number(/\d/.exec(badge)![0]); // the worker itself is the first thread
    expect(workerThreads()).toBe(measured);
    expect(await page.evaluate(() => self.crossOriginIsolated)).toBe(isolation);
    if (threads > measured) {
      await page.getByTestId('device').click();
      await page.getByText('one thread: the page is not cross-origin isolated').waitFor();
    }
    expect(errors).toEqual([]);
    await close();
  },
);

test.each([
  { what: 'no adapter', args: [], reason: /WASM: (this browser has no WebGPU|WebGPU found no adapter)/ },
  { what: 'a software adapter', args: ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'], reason: /WASM: WebGPU/ },
])('WebGPU with $what: the badge says WASM, and why', async ({ args, reason }) => {
  const other = await launchChromium(args);
  const { page, close } = await visit(other, isolated, '/classify', { backend: 'webgpu' });
  await page.getByRole('button', { name: 'Example: Bengal' }).click();
  await page.getByTestId('answer').waitFor();
  expect(await page.getByTestId('device').textContent()).toBe('WASM, 1 thread');
  await page.getByTestId('device').click();
  await page.getByText(reason).waitFor();
  await close();
  await other.close();
});
