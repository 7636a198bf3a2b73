import { useMemo, useState, type ReactNode } from 'react';
import { ItemsContext, type Item } from './items';

/** Keeps the pictures and their answers while the reader looks at other pages. */
export function ItemsProvider({ children }: { children: ReactNode }) {
  const [items, setItems] = useState<Item[]>([]);
  const value = useMemo(() => ({ items, setItems }), [items]);
  return <ItemsContext value={value}>{children}</ItemsContext>;
}
