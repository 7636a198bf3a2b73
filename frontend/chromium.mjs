import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** The system's browser, for tests and benchmarks: Playwright by itself looks only for browsers that it installed. */
export function launchChromium(/** @type {string[]} */ args = []) {
  const places = (process.env.PATH ?? '').split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const executablePath = places.find(existsSync);
  if (!executablePath) throw new Error(`no browser on PATH (${NAMES.join(', ')}); on Debian or Ubuntu: apt-get install chromium`);
  return chromium.launch({ executablePath, args: ['--no-sandbox', ...args] });
}
