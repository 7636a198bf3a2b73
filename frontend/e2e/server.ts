import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface Site {
  /** Without a slash at its end. */
  origin: string;
  /** Paths of the requests so far. */
  requests: string[];
  /** Answers instead of the files where it is set and returns true. */
  fault: ((request: IncomingMessage, response: ServerResponse) => boolean) | null;
  close: () => Promise<void>;
}

/** A server on a free port of this machine, whose answers a test may spoil. */
export async function openSite(handler: Handler): Promise<Site> {
  const site: Site = { origin: '', requests: [], fault: null, close: async () => undefined };
  const server: Server = createServer((request, response) => {
    site.requests.push(request.url ?? '');
    if (!site.fault?.(request, response)) handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  site.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  site.close = () =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return site;
}
