import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { ISOLATION, serveFiles } from '../serve.mjs';
import { openSite, type Site } from './server.ts';

export const BASE = '/tinycats/'; // as GitHub Pages serves a project
export const DIST = process.env.TINYCATS_DIST ?? join(import.meta.dirname, '../dist');

export function chromiumPath(): string {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of names) if (existsSync(join(directory, name))) return join(directory, name);
  }
  throw new Error(`no browser on PATH (${names.join(', ')}): apt-get install chromium`);
}

export function launch(args: string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox', ...args] });
}

/** The production build below BASE, with the headers of isolation or without. */
export function openPage(isolated: boolean, dist = DIST): Promise<Site> {
  return openSite(serveFiles(dist, BASE, isolated ? ISOLATION : {}));
}

export interface Visit {
  page: Page;
  context: BrowserContext;
  /** What the console and uncaught errors said. */
  complaints: string[];
  close: () => Promise<void>;
}

export async function visit(browser: Browser, site: Site, route = '/classify', options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ serviceWorkers: 'block', ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(`${site.origin}${BASE}#${route}`);
  return { page, context, complaints, close: () => context.close() };
}
