import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** Where the system's browser is: Playwright by itself looks only for browsers that it installed. */
export function chromiumPath() {
  const places = (process.env.PATH ?? '').split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const found = places.find((place) => existsSync(place));
  if (!found) throw new Error(`no browser on PATH (${NAMES.join(', ')}); on Debian or Ubuntu: apt-get install chromium`);
  return found;
}

/** The system's browser, for tests and benchmarks. */
export function launchChromium(/** @type {string[]} */ args = []) {
  return chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox', ...args] });
}
