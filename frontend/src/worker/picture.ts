import { UserError } from '../lib/errors';
import { middleSquare, toSquare, type Rgb } from '../lib/preprocess';

const MAX_PIXELS = 50_000_000; // as the pipeline's preprocess.max_pixels
const THUMBNAIL = 512;

/**
 * The middle of a picture file, upright and on white, as the model takes it and for showing. Raises UserError where the
 * browser cannot read it.
 */
export async function readPicture(file: Blob, size: number): Promise<{ input: Rgb; thumbnail: ImageBitmap }> {
  let bitmap: ImageBitmap;
  try {
    // colours and alpha as they are in the file: the pipeline's decoder does not manage colours either
    bitmap = await createImageBitmap(file, {
      imageOrientation: 'from-image',
      colorSpaceConversion: 'none',
      premultiplyAlpha: 'none',
    });
  } catch {
    throw new UserError('this is no picture that the browser can read; JPEG, PNG, WebP and GIF work');
  }
  try {
    if (bitmap.width * bitmap.height > MAX_PIXELS) {
      throw new UserError(`${bitmap.width} x ${bitmap.height} pixels are too many; up to 50 megapixels work`);
    }
    const { left, top, side } = middleSquare(bitmap.width, bitmap.height);
    const canvas = new OffscreenCanvas(side, side);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (!context) throw new UserError('the browser has no memory left for this picture');
    context.fillStyle = 'white';
    context.fillRect(0, 0, side, side);
    context.drawImage(bitmap, -left, -top);
    const input = toSquare(context.getImageData(0, 0, side, side), size);
    const shown = Math.min(side, THUMBNAIL);
    const thumbnail = await createImageBitmap(canvas, { resizeWidth: shown, resizeHeight: shown, resizeQuality: 'high' });
    return { input, thumbnail };
  } finally {
    bitmap.close();
  }
}
