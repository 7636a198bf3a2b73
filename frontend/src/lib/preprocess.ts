/** Pixels as a canvas gives them: RGBA, 8 bits, row by row. */
export interface Pixels {
  data: Uint8ClampedArray | Uint8Array;
  width: number;
  height: number;
}

/** RGB, 8 bits, row by row: what the classifier takes, and what is between the steps below. */
export interface Rgb {
  data: Uint8Array;
  width: number;
  height: number;
}

/**
 * `size` x `size` pixels of all of a picture: averages whole blocks, then resamples bicubically, with the same integer
 * arithmetic as Pillow's Image.reduce and Image.resize, so that the model sees what it saw in the pipeline
 * (tinycats/data/decode.py, to_square, after its crop).
 */
export function toSquare(picture: Pixels, size: number): Rgb {
  const { width, height } = picture;
  const across = Math.max(1, Math.floor(width / size));
  const down = Math.max(1, Math.floor(height / size));
  const reduced = reduce(picture, across, down);
  if (reduced.width === size && reduced.height === size) return reduced;
  return resize(reduced, size, width / across, height / down); // the last block may be a part of one
}

/** How a picture becomes a square, as the manifest says it: its middle, or all of it with other proportions. */
export type Fit = 'crop' | 'stretch';

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The part of a picture that the model sees, in whole pixels as Python's `//` gives them. */
export function seenBox(width: number, height: number, fit: Fit): Box {
  if (fit === 'stretch') return { left: 0, top: 0, width, height };
  const side = Math.min(width, height);
  return { left: Math.floor((width - side) / 2), top: Math.floor((height - side) / 2), width: side, height: side };
}

/** Image.reduce: the mean of each block; those at the right and lower edge may be smaller. */
export function reduce({ data, width, height }: Pixels, across: number, down: number): Rgb {
  const columns = Math.ceil(width / across);
  const rows = Math.ceil(height / down);
  const out = new Uint8Array(columns * rows * 3);
  for (let row = 0; row < rows; row++) {
    const bottom = Math.min((row + 1) * down, height);
    for (let column = 0; column < columns; column++) {
      const right = Math.min((column + 1) * across, width);
      const count = (bottom - row * down) * (right - column * across);
      // Pillow divides by multiplying with a rounded reciprocal, which it computes in float32
      const multiplier = Math.trunc(Math.fround(2 ** 32 / Math.fround(256 * count)));
      let red = count >> 1;
      let green = red;
      let blue = red;
      for (let y = row * down; y < bottom; y++) {
        for (let at = (y * width + column * across) * 4, end = (y * width + right) * 4; at < end; at += 4) {
          red += data[at]!;
          green += data[at + 1]!;
          blue += data[at + 2]!;
        }
      }
      const at = (row * columns + column) * 3;
      out[at] = Math.floor((red * multiplier) / 2 ** 24);
      out[at + 1] = Math.floor((green * multiplier) / 2 ** 24);
      out[at + 2] = Math.floor((blue * multiplier) / 2 ** 24);
    }
  }
  return { data: out, width: columns, height: rows };
}

const COEFFICIENT_BITS = 22; // of Pillow's fixed-point weights

/** Image.resize of the box (0, 0, right, bottom) to size x size, bicubic: rows first, rounded to 8 bits, then columns. */
function resize(image: Rgb, size: number, right: number, bottom: number): Rgb {
  const across = weights(image.width, size, right);
  const down = weights(image.height, size, bottom);
  const narrow = new Uint8Array(size * image.height * 3);
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < size; x++) {
      const { start, values } = across[x]!;
      convolve(image.data, (y * image.width + start) * 3, 3, values, narrow, (y * size + x) * 3);
    }
  }
  const out = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++) {
    const { start, values } = down[y]!;
    for (let x = 0; x < size; x++) {
      convolve(narrow, (start * size + x) * 3, size * 3, values, out, (y * size + x) * 3);
    }
  }
  return { data: out, width: size, height: size };
}

function convolve(from: Uint8Array, at: number, stride: number, values: Int32Array, to: Uint8Array, target: number): void {
  for (let channel = 0; channel < 3; channel++) {
    let sum = 1 << (COEFFICIENT_BITS - 1);
    for (let i = 0; i < values.length; i++) sum += from[at + i * stride + channel]! * values[i]!;
    to[target + channel] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** COEFFICIENT_BITS)));
  }
}

interface Window {
  start: number;
  values: Int32Array;
}

/** For each of `size` outputs, which of the `available` inputs it takes and with what weight (Pillow's Resample.c). */
function weights(available: number, size: number, extent: number): Window[] {
  const scale = Math.fround(extent) / size; // Pillow keeps the box in float32
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  return Array.from({ length: size }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(available, Math.trunc(centre + support + 0.5));
    const raw = Array.from({ length: end - start }, (_, i) => cubic((i + start - centre + 0.5) / stretch));
    const sum = raw.reduce((total, value) => total + value, 0);
    return {
      start,
      values: Int32Array.from(raw, (value) => {
        const fixed = (value / sum) * 2 ** COEFFICIENT_BITS;
        return Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
      }),
    };
  });
}

/** Keys' cubic with a = -0.5. */
function cubic(x: number): number {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}
