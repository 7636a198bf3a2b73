import { useCallback, useContext, useMemo } from 'react';
import { messageOf } from '../../lib/errors';
import { ranked } from '../../lib/classification';
import { bytes } from '../../lib/format';
import { Cancelled } from '../../lib/sampler';
import { useModels } from '../../ui/models';
import { ItemsContext, type Item } from './items';

export const MAX_BYTES = 10_000_000;

let lastId = 0;

/** Pictures and the classifier's answers, one after the other; only for components below ItemsProvider and ModelsGate. */
export function useClassifications() {
  const { engine, precision, folder } = useModels();
  const kept = useContext(ItemsContext);
  if (!kept) throw new Error('useClassifications works only below ItemsProvider');
  const { setItems } = kept;
  const items = useMemo(() => kept.items.filter((item) => item.folder === folder), [kept.items, folder]);

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
    [engine, precision, setItems],
  );

  const add = useCallback(
    (files: readonly { name: string; file: Blob }[]) => {
      const added = files.map(({ name, file }) => ({ id: ++lastId, name, file, answer: null, error: null, folder }));
      setItems((current) => [...added, ...current]);
      for (const item of added) void run(item);
      return added;
    },
    [run, folder, setItems],
  );

  const clear = useCallback(() => setItems([]), [setItems]);
  return { items, add, run, clear };
}
