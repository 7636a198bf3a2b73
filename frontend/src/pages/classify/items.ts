import { createContext, type Dispatch, type SetStateAction } from 'react';
import type { Ranked } from '../../lib/classification';
import type { ClassifyResult } from '../../worker/protocol';

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
  /** The models that were asked: another version has other classes. */
  folder: string;
}

export interface Items {
  items: Item[];
  setItems: Dispatch<SetStateAction<Item[]>>;
}

export const ItemsContext = createContext<Items | null>(null);
