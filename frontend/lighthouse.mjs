// Lighthouse's marks for every page of the production build, throttled like a mid-range phone (its default):
// node lighthouse.mjs [DIST] [OUTPUT] [PAGE]. Its reports are in OUTPUT. It is fetched by npx: nothing else here needs it.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { preview } from 'vite';
import { chromiumPath } from './chromium.mjs';

const LIGHTHOUSE = 'lighthouse@12.8.2'; // the last one for Node 20
const PAGES = { start: '', classify: 'classify', generate: 'generate', benchmark: 'benchmark', experiments: 'experiments' };
const CATEGORIES = ['performance', 'accessibility', 'best-practices'];
const [dist = 'dist', output = 'e2e/.lighthouse', only = ''] = process.argv.slice(2);

mkdirSync(output, { recursive: true });
const server = await preview({ root: import.meta.dirname, build: { outDir: resolve(dist) }, preview: { port: 0 } });
try {
  for (const [name, route] of Object.entries(PAGES).filter(([name]) => name.startsWith(only))) {
    const report = join(output, name);
    await promisify(execFile)(
      'npx',
      [
        ...['--yes', LIGHTHOUSE, `${server.resolvedUrls?.local[0]}#/${route}`, '--quiet'],
        ...[`--only-categories=${CATEGORIES}`, '--output=json', '--output=html', `--output-path=${report}`],
        '--chrome-flags=--headless=new --no-sandbox',
      ],
      { env: { ...process.env, CHROME_PATH: chromiumPath() } },
    );
    const { categories, audits } = JSON.parse(readFileSync(`${report}.report.json`, 'utf8'));
    const marks = CATEGORIES.map((id) => `${id} ${Math.round(100 * categories[id].score)}`);
    const times = [
      'first-contentful-paint',
      'largest-contentful-paint',
      'total-blocking-time',
      'cumulative-layout-shift',
      'speed-index',
    ];
    console.log(`${name}: ${marks.join(', ')}; ${times.map((id) => `${id} ${audits[id].displayValue}`).join(', ')}`);
    const weighed = CATEGORIES.flatMap((id) => categories[id].auditRefs).filter(({ weight }) => weight > 0);
    for (const { id } of weighed)
      if (audits[id].score < 0.9) console.log(`  ${id}: ${audits[id].title} (${audits[id].displayValue ?? 'failed'})`);
  }
} finally {
  await server.close();
}
