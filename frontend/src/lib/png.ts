const SIGNATURE_BYTES = 8;

/** A PNG with more text in it: an iTXt chunk (UTF-8) for each entry, before the end. */
export function withText(png: Uint8Array, text: Record<string, string>): Uint8Array<ArrayBuffer> {
  const chunks = Object.entries(text).map(([key, value]) => textChunk(key, value));
  const end = endOffset(png);
  const out = new Uint8Array(png.length + chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  out.set(png.subarray(0, end));
  let at = end;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  out.set(png.subarray(end), at);
  return out;
}

/** The iTXt entries of a PNG that are not compressed. */
export function readText(png: Uint8Array): Record<string, string> {
  const text: Record<string, string> = {};
  for (const { type, data } of chunksOf(png)) {
    if (type !== 'iTXt') continue;
    const keyEnd = data.indexOf(0);
    const languageEnd = data.indexOf(0, keyEnd + 3);
    const start = data.indexOf(0, languageEnd + 1) + 1;
    text[decode(data.subarray(0, keyEnd))] = decode(data.subarray(start));
  }
  return text;
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function* chunksOf(png: Uint8Array): Generator<{ type: string; data: Uint8Array; at: number }> {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  for (let at = SIGNATURE_BYTES; at + 12 <= png.length;) {
    const length = view.getUint32(at);
    yield { type: decode(png.subarray(at + 4, at + 8)), data: png.subarray(at + 8, at + 8 + length), at };
    at += 12 + length;
  }
}

function endOffset(png: Uint8Array): number {
  for (const { type, at } of chunksOf(png)) if (type === 'IEND') return at;
  throw new Error('not a PNG');
}

function textChunk(key: string, value: string): Uint8Array {
  // keyword 0, compression flag 0, method 0, language "" 0, translated keyword "" 0, text
  const data = new TextEncoder().encode(`iTXt${key}\0\0\0\0\0${value}`);
  const out = new Uint8Array(data.length + 8);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length - 4);
  out.set(data, 4);
  view.setUint32(data.length + 4, crc32(data));
  return out;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
