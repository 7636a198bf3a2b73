import { createContext, useContext, useSyncExternalStore } from 'react';
import type { Engine, EngineState } from '../lib/engine';
import type { Manifest, Precision } from '../lib/manifest';
import type { DeviceChoice } from '../worker/protocol';

export interface Models {
  manifest: Manifest;
  folder: string;
  engine: Engine;
  choice: DeviceChoice;
  precision: Precision;
  choose: (choice: DeviceChoice, precision: Precision) => void;
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
