import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { readText } from '../src/lib/png.ts';
import { generatorInfo } from '../src/lib/manifest.ts';
import { sessionRuns } from '../src/lib/sampler.ts';
import { downloaded, manifest, pixels, type Visit, type VisitOptions } from './browser.ts';
import { shareSite, withPage } from './shared.ts';

const { classes } = manifest().generator;
const [FIRST, SECOND] = classes as [string, string];
const STEPS = 4;

shareSite();

function generating(settings: string, use: (visit: Visit) => Promise<void>, options?: VisitOptions): Promise<void> {
  return withPage(`/generate?${settings}`, use, options);
}

async function generate(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Generate', exact: true }).click();
  await page.getByText(/The classifier agrees on/).waitFor();
}

/** Opens other settings on the same page: only the fragment of the address changes. Another seed comes in between, to be seen. */
async function open(page: Page, settings: string): Promise<void> {
  const wanted = new URLSearchParams(settings);
  for (const seed of ['1234567890', wanted.get('seed')!]) {
    wanted.set('seed', seed);
    await page.evaluate((hash) => (location.hash = hash), `/generate?${wanted}`);
    await page.waitForFunction(
      (shown) => document.querySelector<HTMLInputElement>('input[inputmode=numeric]')?.value === shown,
      seed,
    );
  }
}

async function make(page: Page, settings: string): Promise<number[]> {
  await open(page, settings);
  await generate(page);
  return pixels(page.getByTestId('picture').first());
}

test('the same link gives the same pixels; seed, class, guidance, method and model change them', async () => {
  const settings = (part = {}) =>
    new URLSearchParams({
      model: 'teacher',
      class: FIRST,
      seed: '7',
      steps: `${STEPS}`,
      guidance: '3',
      method: 'euler',
      count: '1',
      ...part,
    }).toString();
  await generating(settings(), async ({ page }) => {
    await generate(page);
    const first = await pixels(page.getByTestId('picture'));
    expect(new Set(first).size).toBeGreaterThan(4); // not a plane: of its colours there is one value a channel, and alpha
    const others = [
      { seed: '8' },
      { class: SECOND },
      { class: `${FIRST}:1,${SECOND}:1` },
      { guidance: '1' },
      { guidance_low: '0.5' },
      { method: 'heun' },
      { model: 'student' },
    ];
    for (const other of others) expect(await make(page, settings(other)), JSON.stringify(other)).not.toEqual(first);
    expect(await make(page, settings())).toEqual(first);
    await page.reload();
    await generate(page);
    expect(await pixels(page.getByTestId('picture'))).toEqual(first);
  });
});

test('a link opened at the moment in which the page writes its address is not lost', async () => {
  await generating(`class=${FIRST}&seed=1&count=1`, async ({ page }) => {
    const seed = page.getByRole('textbox', { name: 'Seed' });
    for (let number = 2; number < 12; number++) {
      await seed.fill(`${1000 + number}`); // to be written to the address in 300 ms
      await page.evaluate((hash) => {
        const due = performance.now() + 400;
        while (performance.now() < due); // a busy page: the writing is late, and next in line
        location.hash = hash;
      }, `/generate?class=${FIRST}&seed=${number}&count=1`);
      await page.waitForURL(new RegExp(`seed=${number}(&|$)`), { timeout: 10_000 });
      await expect.poll(() => seed.inputValue(), { timeout: 10_000 }).toBe(String(number));
    }
  });
});

test.each(['euler', 'heun'] as const)('%s takes the number of model runs that the form says', async (method) => {
  await generating(`model=teacher&class=${FIRST}&seed=1&steps=${STEPS}&guidance=2&method=${method}&count=2`, async ({ page }) => {
    const runs = sessionRuns({ ...manifest().generator.sampler, method, steps: STEPS });
    await page.getByText(`${2 * runs} model runs`).waitFor();
    await generate(page);
    for (const text of await page.getByTestId('runs').allTextContents()) expect(text).toMatch(new RegExp(`^${runs} runs, `));
  });
});

test('the page starts with the student: its own steps, no guidance to set, the same pixels again', async () => {
  await generating(`class=${FIRST}&seed=7&count=1`, async ({ page }) => {
    const { steps } = generatorInfo(manifest(), 'student').sampler;
    await page.getByText(`${steps} model runs`).waitFor();
    await page.getByText(/Guidance is built in/).waitFor();
    expect(await page.getByRole('slider', { name: 'Guidance' }).count()).toBe(0);
    expect(await page.getByRole('slider', { name: 'Steps' }).getAttribute('max')).toBe(String(2 * steps));
    await generate(page);
    expect(await page.getByTestId('runs').textContent()).toMatch(new RegExp(`^${steps} runs, `));
    const first = await pixels(page.getByTestId('picture'));
    expect(new Set(first).size).toBeGreaterThan(4);
    const link = (part: string) => `model=student&class=${FIRST}&count=1&${part}`;
    for (const other of ['seed=8', 'seed=7&steps=1', 'seed=7&steps=2', 'seed=7&steps=3']) {
      expect(await make(page, link(other)), other).not.toEqual(first);
    }
    expect(await make(page, `model=student&class=${SECOND}&count=1&seed=7`)).not.toEqual(first);
    expect(await make(page, link(`seed=7&steps=${steps}`))).toEqual(first);

    await page.getByRole('button', { name: /^teacher \(/ }).click();
    await page.getByText(`${sessionRuns(manifest().generator.sampler)} model runs`).waitFor();
    await page.getByRole('slider', { name: 'Guidance' }).waitFor();
    await page.waitForURL(/model=teacher/);
    await page.getByRole('button', { name: /^student \(/ }).click();
    await page.waitForURL(/model=student/);
    await page.getByText(`${steps} model runs`).waitFor();
  });
});

test('the scrubber goes from the noise to the picture, and every step differs', async () => {
  await generating(`class=${FIRST}&seed=3&steps=${STEPS}&count=1`, async ({ page }) => {
    await generate(page);
    const seen = new Set([String(await pixels(page.getByTestId('picture')))]);
    const slider = page.getByRole('slider', { name: /^Step \d/ });
    await slider.focus();
    for (let step = STEPS - 1; step >= 0; step--) {
      await page.keyboard.press('ArrowLeft');
      await page.getByText(`Step ${step} of ${STEPS}`).waitFor();
      seen.add(String(await pixels(page.getByTestId('picture'))));
    }
    expect(seen.size).toBe(STEPS + 1);
  });
});

test('cancel stops before the last step, and the next run is whole', async () => {
  await generating(`model=teacher&class=${FIRST}&seed=3&steps=100&count=12`, async ({ page }) => {
    await page.getByRole('button', { name: 'Generate', exact: true }).click();
    await page.getByText(/^Picture \d+ of 12, step [1-9]\d* of 100$/).waitFor();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('Cancelled.').waitFor();
    expect(await page.getByTestId('runs').last().textContent()).not.toContain('runs');
    await page.getByRole('button', { name: 'Generate', exact: true }).waitFor();
    await make(page, `class=${FIRST}&seed=4&steps=2&count=1`);
    expect(await page.getByTestId('runs').textContent()).toMatch(/^2 runs, /);
    expect(await page.getByText('Cancelled.').count()).toBe(0);
  });
});

test.each([
  { model: 'student', guidance: { guidance: 'built in' } },
  { model: 'teacher', guidance: { guidance: '3', method: 'heun' } },
])('a PNG of $model holds the pixels that are shown and the settings that made them', async ({ model, guidance }) => {
  const settings = `model=${model}&class=${FIRST}&seed=5&steps=2&guidance=3&method=heun&count=1`;
  await generating(settings, async ({ page }) => {
    await generate(page);
    const shown = await pixels(page.getByTestId('picture'));
    const { name, content } = await downloaded(page, () => page.getByRole('button', { name: /Save PNG of picture 1/ }).click());
    expect(name).toBe(`${FIRST}-5-0.png`);
    expect(readText(content)).toMatchObject({
      ...guidance,
      model,
      class: FIRST,
      seed: '5',
      steps: '2',
      number: '0',
      precision: 'int8',
      device: 'WASM, 1 thread',
    });
    const decoded = await page.evaluate(
      async (bytes) => {
        const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d')!;
        context.drawImage(bitmap, 0, 0);
        return [...context.getImageData(0, 0, bitmap.width, bitmap.height).data];
      },
      [...content],
    );
    expect(decoded).toEqual(shown);
  });
});

test('the copied link makes the same picture in another browser', async () => {
  let link = '';
  let picture: number[] = [];
  await generating(
    `class=${FIRST}&seed=11&steps=2&count=1`,
    async ({ page }) => {
      await generate(page);
      picture = await pixels(page.getByTestId('picture'));
      await page.getByRole('button', { name: 'Copy link' }).click();
      await page.getByRole('button', { name: 'Copied' }).waitFor();
      link = await page.evaluate(() => navigator.clipboard.readText());
    },
    { permissions: ['clipboard-read', 'clipboard-write'] },
  );
  await generating(link.split('?')[1]!, async ({ page }) => {
    await generate(page);
    expect(await pixels(page.getByTestId('picture'))).toEqual(picture);
  });
});

test.each(['student', 'teacher'])(
  '%s: a walk goes from one picture to another, each frame between its neighbours',
  async (model) => {
    const settings = `model=${model}&steps=2`;
    const ends = [`class=${FIRST}&seed=1`, `class=${SECOND}&seed=2`];
    const pictures: number[][] = [];
    for (const end of ends) {
      await generating(`${settings}&${end}&count=1`, async ({ page }) => {
        await generate(page);
        pictures.push(await pixels(page.getByTestId('picture')));
      });
    }
    await generating(`${settings}&${ends[0]}&to=${SECOND}&toSeed=2&frames=4`, async ({ page }) => {
      await generateWalk(page);
      const frames = await Promise.all([0, 1, 2, 3].map((i) => pixels(page.getByTestId('walk-frame').nth(i))));
      expect([frames[0], frames[3]]).toEqual(pictures);
      const apart = (i: number, j: number) => frames[i]!.reduce((sum, value, at) => sum + Math.abs(value - frames[j]![at]!), 0);
      expect(apart(0, 1)).toBeGreaterThan(0);
      expect(apart(0, 3)).toBeGreaterThan(apart(0, 1));
      expect(apart(0, 3)).toBeGreaterThan(apart(2, 3));
    });
  },
);

async function generateWalk(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Generate', exact: true }).click();
  await page.getByText(/The classifier says/).waitFor();
}
