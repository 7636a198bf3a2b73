import { useCallback, useEffect, useRef, useState } from 'react';
import { ranked } from '../../lib/classification';
import { messageOf } from '../../lib/errors';
import { generatorInfo, type Manifest } from '../../lib/manifest';
import { gaussianNoise, slerp } from '../../lib/noise';
import { Cancelled, toRgba } from '../../lib/sampler';
import { useModels } from '../../ui/models';
import { pngOf } from './picture';
import { classWeights, type Settings } from './settings';

/** A picture with all its steps, RGBA: frames[0] is the noise, the last one the picture. */
export interface Generated {
  number: number;
  frames: Uint8ClampedArray<ArrayBuffer>[];
  done: { runs: number; ms: number } | null;
  /** The classifier's answer, once the picture is done. */
  verdict: { label: number; confidence: number } | null;
}

export interface Generation {
  settings: Settings;
  pictures: Generated[];
  running: boolean;
  cancelled: boolean;
  error: string | null;
}

interface Start {
  number: number;
  noise: Float32Array;
  weights: Float32Array;
}

/** Where each picture starts: its own noise and the same classes; on a walk, points between two of each. */
function starts(settings: Settings, manifest: Manifest): Start[] {
  const { model, mix, seed, count, first, walk } = settings;
  const generator = generatorInfo(manifest, model);
  const length = 3 * generator.image_size ** 2;
  const weights = classWeights(mix, generator.classes);
  if (!walk) {
    const numbers = Array.from({ length: count }, (_, i) => first + i);
    return numbers.map((number) => ({ number, noise: gaussianNoise(seed, number, length), weights }));
  }
  const [from, to] = [gaussianNoise(seed, 0, length), gaussianNoise(walk.seed, 0, length)];
  const toWeights = classWeights(walk.mix, generator.classes);
  return Array.from({ length: walk.frames }, (_, i) => {
    const amount = i / (walk.frames - 1);
    return {
      number: i,
      noise: slerp(from, to, amount),
      weights: weights.map((weight, j) => weight + amount * (toWeights[j]! - weight)),
    };
  });
}

export function useGeneration() {
  const { engine, manifest, precision } = useModels();
  const [generation, setGeneration] = useState<Generation | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const cancel = useCallback(() => abort.current?.abort(), []);

  const run = useCallback(
    async (settings: Settings) => {
      abort.current?.abort();
      const controller = new AbortController();
      abort.current = controller;
      const { signal } = controller;
      const { model } = settings;
      const size = generatorInfo(manifest, model).image_size;
      const all = starts(settings, manifest);
      const change = (part: Partial<Generation>) => {
        if (abort.current === controller) setGeneration((current) => current && { ...current, ...part });
      };
      const changeOne = (number: number, update: (picture: Generated) => Generated) => {
        if (abort.current !== controller) return;
        setGeneration(
          (current) =>
            current && {
              ...current,
              pictures: current.pictures.map((other) => (other.number === number ? update(other) : other)),
            },
        );
      };
      setGeneration({
        settings,
        pictures: all.map(({ number, noise }) => ({ number, frames: [toRgba(noise, size)], done: null, verdict: null })),
        running: true,
        cancelled: false,
        error: null,
      });
      try {
        const finished: { number: number; picture: Uint8ClampedArray<ArrayBuffer> }[] = [];
        for (const { number, noise, weights } of all) {
          const result = await engine.call(
            'generate',
            { model, precision, noise, classWeights: weights, settings: settings.sampler },
            {
              signal,
              onStep: (_, state) =>
                changeOne(number, (picture) => ({ ...picture, frames: [...picture.frames, toRgba(state, size)] })),
            },
          );
          const done = { runs: result.runs, ms: result.totalMs };
          finished.push({ number, picture: toRgba(result.picture, size) });
          changeOne(number, (picture) => ({ ...picture, done }));
        }
        for (const { number, picture } of finished) {
          const answer = await engine.call('classify', { picture: await pngOf(picture, size), precision }, { signal });
          const [best] = ranked([...answer.probabilities], 1);
          changeOne(number, (other) => ({ ...other, verdict: best ?? null }));
        }
      } catch (error) {
        if (error instanceof Cancelled) change({ cancelled: true });
        else change({ error: messageOf(error) });
      } finally {
        change({ running: false });
      }
    },
    [engine, manifest, precision],
  );

  return { generation, run, cancel };
}
