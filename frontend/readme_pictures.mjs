// The README's pictures of the page, from the production build: node readme_pictures.mjs [DIST]
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { browse } from './browse.mjs';

const [dist = 'dist'] = process.argv.slice(2);
const FOLDER = join(import.meta.dirname, '../docs');
const PATIENCE_MS = 120_000;
const SETTINGS = 'model=student&class=Siamese&seed=7&count=3&start=1';

const { browser, address, close } = await browse(dist);
try {
  const context = await browser.newContext({
    serviceWorkers: 'block',
    acceptDownloads: true,
    viewport: { width: 1080, height: 690 },
    deviceScaleFactor: 2 / 3,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const shoot = async (/** @type {string} */ name) => {
    await page.mouse.move(0, 0);
    await page.waitForTimeout(600); // ripples and colours settle
    await page.screenshot({ path: join(FOLDER, `page-${name}.png`) });
  };

  await page.goto(`${address}`);
  await page.getByText(/^Made on your device just now/).waitFor();
  await shoot('start');

  await page.goto(`${address}#/generate?${SETTINGS}`);
  await page.getByText(/The classifier agrees/).waitFor();
  await page.getByRole('button', { name: 'Generate', exact: true }).waitFor();
  await shoot('generate');

  // its own picture: the photos that the models were trained on are not ours to show
  const waiting = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save PNG of picture 1' }).click();
  const buffer = readFileSync(await (await waiting).path());
  await page.getByRole('link', { name: 'Which breed is my cat?' }).click();
  await page.getByLabel('Choose pictures').setInputFiles({ name: 'made here.png', mimeType: 'image/png', buffer });
  await page.getByTestId('answer').waitFor();
  await page.getByRole('link', { name: 'Make a new Siamese' }).evaluate((link) => link.scrollIntoView({ block: 'center' }));
  await shoot('classify');
} finally {
  await close();
}
