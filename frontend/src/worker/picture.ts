import { UserError } from '../lib/errors';
import { seenBox, toSquare, type Fit, type Rgb } from '../lib/preprocess';

const MAX_PIXELS = 50_000_000; // as the pipeline's preprocess.max_pixels
const THUMBNAIL = 512;

/**
 * What the model sees of a picture file, upright and on white, both square: its input, and a thumbnail to show. Raises
 * UserError if the browser cannot read the file.
 */
export async function readPicture(file: Blob, size: number, fit: Fit): Promise<{ input: Rgb; thumbnail: ImageBitmap }> {
  let bitmap: ImageBitmap;
  try {
    // colours and alpha as they are in the file: the pipeline's decoder does not manage colours either
    bitmap = await createImageBitmap(file, {
      imageOrientation: 'from-image',
      colorSpaceConversion: 'none',
      premultiplyAlpha: 'none',
    });
  } catch {
    throw new UserError('the browser cannot read this picture; use JPEG, PNG, WebP or GIF');
  }
  try {
    if (bitmap.width * bitmap.height > MAX_PIXELS) {
      throw new UserError(`${bitmap.width} x ${bitmap.height} pixels are too many; the limit is 50 megapixels`);
    }
    const { left, top, width, height } = seenBox(bitmap.width, bitmap.height, fit);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (!context) throw new UserError('the browser has too little memory for this picture');
    context.fillStyle = 'white';
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, -left, -top);
    const input = toSquare(context.getImageData(0, 0, width, height), size);
    const shown = Math.min(width, height, THUMBNAIL);
    const thumbnail = await createImageBitmap(canvas, { resizeWidth: shown, resizeHeight: shown, resizeQuality: 'high' });
    return { input, thumbnail };
  } finally {
    bitmap.close();
  }
}
