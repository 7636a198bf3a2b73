import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { beforeAll, expect, test } from 'vitest';
import { manifest, SCREENSHOTS, violations, visit } from './browser.ts';
import { browser, shareSite, site } from './shared.ts';

const [FIRST] = manifest().generator.classes as [string];
const PAGES = {
  '/': async (page: Page) => {
    await page.getByText(/^Made on your device just now/).waitFor();
  },
  '/classify': async (page: Page) => {
    await page.getByRole('button', { name: 'Example: Bengal' }).click();
    await page.getByRole('button', { name: 'Example: Siamese' }).click();
    await page.getByRole('table', { name: 'All pictures' }).waitFor();
  },
  [`/generate?class=${FIRST}&seed=7&count=4`]: async (page: Page) => {
    await page.getByRole('button', { name: 'Generate', exact: true }).click();
    await page.getByText(/The classifier agrees/).waitFor();
  },
  '/benchmark': async (page: Page) => {
    await page.getByLabel('Runs').fill('3');
    await page.getByLabel('Steps, teacher').fill('2');
    await page.getByRole('button', { name: 'Measure' }).click();
    await page.getByTestId('machine').waitFor();
  },
};
const WIDTHS = [360, 800, 1440];

shareSite();
beforeAll(() => void mkdirSync(SCREENSHOTS, { recursive: true }));

/** The layout shifts so far, which no click of the user explains. */
function shifted(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        let sum = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
            if (!entry.hadRecentInput) sum += entry.value;
          }
        }).observe({ type: 'layout-shift', buffered: true });
        setTimeout(() => resolve(sum), 200);
      }),
  );
}

const CASES = (['light', 'dark'] as const).flatMap((scheme) =>
  Object.entries(PAGES).map(([route, use]) => ({ scheme, route, use })),
);

test.each(CASES)(
  '$route in $scheme colours: axe finds nothing, nothing jumps or sticks out, the console is quiet',
  async ({ scheme, route, use }) => {
    const { page, errors, close } = await visit(browser, site, route, {
      colorScheme: scheme,
      viewport: { width: 360, height: 800 },
    });
    expect(await shifted(page)).toBeLessThan(0.02);
    expect(await violations(page)).toEqual([]);
    await use(page);
    expect(await violations(page)).toEqual([]);
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: width < 500 ? 800 : 900 });
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${width} px`).toBeLessThanOrEqual(0);
      const tooWide = await page
        .getByRole('group')
        .evaluateAll((all) => all.filter((group) => group.scrollWidth > group.clientWidth).map((group) => group.ariaLabel));
      expect(tooWide, `${width} px`).toEqual([]);
      await page.evaluate(() => scrollTo(0, 0));
      const name = `${route.slice(1).split('?')[0] || 'start'}-${width}-${scheme}.png`;
      await page.screenshot({ path: join(SCREENSHOTS, name), fullPage: true });
    }
    expect(errors).toEqual([]);
    await close();
  },
);

test('classifying and generating work with the keyboard alone', async () => {
  const { page, errors, close } = await visit(browser, site, '/classify');
  await tabTo(page, 'Example: Bengal');
  await page.keyboard.press('Enter');
  await page.getByTestId('answer').waitFor();
  await page.goto(`${page.url().split('#')[0]!}#/generate?class=${FIRST}&seed=7&steps=2&count=1`);
  await page.getByRole('heading', { name: 'New pictures' }).waitFor();
  await tabTo(page, 'Generate', 'button');
  await page.keyboard.press('Enter');
  await page.getByText(/The classifier agrees/).waitFor();
  expect(errors).toEqual([]);
  await close();
});

async function tabTo(page: Page, name: string, tag = 'button'): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab');
    const found = await page.evaluate(() => ({
      name: document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent,
      tag: document.activeElement?.tagName.toLowerCase(),
    }));
    if (found.name === name && found.tag === tag) return;
  }
  throw new Error(`Tab does not lead to ${name}`);
}

test('the choice of colours is kept', async () => {
  const { page, close } = await visit(browser, site, '/classify', { colorScheme: 'light' });
  await page.getByRole('button', { name: 'Use dark colours' }).click();
  await page.reload();
  await page.getByRole('button', { name: 'Use light colours' }).waitFor();
  expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(21, 18, 16)');
  await close();
});
