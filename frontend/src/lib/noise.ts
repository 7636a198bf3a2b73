/**
 * Standard normal noise that depends on (seed, index) alone. The page's own: torch's would need its generator and its
 * exact order of operations, so the same seed gives another picture here than in `tinycats generate`.
 *
 * Uniform numbers come from sfc32 (Chris Doty-Humphrey's small fast counting generator), whose four words of state are
 * set from seed and index and stirred 20 times; pairs of normals from these by Box and Muller's transform.
 */
export function gaussianNoise(seed: number, index: number, length: number): Float32Array {
  const uniform = sfc32(0x9e3779b9 ^ seed, 0x243f6a88 ^ index, 0xb7e15162, 1);
  const out = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())); // 1 - u is never 0
    const angle = 2 * Math.PI * uniform();
    out[i] = radius * Math.cos(angle);
    if (i + 1 < length) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}

function sfc32(a: number, b: number, c: number, counter: number): () => number {
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 20; i++) next();
  return next;
}

export const MAX_SEED = 2 ** 32 - 1;

export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

/** Between two noises on the arc, so that what is between is as long as noise is. */
export function slerp(from: Float32Array, to: Float32Array, amount: number): Float32Array {
  let dot = 0;
  let fromSquare = 0;
  let toSquare = 0;
  for (let i = 0; i < from.length; i++) {
    dot += from[i]! * to[i]!;
    fromSquare += from[i]! ** 2;
    toSquare += to[i]! ** 2;
  }
  const angle = Math.acos(Math.min(1, Math.max(-1, dot / Math.sqrt(fromSquare * toSquare))));
  if (angle < 1e-6) return from.slice();
  const a = Math.sin((1 - amount) * angle) / Math.sin(angle);
  const b = Math.sin(amount * angle) / Math.sin(angle);
  return from.map((value, i) => a * value + b * to[i]!);
}
