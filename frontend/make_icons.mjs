// The page's icons as PNG, drawn from public/icon.svg by the system's Chromium: node make_icons.mjs
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launchChromium } from './chromium.mjs';

const FOLDER = join(import.meta.dirname, 'public');
const SVG = readFileSync(join(FOLDER, 'icon.svg')).toString('base64');
const BACKGROUND = '#faf8f5'; // as in manifest.webmanifest

/** `share`: of the side, that the drawing takes. Systems cut maskable icons to a circle of 80%, and colour what is transparent. */
const ICONS = [
  { name: 'icon-192', side: 192, share: 1, background: 'transparent' },
  { name: 'icon-512', side: 512, share: 1, background: 'transparent' },
  { name: 'maskable-512', side: 512, share: 0.56, background: BACKGROUND },
  { name: 'apple-touch-180', side: 180, share: 0.7, background: BACKGROUND },
];

mkdirSync(join(FOLDER, 'icons'), { recursive: true });
const browser = await launchChromium();
try {
  const page = await browser.newPage();
  for (const { name, side, share, background } of ICONS) {
    await page.setViewportSize({ width: side, height: side });
    await page.setContent(
      `<body style="margin:0;height:100vh;display:grid;place-items:center;background:${background}">
        <img width="${Math.round(side * share)}" src="data:image/svg+xml;base64,${SVG}">`,
    );
    await page.locator('img').evaluate((/** @type {HTMLImageElement} */ image) => image.decode());
    await page.screenshot({ path: join(FOLDER, 'icons', `${name}.png`), omitBackground: true });
  }
} finally {
  await browser.close();
}
