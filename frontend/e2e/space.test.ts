import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { GOLDEN, manifest, visit, type Visit } from './browser.ts';
import { browser, shareSite, site } from './shared.ts';

/** Origins of the Hub that the Space was uploaded to; tests/pipeline/test_space.py does that. */
const HUB = process.env.HUB?.split(' ');

// What a Space is and a page elsewhere is not: its models lie in a repository
describe.runIf(HUB)('a Space', () => {
  shareSite();

  /** Classifies a picture; the addresses of what was fetched elsewhere. */
  async function classified({ page, context }: Visit): Promise<string[]> {
    const elsewhere: string[] = [];
    context.on('request', (request) => {
      const url = request.url();
      if (url.startsWith('http') && !url.startsWith(`${site.origin}/`)) elsewhere.push(url);
    });
    await page.getByLabel('Choose pictures').setInputFiles(join(GOLDEN, 'plain.png'));
    await page.getByTestId('answer').waitFor();
    return elsewhere;
  }

  const own = () => site.requests.filter((url) => /\.(onnx|bin)$/.test(url));

  test('is isolated by its headers, and loads its models from the repository at the tag, and from no third place', async () => {
    const visited = await visit(browser, site, '/classify', { threads: 2 });
    const { page, errors, close } = visited;
    expect(await page.evaluate(() => self.crossOriginIsolated)).toBe(true);
    await page.getByText(`(version ${manifest().version!})`).waitFor();
    const elsewhere = await classified(visited);
    expect(await page.getByTestId('device').textContent()).toBe('WASM, 2 threads');
    const { repo_id, revision } = manifest().hub!;
    const folder = `${HUB![0]}/${repo_id}/resolve/${revision}/`;
    expect(elsewhere).toContain(`${folder}${manifest().classifier.files.int8}`);
    expect(elsewhere).toContain(`${folder}${manifest().classifier.head.path}`);
    expect(elsewhere.filter((url) => !HUB!.includes(new URL(url).origin))).toEqual([]);
    expect(own()).toEqual([]);
    expect(errors).toEqual([]);
    await close();
  });

  test('uses its own copy where the repository does not answer, and says so', async () => {
    const visited = await visit(browser, site, '/classify');
    await classified(visited);
    await visited.page
      .getByText(/the Hub could not be reached. Using the page's own copy/)
      .first()
      .waitFor();
    expect(own().length).toBe(2);
    await visited.close();
  });
});
