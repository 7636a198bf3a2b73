import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { preview, type InlineConfig } from 'vite';

export interface Site {
  /** Without a slash at its end. */
  origin: string;
  /** Paths of the requests so far. */
  requests: string[];
  /** If set, answers instead of the files, unless it returns false. */
  fault: ((request: IncomingMessage, response: ServerResponse) => boolean) | null;
  close: () => Promise<void>;
}

/** `vite preview` on a free port, as `make app` runs it but for `config`; a test may spoil its answers. */
export async function openSite(config: InlineConfig): Promise<Site> {
  const site: Site = { origin: '', requests: [], fault: null, close: () => server.close() };
  const server = await preview({
    root: join(import.meta.dirname, '..'),
    ...config,
    preview: { port: 0, cors: false, ...config.preview },
    plugins: [
      ...(config.plugins ?? []),
      {
        name: 'site',
        configurePreviewServer({ middlewares }) {
          middlewares.use((request, response, next) => {
            site.requests.push(request.url ?? '');
            if (!site.fault?.(request, response)) next();
          });
        },
      },
    ],
  });
  site.origin = new URL(server.resolvedUrls!.local[0]!).origin;
  return site;
}
