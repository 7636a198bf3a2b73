import { withText } from '../../lib/png';

/** RGBA of a square picture as PNG, with text in it. */
export async function pngOf(
  rgba: Uint8ClampedArray<ArrayBuffer>,
  size: number,
  text: Record<string, string> = {},
): Promise<Blob> {
  const canvas = document.createElement('canvas');
  canvas.width = size;
  canvas.height = size;
  canvas.getContext('2d')?.putImageData(new ImageData(rgba, size, size), 0, 0);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/png'));
  if (!blob) throw new Error('the browser could not write a PNG');
  return new Blob([withText(new Uint8Array(await blob.arrayBuffer()), text)], { type: 'image/png' });
}
