// Runs the page's own benchmark in headless Chromium and prints its report:
// node bench.mjs DIST MODEL PRECISION THREADS STEPS RUNS, where MODEL is classifier, student or teacher;
// STEPS may be '', as published
import { readFileSync } from 'node:fs';
import { browse } from './browse.mjs';

const [dist = 'dist', model = 'classifier', precision = 'int8', threads = '1', steps = '', runs = '20'] = process.argv.slice(2);
const PATIENCE_MS = 1_800_000;

const { browser, address, close } = await browse(dist);
try {
  const context = await browser.newContext({ serviceWorkers: 'block' });
  await context.addInitScript(
    (settings) => localStorage.setItem('tinycats-device', settings),
    JSON.stringify({ choice: { backend: 'wasm', threads: Number(threads) }, precision }),
  );
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(`${address}#/benchmark`);
  await page.getByLabel('Models').click();
  await page.getByRole('option', { name: model }).click({ timeout: 10_000 }); // an unknown name fails soon
  await page.getByLabel('Warm-up').fill('3');
  await page.getByLabel('Runs').fill(runs);
  if (steps && model !== 'classifier') await page.getByLabel(`Steps, ${model}`).fill(steps);
  await page.getByRole('button', { name: 'Measure' }).click();
  // what went wrong is said on the page, and ends this at once
  const failure = page.getByRole('alert').filter({ has: page.getByRole('button', { name: 'Try again' }) });
  await page.getByTestId('machine').or(failure).first().waitFor();
  if (await failure.count()) throw new Error(await failure.first().innerText());
  const waiting = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Export JSON' }).click();
  process.stdout.write(readFileSync(await (await waiting).path(), 'utf8'));
} finally {
  await close();
}
