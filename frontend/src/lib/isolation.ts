const RELOADED = 'tinycats-reloaded';
const PATIENCE_MS = 4000;

let registered: Promise<void> = Promise.resolve();

/**
 * Registers the service worker, which serves the page offline and adds the headers that let WASM use several threads.
 * A page without such headers is reloaded, at most once, and only before any model was used on it.
 */
export function registerServiceWorker(begun: () => boolean): void {
  registered = register(begun);
}

/** Resolves once no reload is to be expected, or none came for a while: before that, work done unasked would be lost. */
export async function settled(): Promise<void> {
  if (self.crossOriginIsolated) return;
  await Promise.race([registered, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
}

async function register(begun: () => boolean): Promise<void> {
  if (!('serviceWorker' in navigator) || !import.meta.env.PROD) return;
  try {
    await navigator.serviceWorker.register(new URL('sw.js', document.baseURI));
    await navigator.serviceWorker.ready;
    if (self.crossOriginIsolated || sessionStorage.getItem(RELOADED)) return;
    if (!navigator.serviceWorker.controller) {
      await new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true }));
    }
    if (begun()) return;
    sessionStorage.setItem(RELOADED, 'yes');
    location.reload();
    await new Promise(() => undefined);
  } catch {
    // forbidden here, as in some private windows: one thread and no offline use
  }
}
