const RELOADED = 'tinycats-reloaded';

/**
 * Registers the service worker, which serves the page offline and adds the headers that let WASM use several threads.
 * A page without such headers is reloaded, at most once, and only before the user has started anything on it.
 */
export async function registerServiceWorker(begun: () => boolean): Promise<void> {
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
  } catch {
    // forbidden here, as in some private windows: one thread and no offline use
  }
}
