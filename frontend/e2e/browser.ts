import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page } from 'playwright-core';
import type { UserConfig } from 'vite';
import { parseManifest, type GeneratorInfo, type Manifest, type Precision } from '../src/lib/manifest.ts';
import { openSite, type Site } from './server.ts';

export const BASE = '/tinycats/'; // as GitHub Pages serves a project
/** The build that is tested: that of `make web-test`, or another one with the headers that its server is to send. */
export const DIST = process.env.PAGE ?? join(import.meta.dirname, '../dist');
const HEADERS = process.env.PAGE_HEADERS ? (JSON.parse(process.env.PAGE_HEADERS) as Record<string, string>) : null;
export const GOLDEN = process.env.PAGE ? `${process.env.PAGE}-golden` : join(import.meta.dirname, '.golden');
export const SCREENSHOTS = join(import.meta.dirname, '.screenshots');
export const PATIENCE_MS = 240_000; // for what a model must be loaded for, on a machine that has other things to do

/** Of a run, which has a generator, and all models in both precisions. */
export interface RunManifest extends Manifest {
  classifier: Manifest['classifier'] & { files: Record<Precision, string> };
  generator: GeneratorInfo;
}

export function manifest(): RunManifest {
  return parseManifest(JSON.parse(readFileSync(join(DIST, 'models/manifest.json'), 'utf8'))) as RunManifest;
}

/** The production build below BASE, with the headers that it is to have, with those of isolation alone, or with none. */
export function openPage(headers: 'all' | 'isolation' | 'none' = 'all'): Promise<Site> {
  const config = ({ preview }: UserConfig) => {
    if (HEADERS) preview!.headers = { ...HEADERS };
    if (headers === 'none') preview!.headers = {};
    if (headers === 'isolation') delete preview!.headers!['Content-Security-Policy'];
  };
  return openSite({ base: BASE, build: { outDir: DIST }, plugins: [{ name: 'headers', config }] });
}

export interface Visit {
  page: Page;
  context: BrowserContext;
  /** Errors of the console, and uncaught ones. */
  errors: string[];
  close: () => Promise<void>;
}

export interface VisitOptions extends BrowserContextOptions {
  precision?: 'fp32' | 'int8';
  threads?: number;
  backend?: 'wasm' | 'webgpu';
}

/** The page in a fresh browser profile, without its service worker unless `serviceWorkers` says otherwise. */
export async function visit(browser: Browser, site: Site, route: string, options: VisitOptions = {}): Promise<Visit> {
  const { precision = 'int8', threads = 1, backend = 'wasm', ...others } = options;
  const context = await browser.newContext({ serviceWorkers: 'block', ...others });
  await context.addInitScript(
    (settings) => localStorage.setItem('tinycats-device', settings),
    JSON.stringify({
      choice: { backend, threads },
      precision,
    }),
  );
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const errors: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(`${site.origin}${BASE}#${route}`);
  await page.getByRole('heading', { level: 1 }).waitFor();
  return { page, context, errors, close: () => context.close() };
}

/** What axe finds wrong, once nothing moves any more: half faded in, a text has less contrast. */
export async function violations(page: Page): Promise<string[]> {
  await page.waitForFunction(() =>
    document
      .getAnimations()
      .every(({ playState, effect }) => playState !== 'running' || effect?.getComputedTiming().endTime === Infinity),
  );
  await page.evaluate(axe.source);
  const { violations: found } = await page.evaluate(async () => (globalThis as unknown as { axe: typeof axe }).axe.run());
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' | ')}`);
}

/** What a canvas shows, RGBA. */
export function pixels(canvas: Locator): Promise<number[]> {
  return canvas.evaluate((element: HTMLCanvasElement) => {
    const { width, height } = element;
    return [...element.getContext('2d')!.getImageData(0, 0, width, height).data];
  });
}

/** The file that a click downloads. */
export async function downloaded(page: Page, click: () => Promise<void>): Promise<{ name: string; content: Buffer }> {
  const folder = mkdtempSync(join(tmpdir(), 'tinycats-'));
  try {
    const waiting = page.waitForEvent('download');
    await click();
    const download = await waiting;
    await download.saveAs(join(folder, 'file'));
    return { name: download.suggestedFilename(), content: readFileSync(join(folder, 'file')) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** How many workers the system sees in the browser's processes: Chromium names their threads. Linux only. */
export function workerThreads(): number {
  let count = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!isDescendant(Number(pid))) continue;
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        if (readFileSync(`/proc/${pid}/task/${task}/comm`, 'utf8').startsWith('DedicatedWorker')) count++;
      }
    } catch {
      // it ended meanwhile
    }
  }
  return count;
}

function isDescendant(pid: number): boolean {
  for (let at = pid; at > 1;) {
    if (at === process.pid) return true;
    at = Number(/\) \S+ (\d+)/.exec(readFileSync(`/proc/${at}/stat`, 'utf8'))?.[1] ?? 0);
  }
  return false;
}
