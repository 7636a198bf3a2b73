/* Adds the headers of cross-origin isolation and of the content policy, which workers take from headers alone and GitHub
   Pages cannot send, and serves the page offline.
   Model files are left to the page: it keeps them by hash in a cache of its own. */
const VERSION = '__VERSION__';
const PRECACHE = __PRECACHE__;
const POLICY = __POLICY__;
const ASSETS = new Set(__ASSETS__);
const PAGE = `tinycats-page-${VERSION}`;
const DATA = 'tinycats-data';
const RUNTIME = 'tinycats-runtime';

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(PAGE)
      .then((cache) => cache.addAll(PRECACHE.map((path) => new Request(path, { cache: 'reload' }))))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener('activate', (event) => {
  event.waitUntil(dropOld().then(() => self.clients.claim()));
});

/** Drops earlier builds, and files stored on demand that this build does not have. */
async function dropOld() {
  for (const name of await caches.keys()) {
    if (name.startsWith('tinycats-page-') && name !== PAGE) await caches.delete(name);
  }
  const runtime = await caches.open(RUNTIME);
  for (const request of await runtime.keys()) {
    if (!ASSETS.has(request.url.slice(self.registration.scope.length))) await runtime.delete(request);
  }
}

function isolated(response) {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  headers.set('Content-Security-Policy', POLICY);
  const { status, statusText } = response;
  return new Response(status === 204 || status === 304 ? null : response.body, { status, statusText, headers });
}

/** Files with a hash in their name never change. */
async function stored(request) {
  const found = await caches.match(request, { ignoreSearch: true });
  if (found) return found;
  const response = await fetch(request);
  if (response.ok) {
    const copy = response.clone();
    void caches.open(RUNTIME).then((cache) => cache.put(request, copy));
  }
  return response;
}

/** From the network; without one, what was seen last. */
async function fresh(request) {
  try {
    const response = await fetch(request);
    if (response.ok) {
      const copy = response.clone();
      void caches.open(DATA).then((cache) => cache.put(request.url, copy));
    }
    return response;
  } catch (error) {
    const found =
      (await caches.match(request, { ignoreSearch: true })) ??
      (request.mode === 'navigate' && (await caches.match('./index.html')));
    if (found) return found;
    throw error;
  }
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin) return;
  if (!url.href.startsWith(self.registration.scope)) return;
  const path = url.href.slice(self.registration.scope.length);
  if (/\.(onnx|bin)$/.test(url.pathname) || request.headers.has('range')) event.respondWith(fetch(request).then(isolated));
  else event.respondWith((path.startsWith('assets/') ? stored(request) : fresh(request)).then(isolated));
});
