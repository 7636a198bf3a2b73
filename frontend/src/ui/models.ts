import { createContext, useContext, useSyncExternalStore } from 'react';
import type { Engine, EngineState } from '../lib/engine';
import type { Manifest, Precision } from '../lib/manifest';
import type { Version } from '../lib/versions';
import type { DeviceChoice } from '../worker/protocol';

/** Of the address: the name of a version. */
export const VERSION_PARAM = 'models';

export interface Models {
  manifest: Manifest;
  /** Where its files are, with a slash at its end. */
  folder: string;
  version: Version;
  /** All that the page has, the usual one first. */
  versions: Version[];
  engine: Engine;
  choice: DeviceChoice;
  precision: Precision;
  choose: (choice: DeviceChoice, precision: Precision, version: Version) => void;
}

export interface ModelsState {
  models: Models | null;
  error: string | null;
  retry: () => void;
}

export const ModelsContext = createContext<ModelsState>({ models: null, error: null, retry: () => undefined });

/** The published models and the worker that runs them; only for components below ModelsGate. */
export function useModels(): Models {
  const { models } = useContext(ModelsContext);
  if (!models) throw new Error('useModels works only below ModelsGate');
  return models;
}

export function useEngineState(engine: Engine): EngineState {
  return useSyncExternalStore(engine.subscribe, engine.snapshot);
}

/** The most threads that WASM can have here. */
export function maxThreads(): number {
  return self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
}
