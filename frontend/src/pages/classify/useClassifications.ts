import { useCallback, useRef, useState } from 'react';
import { messageOf } from '../../lib/errors';
import { ranked, type Ranked } from '../../lib/classification';
import { bytes } from '../../lib/format';
import { Cancelled } from '../../lib/sampler';
import { useModels } from '../../ui/models';
import type { ClassifyResult } from '../../worker/protocol';

export const MAX_BYTES = 10_000_000;

export interface Answer extends ClassifyResult {
  confidences: number[];
  ranking: Ranked[];
  /** From the file to the answer on this page. */
  answerMs: number;
}

export interface Item {
  id: number;
  name: string;
  file: Blob;
  answer: Answer | null;
  error: string | null;
}

/** Pictures and the classifier's answers, one after the other. */
export function useClassifications() {
  const { engine, precision } = useModels();
  const [items, setItems] = useState<Item[]>([]);
  const nextId = useRef(1);

  const run = useCallback(
    async (item: Item) => {
      const change = (part: Partial<Item>) =>
        setItems((current) => current.map((other) => (other.id === item.id ? { ...other, ...part } : other)));
      if (item.file.size > MAX_BYTES) {
        change({ error: `too large: ${bytes(item.file.size)}; the limit is ${bytes(MAX_BYTES)}` });
        return;
      }
      change({ error: null });
      try {
        await engine.call('load', { model: 'classifier', precision });
        const start = performance.now();
        const result = await engine.call('classify', { picture: item.file, precision });
        const confidences = Array.from(result.probabilities);
        change({ answer: { ...result, confidences, ranking: ranked(confidences), answerMs: performance.now() - start } });
      } catch (error) {
        if (!(error instanceof Cancelled)) change({ error: messageOf(error) });
        else setItems((current) => current.filter((other) => other.id !== item.id));
      }
    },
    [engine, precision],
  );

  const add = useCallback(
    (files: readonly { name: string; file: Blob }[]) => {
      const added = files.map(({ name, file }) => ({ id: nextId.current++, name, file, answer: null, error: null }));
      setItems((current) => [...added, ...current]);
      for (const item of added) void run(item);
      return added;
    },
    [run],
  );

  const clear = useCallback(() => setItems([]), []);
  return { items, add, run, clear };
}
