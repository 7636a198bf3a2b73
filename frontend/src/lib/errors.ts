/** An error that the reader can do something about: the message is shown as it is. */
export class UserError extends Error {
  override name = 'UserError';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}
