import { isAbort } from './errors';

export interface Shared {
  file: File;
  title: string;
  url: string;
}

/** `shown`: the reader was given the link to copy by hand. */
export type Outcome = 'shared' | 'cancelled' | 'copied' | 'shown';

/** Hands a picture and its link to other apps; where the browser cannot, or may not, the link alone is copied. */
export async function share({ file, title, url }: Shared): Promise<Outcome> {
  const link = { title, url };
  const data = [{ ...link, files: [file] }, link].find((some) => canShare(some));
  if (data) {
    try {
      await navigator.share(data);
      return 'shared';
    } catch (error) {
      if (isAbort(error)) return 'cancelled';
    }
  }
  return copyLink(url);
}

/** `navigator` lacks these on some systems, and on insecure addresses. */
function canShare(data: ShareData): boolean {
  const found: Partial<Navigator> = navigator;
  return Boolean(found.share && (found.canShare ? found.canShare(data) : !data.files));
}

export async function copyLink(url: string): Promise<'copied' | 'shown'> {
  try {
    await navigator.clipboard.writeText(url);
    return 'copied';
  } catch {
    window.prompt('Copy this link:', url);
    return 'shown';
  }
}
