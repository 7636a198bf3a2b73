import { startTransition, useCallback, useEffect, useRef, useState } from 'react';
import { messageOf } from '../../lib/errors';
import { settled } from '../../lib/isolation';
import { generatorInfo, generatorNames, type Manifest } from '../../lib/manifest';
import { gaussianNoise, MAX_SEED, randomSeed } from '../../lib/noise';
import { Cancelled, toRgba } from '../../lib/sampler';
import { useModels } from '../../ui/models';
import { classWeights, type Settings } from '../generate/settings';

/** With a student; a teacher takes ten times as long. */
const CATS = 12;
const CATS_OF_TEACHER = 3;

export interface Cat {
  settings: Settings;
  /** RGBA of the latest step; null before the first. */
  frame: Uint8ClampedArray<ArrayBuffer> | null;
  done: boolean;
}

export interface FirstCats {
  cats: Cat[];
  running: boolean;
  /** From the model's last byte, or the click, to the first cat and to the latest one. */
  firstMs: number | null;
  allMs: number | null;
  error: string | null;
}

/** One cat of each class, of seeds that follow each other: their links make the same pictures again. */
export function firstCats(manifest: Manifest, seed: number): Settings[] {
  const [model] = generatorNames(manifest);
  if (!model) return [];
  const { classes, sampler, few_step } = generatorInfo(manifest, model);
  const breeds = classes.filter((name) => name !== manifest.classifier.other);
  return (breeds.length ? breeds : classes).slice(0, few_step ? CATS : CATS_OF_TEACHER).map((name, i) => ({
    model,
    mix: [{ name, weight: 1 }],
    seed: (seed + i) % (MAX_SEED + 1),
    sampler,
    count: 1,
    first: 0,
    walk: null,
  }));
}

/** Whether the reader asked for less traffic. */
export function savesData(): boolean {
  return Boolean((navigator as { connection?: { saveData?: boolean } }).connection?.saveData);
}

function waiting(manifest: Manifest): FirstCats {
  const cats = firstCats(manifest, randomSeed()).map((settings) => ({ settings, frame: null, done: false }));
  return { cats, running: false, firstMs: null, allMs: null, error: null };
}

/** Makes the cats one after the other, each step to be seen; unasked, unless the reader saves data. */
export function useFirstCats() {
  const { engine, manifest, precision } = useModels();
  const [state, setState] = useState(() => waiting(manifest));
  const abort = useRef<AbortController | null>(null);

  const make = useCallback(async () => {
    abort.current?.abort();
    const controller = new AbortController();
    abort.current = controller;
    const { signal } = controller;
    // in slices: a step that is drawn a little later is better than a click that waits
    const change = (update: (current: FirstCats) => FirstCats) => {
      if (!signal.aborted) startTransition(() => setState(update));
    };
    const changeCat = (index: number, part: Partial<Cat>) =>
      change((current) => ({ ...current, cats: current.cats.map((cat, i) => (i === index ? { ...cat, ...part } : cat)) }));
    try {
      await settled();
      const next = waiting(manifest);
      change(() => ({ ...next, running: true }));
      const { model } = next.cats[0]!.settings;
      const { image_size: size, classes } = generatorInfo(manifest, model);
      const asked = performance.now();
      const { loadMs } = await engine.call('load', { model, precision }, { signal });
      const arrived = Math.max(asked, performance.now() - loadMs);
      for (const [index, { settings }] of next.cats.entries()) {
        const noise = gaussianNoise(settings.seed, 0, 3 * size ** 2);
        changeCat(index, { frame: toRgba(noise, size) });
        await engine.call(
          'generate',
          {
            model,
            precision,
            noise,
            classWeights: classWeights(settings.mix, classes),
            settings: settings.sampler,
          },
          { signal, onStep: (_, picture) => changeCat(index, { frame: toRgba(picture, size) }) },
        );
        changeCat(index, { done: true });
        const ms = performance.now() - arrived;
        change((current) => ({ ...current, firstMs: current.firstMs ?? ms, allMs: ms }));
      }
    } catch (error) {
      if (!(error instanceof Cancelled)) change((current) => ({ ...current, error: messageOf(error) }));
    } finally {
      change((current) => ({ ...current, running: false }));
    }
  }, [engine, manifest, precision]);

  useEffect(() => {
    if (!savesData()) void make();
    return () => abort.current?.abort();
  }, [make]);

  return { ...state, make };
}
