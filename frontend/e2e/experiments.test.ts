/** The Experiments page of the production build, with reports that `tinycats experiments` writes for this test. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { launchChromium } from '../chromium.mjs';
import { BASE, openPage, violations, visit } from './browser.ts';
import type { Site } from './server.ts';

const PROJECT = join(import.meta.dirname, '../..');
const temporary = mkdtempSync(join(tmpdir(), 'experiments-'));
const CRAFTED = join(temporary, 'crafted');
const REPORTS = {
  crafted: join(temporary, 'crafted-report'),
  project: join(temporary, 'project-report'),
  none: join(temporary, 'no-report'),
};
const LOSSES = Array.from({ length: 40 }, (_, index) => [25 * (index + 1), Math.sin(index) + 1.5] as const);

/** Only the older run has a picture of this step. */
const LONGER = 'samples_9999999.png';

let browser: Browser;
let site: Site;
let served = REPORTS.crafted;
let page: Page;
let complaints: string[];
let older: string;
let newer: string;

function git(...args: string[]): string {
  return execFileSync('git', ['-C', CRAFTED, ...args], { encoding: 'utf8' }).trim();
}

function commit(files: Record<string, string>): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(CRAFTED, name)), { recursive: true });
    writeFileSync(join(CRAFTED, name), text);
  }
  git('add', '.');
  git('commit', '--quiet', '--message', 'Run');
  return git('rev-parse', '--short=7', 'HEAD');
}

/** Two runs: 0, NaN and absent are three things; the newer one has a curve and a matrix that the older has not, and other pictures. */
function craft(): void {
  mkdirSync(CRAFTED);
  git('init', '--quiet');
  const pictures = 'metrics/generator/plots/images';
  const trained = join(PROJECT, pictures);
  cpSync(join(trained, readdirSync(trained)[0]!), join(CRAFTED, pictures, LONGER));
  older = commit({
    'params.yaml': 'seed: 0\ntrain:\n  steps: 100\n',
    'metrics/evaluate.json': '{"classifier": {"top1": 0, "top5": NaN}, "generator": {"fd_classifier": 4.0, "n": 7}}',
  });
  rmSync(join(CRAFTED, pictures, LONGER));
  cpSync(trained, join(CRAFTED, pictures), { recursive: true });
  newer = commit({
    'params.yaml': 'seed: 0\ntrain:\n  steps: 200\n  schedule: null\n',
    'metrics/evaluate.json':
      '{"classifier": {"top1": 0.8125, "top5": 0.9375}, "generator": {"fd_classifier": 3.0000000000000004}}',
    'metrics/generator/metrics.json': '{"loss": 2.384185791015625e-07}',
    'metrics/generator/plots/metrics/loss.tsv': ['step\tloss', ...LOSSES.map((point) => point.join('\t'))].join('\n'),
    'metrics/evaluate/confusion.csv': 'actual,predicted\nred,red\nred,blue\nred,blue\nblue,blue\n',
  });
}

function report(root: string, out: string): void {
  execFileSync('tinycats', ['experiments', '--root', root, '--out', out], { stdio: 'pipe' });
}

/** Values by "group key", read from the pipeline's files and not from the report. */
function figuresOf(root: string): Map<string, unknown> {
  const found = new Map<string, unknown>();
  const add = (group: string, value: unknown, key: string): void => {
    if (Array.isArray(value)) return; // names of files
    if (typeof value !== 'object' || value === null) found.set(`${group} ${key}`, value);
    else for (const [name, item] of Object.entries(value)) add(group, item, key ? `${key}.${name}` : name);
  };
  for (const name of readdirSync(join(root, 'metrics'), { recursive: true, encoding: 'utf8' })) {
    if (name.endsWith('.json'))
      add(name.replace(/(\/metrics)?\.json$/, ''), JSON.parse(readFileSync(join(root, 'metrics', name), 'utf8')), '');
  }
  return found;
}

function address(): string {
  return site.origin + BASE;
}

let visits = 0;

/** Loads the page again, which another fragment alone would not do. */
async function load(settings = ''): Promise<void> {
  await page.goto(`${address()}?${++visits}#/experiments${settings}`);
}

async function open(view: string, which: keyof typeof REPORTS = 'crafted'): Promise<void> {
  served = REPORTS[which];
  await load(`?view=${view}`);
  await page.getByRole('tabpanel').waitFor();
}

async function openAllGroups(): Promise<void> {
  const buttons = page.getByRole('button', { name: /^Open all/ });
  while (await buttons.count()) await buttons.first().click(); // then it closes them
}

interface Row {
  group: string;
  key: string;
  /** Null where there is no value. */
  exact: (string | null)[];
  shown: string[];
}

/** The rows of values in all tables of a view. */
function rows(): Promise<Row[]> {
  return page.locator('tr[data-key]').evaluateAll((all) =>
    all.map((row) => {
      const cells = [...row.querySelectorAll('td')];
      return {
        group: row.getAttribute('data-group')!,
        key: row.getAttribute('data-key')!,
        exact: cells.map((cell) => cell.querySelector('data')?.getAttribute('value') ?? null),
        shown: cells.map((cell) => cell.textContent),
      };
    }),
  );
}

/** Shows the number itself, or its first four digits. */
function expectShown(shown: string, value: number): void {
  expect(Number(shown.replaceAll(',', '')), `${shown} for ${value}`).toBe(
    Number.isInteger(value) ? value : Number(value.toPrecision(4)),
  );
}

beforeAll(async () => {
  craft();
  report(CRAFTED, REPORTS.crafted);
  report(PROJECT, REPORTS.project);
  browser = await launchChromium();
  site = await openPage();
  const folder = `${BASE}experiments/`;
  site.fault = (request, response) => {
    if (!request.url?.startsWith(folder)) return false;
    const file = join(served, request.url.slice(folder.length));
    if (existsSync(file)) response.end(readFileSync(file));
    else response.writeHead(404).end();
    return true;
  };
});

afterAll(async () => {
  await browser?.close();
  await site?.close();
  rmSync(temporary, { recursive: true, force: true });
});

beforeEach(async () => {
  served = REPORTS.crafted;
  const opened = await visit(browser, site, '/experiments', { viewport: { width: 1200, height: 900 } });
  page = opened.page;
  complaints = opened.errors;
  return async () => {
    await opened.close();
    expect(complaints).toEqual([]);
  };
});

test('every number of the table is one of the pipeline, and what it lacks is not available', async () => {
  await open('table');
  await openAllGroups();
  const found = await rows();
  expect(Object.fromEntries(found.map(({ group, key, exact }) => [`${group} ${key}`, exact]))).toEqual({
    'evaluate classifier.top1': ['0.8125', '0'],
    'evaluate classifier.top5': ['0.9375', null],
    'evaluate generator.fd_classifier': ['3.0000000000000004', '4'],
    'evaluate generator.n': [null, '7'],
    'generator loss': ['2.384185791015625e-7', null],
    'general seed': ['0', '0'],
    'train steps': ['200', '100'],
    'train schedule': ['null', null],
  });
  for (const { exact, shown } of found) {
    exact.forEach((value, index) => {
      if (value === null) expect(shown[index]).toBe('not available');
      else if (value === 'null') expect(shown[index]).toBe('null');
      else expectShown(shown[index]!, Number(value));
    });
  }
});

test('the first column is what is in metrics/ now', async () => {
  await open('table', 'project');
  await openAllGroups();
  const figures = figuresOf(PROJECT);
  expect(figures.size).toBeGreaterThan(50);
  const groups = new Set([...figures.keys()].map((name) => name.split(' ')[0]));
  const inMetrics = page.getByRole('region', { name: 'Metrics, by revision' }).locator('tr[data-key]');
  // earlier revisions may have more
  const found = (await rows()).slice(0, await inMetrics.count()).filter(({ exact }) => exact[0] !== null);
  expect(new Set(found.map(({ group }) => group))).toEqual(groups);
  const shown = found.map(({ group, key, exact }) => [`${group} ${key}`, exact[0]!] as const);
  expect(new Map(shown)).toEqual(new Map([...figures].map(([name, value]) => [name, String(value)])));
});

test('filter, and only differences', async () => {
  await open('table');
  await page.getByLabel('Filter by name').fill('fd');
  expect((await rows()).map(({ key }) => key)).toEqual(['generator.fd_classifier']);
  await page.getByLabel('Filter by name').fill('');
  await page.getByLabel('Only differences').check();
  const keys = (await rows()).map(({ key }) => key);
  expect(keys).toContain('steps');
  expect(keys).not.toContain('seed');
  await page.getByLabel('Filter by name').fill('no such thing');
  expect(await page.getByText('No match.').count()).toBe(2);
});

test('the difference of two revisions, either way', async () => {
  await open('difference');
  const byKey = async () =>
    Object.fromEntries((await rows()).map(({ key, exact, shown }) => [key, { exact: exact.slice(0, 4), verdict: shown[4] }]));
  const lower = 3.0000000000000004;
  expect(await byKey()).toMatchObject({
    'classifier.top1': { exact: ['0', '0.8125', '0.8125', null], verdict: '▲ better' },
    'classifier.top5': { exact: [null, '0.9375', null, null], verdict: '' },
    'generator.fd_classifier': { exact: ['4', String(lower), String(lower - 4), String((lower - 4) / 4)], verdict: '▲ better' },
    'generator.n': { exact: ['7', null, null, null] },
    steps: { exact: ['100', '200'] },
  });
  const shown = (await rows()).find(({ key }) => key === 'generator.fd_classifier')!.shown;
  expect(shown.slice(2, 4)).toEqual(['−1', '−25.0%']);
  await page.getByLabel('Revision', { exact: true }).selectOption(older);
  await page.waitForURL(`**revision=${older}**`);
  await page.getByLabel('Compared with').selectOption(newer);
  await expect.poll(byKey).toMatchObject({ 'classifier.top1': { exact: ['0.8125', '0', '-0.8125', '-1'], verdict: '▼ worse' } });
  await page.getByLabel('Compared with').selectOption('none');
  await page.getByText('Choose a revision to compare with.').waitFor();
});

test('a figure says what it is and which values are good, by keyboard alone', async () => {
  const figure = 'generator.fd_classifier';
  for (const view of ['table', 'difference']) {
    await open(view);
    const name = page.getByRole('button', { name: figure, exact: true });
    await page.getByRole('searchbox').focus();
    for (let presses = 0; presses < 30 && !(await name.evaluate((button) => button === document.activeElement)); presses++) {
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: figure });
    await dialog.getByText(/^The Fréchet distance between generated and test pictures/).waitFor();
    await dialog.getByText('Less is better.').waitFor();
    await dialog.getByText(/which training pictures have/).waitFor();
    expect((await violations(page)).map((found) => `${view}: ${found}`)).toEqual([]);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    expect(await name.evaluate((button) => button === document.activeElement)).toBe(true);
  }
  expect(await page.getByRole('button', { name: 'generator.n', exact: true }).count()).toBe(1);
  expect(await page.getByRole('button', { name: 'steps', exact: true }).count()).toBe(0); // a parameter explains nothing
});

test('curves: every point is drawn in its place and listed as logged', async () => {
  await open('curves');
  const figure = page.locator('[data-curve="generator/loss"]');
  const line = figure.locator('path.MuiLineChart-line');
  await line.waitFor();
  const drawn = ((await line.getAttribute('d')) ?? '')
    .split(/[ML]/)
    .slice(1)
    .map((point) => point.split(',').map(Number));
  expect(drawn.length).toBe(LOSSES.length);
  for (const axis of [0, 1]) {
    // the first two points tell the scale, the others have to be on it
    const [from, to] = [LOSSES[0]![axis]!, LOSSES[1]![axis]!];
    const [start, end] = [drawn[0]![axis]!, drawn[1]![axis]!];
    expect(Math.abs(end - start)).toBeGreaterThan(1);
    const expected = LOSSES.map((point) => start + ((point[axis]! - from) / (to - from)) * (end - start));
    expected.forEach((place, index) => expect(Math.abs(drawn[index]![axis]! - place)).toBeLessThan(0.5));
  }
  await figure.getByText('All points as logged').click();
  const numbers = (data: Element[]) => data.map((one) => Number(one.getAttribute('value')));
  expect(
    await figure
      .getByRole('region', { name: /^All points/ })
      .locator('tbody data')
      .evaluateAll(numbers),
  ).toEqual(LOSSES.flat());
  const summary = figure.getByRole('region', { name: /^Last and extreme/ });
  const [last, , lowest, , highest] = await summary.locator(`[data-revision="${newer}"] data`).evaluateAll(numbers);
  const values = LOSSES.map(([, value]) => value);
  expect([last, lowest, highest]).toEqual([values.at(-1), Math.min(...values), Math.max(...values)]);
  expect(await summary.locator(`[data-revision="${older}"] td`).allTextContents()).toEqual(Array(3).fill('not available'));
});

test('the confusion matrix counts what confusion.csv lists', async () => {
  await open('confusion');
  const matrix = page.getByRole('table', { name: `Confusion matrix of evaluate, ${newer}` });
  expect(
    await matrix.locator('tbody tr').evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent))),
  ).toEqual([
    ['red', '1', '2'],
    ['blue', '0', '1'],
  ]);
  expect(await page.locator(`[data-revision="${older}"]`).textContent()).toContain('not available');
});

test('the slider goes through the pictures of the training run', async () => {
  await open('pictures');
  const folder = join(PROJECT, 'metrics/generator/plots/images');
  const files = readdirSync(folder).sort();
  expect(files.length).toBeGreaterThan(1);
  const picture = page.locator(`[data-revision="${newer}"] img`);
  const last = Number(/_(\d+)\./.exec(files.at(-1)!)![1]);
  expect(await page.getByRole('slider').getAttribute('aria-valuetext')).toBe(`step ${last}`); // not the step of the older
  await page.getByRole('slider').focus();
  await page.keyboard.press('Home');
  for (const file of files) {
    const step = Number(/_(\d+)\./.exec(file)![1]);
    expect(await page.getByRole('slider').getAttribute('aria-valuetext')).toBe(`step ${step}`);
    expect(await picture.getAttribute('alt')).toContain(`step ${step}`);
    const answer = await page.request.get(new URL((await picture.getAttribute('src'))!, address()).href);
    const sum = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
    expect(sum(await answer.body())).toBe(sum(readFileSync(join(folder, file))));
    await picture.evaluate((image: HTMLImageElement) => image.decode());
    const size = await picture.evaluate((image: HTMLImageElement) => [image.naturalWidth, image.naturalHeight]);
    expect(size).toEqual([Number(await picture.getAttribute('width')), Number(await picture.getAttribute('height'))]);
    expect(await page.locator(`[data-revision="${older}"]`).textContent()).toContain('not available');
    await page.keyboard.press('ArrowRight');
  }
  expect(await page.locator(`[data-revision="${newer}"]`).textContent()).toContain('not available');
  expect(await page.locator(`[data-revision="${older}"] img`).getAttribute('alt')).toContain('step 9999999');
});

test('without a report the page says so and tries again', async () => {
  served = REPORTS.none;
  await load();
  await page.getByText('This page was built without experiment data').waitFor();
  expect(complaints.splice(0).join()).toContain('404');
  served = REPORTS.crafted;
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('tabpanel').waitFor();
});

const VIEWS = ['table', 'difference', 'curves', 'confusion', 'pictures'];

test.each([
  ['light', 1440],
  ['dark', 360],
] as const)('axe finds nothing in any view: %s', async (colorScheme, width) => {
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize({ width, height: 800 });
  for (const view of VIEWS) {
    await open(view);
    await page.waitForLoadState('networkidle');
    expect((await violations(page)).map((found) => `${view}: ${found}`)).toEqual([]);
  }
});

test('no view is too wide or moves while it loads', async () => {
  await page.addInitScript(() => {
    const moves: string[] = [];
    Object.assign(window, { moves });
    type Shift = PerformanceEntry & { value: number; sources: { node?: Node }[] };
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as Shift[]) {
        if (entry.value > 0.005)
          moves.push(
            `${entry.value}: ${entry.sources.map(({ node }) => (node as Element | undefined)?.outerHTML?.slice(0, 200)).join()}`,
          );
      }
    }).observe({ type: 'layout-shift', buffered: true });
  });
  for (const view of VIEWS) {
    await page.setViewportSize({ width: 360, height: 800 });
    await open(view, 'project');
    await page.waitForLoadState('networkidle');
    expect(await page.evaluate(() => (window as unknown as { moves: string[] }).moves), view).toEqual([]);
    for (const width of [360, 800, 1440]) {
      await page.setViewportSize({ width, height: 800 });
      const where = `${view} at ${width}`;
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), where).toBeLessThanOrEqual(0);
    }
  }
});
