import { useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { Engine } from '../lib/engine';
import { messageOf } from '../lib/errors';
import { registerServiceWorker } from '../lib/isolation';
import { loadManifest, type Manifest, type Precision } from '../lib/manifest';
import type { DeviceChoice } from '../worker/protocol';
import { ErrorNote } from './ErrorNote';
import { maxThreads, ModelsContext } from './models';
import { PageSkeleton } from './PageSkeleton';

const FOLDER = new URL('models/', document.baseURI).href;
const STORED = 'tinycats-device';

interface Settings {
  choice: DeviceChoice;
  precision: Precision;
}

function storedSettings(): Settings {
  const usual: Settings = { choice: { backend: 'wasm', threads: Math.min(maxThreads(), 4) }, precision: 'int8' };
  try {
    return { ...usual, ...(JSON.parse(localStorage.getItem(STORED) ?? '{}') as Partial<Settings>) };
  } catch {
    return usual;
  }
}

/** Loads the manifest and keeps the engine. */
export function ModelsProvider({ children }: { children: ReactNode }) {
  const [manifest, setManifest] = useState<Manifest | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [attempt, setAttempt] = useState(0);
  const [settings, setSettings] = useState(storedSettings);

  useEffect(() => {
    let current = true;
    loadManifest(FOLDER).then(
      (loaded) => current && setManifest(loaded),
      (reason: unknown) => current && setError(messageOf(reason)),
    );
    return () => {
      current = false;
    };
  }, [attempt]);

  const engine = useMemo(() => manifest && new Engine(settings.choice, manifest, FOLDER), [manifest, settings.choice]);
  useEffect(() => () => engine?.dispose(), [engine]);
  useEffect(() => {
    void registerServiceWorker(() => Engine.begun);
  }, []);

  const choose = useCallback((choice: DeviceChoice, precision: Precision) => {
    setSettings({ choice, precision });
    try {
      localStorage.setItem(STORED, JSON.stringify({ choice, precision }));
    } catch {
      // forbidden here: the choice lasts as long as the page
    }
  }, []);

  const value = useMemo(
    () => ({
      models: manifest && engine && { manifest, engine, folder: FOLDER, choose, ...settings },
      error,
      retry: () => {
        setError(null);
        setAttempt((count) => count + 1);
      },
    }),
    [manifest, engine, choose, settings, error],
  );
  return <ModelsContext value={value}>{children}</ModelsContext>;
}

/** Its children once the manifest is loaded; a skeleton before, and an error if it is unavailable. */
export function ModelsGate({ children }: { children: ReactNode }) {
  const { models, error, retry } = useContext(ModelsContext);
  if (models) return children;
  return error ? <ErrorNote message={error} onRetry={retry} /> : <PageSkeleton />;
}
