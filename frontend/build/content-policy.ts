import type { Plugin } from 'vite';
import { CONTENT_POLICY } from './origins.ts';

/** Writes what the page may connect to into the built page, for servers that send no headers of their own. */
export function contentPolicy(): Plugin {
  return {
    name: 'tinycats-content-policy',
    apply: 'build',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: CONTENT_POLICY }, injectTo: 'head-prepend' },
    ],
  };
}
