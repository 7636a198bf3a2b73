import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { launchChromium } from '../chromium.mjs';
import { openPage, visit, type Visit, type VisitOptions } from './browser.ts';
import type { Site } from './server.ts';

export let browser: Browser;
export let site: Site;

/** One browser and one server of the page for the tests around the call; before each, nothing is spoilt and nothing was asked. */
export function shareSite(chromiumArguments: string[] = []): void {
  beforeAll(async () => {
    browser = await launchChromium(chromiumArguments);
    site = await openPage();
  });
  afterAll(async () => {
    await browser.close();
    await site.close();
  });
  beforeEach(() => {
    site.fault = null;
    site.requests.length = 0;
  });
}

/** A visit that must leave no errors. */
export async function withPage(route: string, use: (visit: Visit) => Promise<void>, options: VisitOptions = {}): Promise<void> {
  const visited = await visit(browser, site, route, options);
  try {
    await use(visited);
    expect(visited.errors).toEqual([]);
  } finally {
    await visited.close();
  }
}
