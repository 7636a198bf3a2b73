import { Fragment, startTransition, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { Engine } from '../lib/engine';
import { messageOf } from '../lib/errors';
import { registerServiceWorker } from '../lib/isolation';
import { loadManifest, precisionsOf, type Manifest, type Precision } from '../lib/manifest';
import { loadVersions, type Version } from '../lib/versions';
import { useSearchParams } from 'react-router';
import type { DeviceChoice } from '../worker/protocol';
import { ErrorNote } from './ErrorNote';
import { maxThreads, ModelsContext, VERSION_PARAM } from './models';
import { PageSkeleton } from './PageSkeleton';

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

interface Loaded {
  wanted: string | null;
  versions: Version[];
  version: Version;
  folder: string;
  manifest: Manifest;
}

async function load(wanted: string | null): Promise<Loaded> {
  const versions = await loadVersions();
  const version = versions.find(({ name }) => name === wanted) ?? versions[0];
  const folder = new URL(version.folder, document.baseURI).href;
  const manifest = await loadManifest(folder);
  return { wanted, versions, version, folder, manifest: { ...manifest, version: manifest.version ?? version.version ?? null } };
}

/** The version's name in the address, `?models=NAME`; once there, it stays until the address or the user names another. */
function useWanted(): [string | null, (name: string | null) => void] {
  const [params, setParams] = useSearchParams();
  const asked = params.get(VERSION_PARAM);
  const [wanted, setWanted] = useState(asked);
  const [seen, setSeen] = useState(asked);
  if (seen !== asked) {
    setSeen(asked);
    if (asked) setWanted(asked);
  }
  const choose = useCallback(
    (name: string | null) => {
      setWanted(name);
      setParams(
        (old) =>
          new URLSearchParams([...[...old].filter(([key]) => key !== VERSION_PARAM), ...(name ? [[VERSION_PARAM, name]] : [])]),
        { replace: true },
      );
    },
    [setParams],
  );
  return [wanted, choose];
}

/** Loads the manifest and keeps the engine. */
export function ModelsProvider({ children }: { children: ReactNode }) {
  const [found, setFound] = useState<Loaded | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [attempt, setAttempt] = useState(0);
  const [settings, setSettings] = useState(storedSettings);
  const [wanted, setWanted] = useWanted();

  useEffect(() => {
    let current = true;
    load(wanted).then(
      (loaded) => {
        if (!current) return;
        startTransition(() => {
          setFound(loaded);
          setError(null);
        });
      },
      (reason: unknown) => {
        if (!current) return;
        setFound(null);
        setError(messageOf(reason));
      },
    );
    return () => {
      current = false;
    };
  }, [wanted, attempt]);

  const loaded = found?.wanted === wanted ? found : null;
  const device = useMemo(() => loaded && possible(settings, loaded.manifest), [loaded, settings]);
  const engine = useMemo(() => loaded && device && new Engine(device.choice, loaded.manifest, loaded.folder), [loaded, device]);
  useEffect(() => () => engine?.dispose(), [engine]);
  useEffect(() => {
    registerServiceWorker(() => Engine.begun);
  }, []);

  const choose = useCallback(
    (choice: DeviceChoice, precision: Precision, version: Version) => {
      setSettings({ choice, precision });
      try {
        localStorage.setItem(STORED, JSON.stringify({ choice, precision }));
      } catch {
        // forbidden here: the choice lasts as long as the page
      }
      if (loaded && version.name !== loaded.version.name) {
        setWanted(version.name === loaded.versions[0]!.name ? null : version.name);
      }
    },
    [loaded, setWanted],
  );

  const value = useMemo(
    () => ({
      models: loaded && device && engine && { ...loaded, ...device, engine, choose },
      error,
      retry: () => {
        setError(null);
        setAttempt((count) => count + 1);
      },
    }),
    [loaded, device, engine, choose, error],
  );
  return <ModelsContext value={value}>{children}</ModelsContext>;
}

/** The settings, as far as this version's models have the precision. */
function possible({ choice, precision }: Settings, manifest: Manifest): Settings {
  const precisions = precisionsOf(manifest);
  if (precisions.includes(precision)) return { choice, precision };
  return { choice: { ...choice, backend: 'wasm' }, precision: precisions[0] ?? precision };
}

/** Its children once the manifest is loaded; a skeleton before, and an error if it is unavailable. */
export function ModelsGate({ children }: { children: ReactNode }) {
  const { models, error, retry } = useContext(ModelsContext);
  // another version starts anew: its classes are others
  if (models) return <Fragment key={models.folder}>{children}</Fragment>;
  return error ? <ErrorNote message={error} onRetry={retry} /> : <PageSkeleton />;
}
