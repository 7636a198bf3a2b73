// Screenshots of every page of the production build, at three widths, light and dark: node screenshots.mjs [DIST] [OUTPUT] [PAGE]
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { browse } from './browse.mjs';

const [dist = 'dist', output = 'e2e/.screenshots', only = ''] = process.argv.slice(2);
const WIDTHS = [360, 800, 1440];
const PATIENCE_MS = 600_000;

/** @typedef {import('playwright-core').Page} Page */

/** What to do on a page before its screenshot. */
/** @type {Record<string, { route: string, use: (page: Page) => Promise<void> }>} */
const PAGES = {
  start: {
    route: '/',
    use: (page) => page.getByText(/^Made on your device just now/).waitFor(),
  },
  classify: { route: '/classify', use: async () => undefined },
  'classify-answers': {
    route: '/classify',
    use: async (page) => {
      for (const name of ['Bengal', 'Siamese', 'other']) await page.getByRole('button', { name: `Example: ${name}` }).click();
      await page.getByRole('table', { name: 'All pictures' }).locator('tbody tr').nth(2).waitFor();
    },
  },
  generate: { route: '/generate', use: async () => undefined },
  'generate-student': { route: '/generate?model=student&seed=7&count=4', use: generate },
  'generate-teacher': { route: '/generate?model=teacher&class=Siamese&seed=7&steps=12&count=6', use: generate },
  'generate-walk': {
    route: '/generate?model=teacher&class=Bengal&seed=7&steps=8&to=Sphynx&toSeed=9&frames=8',
    use: async (page) => {
      await page.getByRole('button', { name: 'Generate', exact: true }).click();
      await page.getByText(/The classifier says/).waitFor();
      await page.getByRole('button', { name: 'Generate', exact: true }).waitFor();
      await page.getByRole('button', { name: 'Show frame 4' }).click();
    },
  },
  benchmark: {
    route: '/benchmark',
    use: async (page) => {
      await page.getByLabel('Runs').fill('12');
      await page.getByLabel('Steps, teacher').fill('4');
      await page.getByRole('button', { name: 'Measure' }).click();
      await page.getByTestId('machine').waitFor();
      await page.getByRole('button', { name: 'Compare' }).click();
      await page.getByTestId('duel').waitFor();
      await page.getByRole('button', { name: 'Check', exact: true }).click();
      await page.getByTestId('check-generator').waitFor();
    },
  },
  'experiments-explanation': {
    route: '/experiments',
    use: async (page) => {
      await page.getByRole('button', { name: 'generator.fd_efficientnet_lite2', exact: true }).click();
      await page.getByRole('dialog').waitFor();
    },
  },
  ...Object.fromEntries(
    ['table', 'difference', 'curves', 'confusion', 'pictures'].map((view) => [
      `experiments-${view}`,
      { route: `/experiments?view=${view}`, use: (/** @type {Page} */ page) => page.waitForLoadState('networkidle') },
    ]),
  ),
};

/** @param {Page} page */
async function generate(page) {
  await page.getByRole('button', { name: 'Generate', exact: true }).click();
  await page.getByText(/The classifier agrees/).waitFor();
  await page.getByRole('button', { name: 'Generate', exact: true }).waitFor(); // all pictures have their verdict
}

mkdirSync(output, { recursive: true });
const { browser, address, close } = await browse(dist);
try {
  for (const [name, { route, use }] of Object.entries(PAGES).filter(([name]) => name.startsWith(only))) {
    const context = await browser.newContext({ serviceWorkers: 'block', viewport: { width: 1440, height: 900 } });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('console', (message) => message.type() === 'error' && console.log(`${name}: ${message.text()}`));
    page.on('pageerror', (error) => console.log(`${name}: ${error}`));
    await page.goto(`${address}#${route}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await use(page);
    for (const scheme of /** @type {const} */ (['light', 'dark'])) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: width < 500 ? 800 : 900 });
        await page.mouse.move(0, 0);
        await page.evaluate(() => scrollTo(0, 0));
        await page.waitForTimeout(600); // charts and colours settle
        await page.screenshot({ path: join(output, `${name}-${width}-${scheme}.png`), fullPage: true });
      }
    }
    await context.close();
    console.log(name);
  }
} finally {
  await close();
}
