/**
 * Go strings are bytes that need not be UTF-8. A byte that is not part of valid
 * UTF-8 becomes the lone surrogate U+DC80..U+DCFF and leaves as the same byte,
 * so a string read from the bus is written back unchanged.
 */

const REPLACEMENT = '\ufffd';
const REPLACEMENT_BYTES = Buffer.from(REPLACEMENT);

export function decodeGoString(bytes: Buffer): string {
  if (isShortAscii(bytes)) return bytes.toString('latin1');
  const text = bytes.toString('utf8');
  if (!text.includes(REPLACEMENT)) return text;
  return decodeSlowly(bytes);
}

export function encodeGoString(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    parts.push(code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}

function isShortAscii(bytes: Buffer): boolean {
  if (bytes.length > 64) return false;
  for (let at = 0; at < bytes.length; at++) if ((bytes[at] as number) >= 0x80) return false;
  return true;
}

function decodeSlowly(bytes: Buffer): string {
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    text += length === 0 ? String.fromCharCode(0xdc00 + (bytes[at] ?? 0)) : bytes.toString('utf8', at, at + length);
    at += length || 1;
  }
  return text;
}

/** Length of the valid UTF-8 sequence at `at`, 0 when there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  const part = bytes.subarray(at, at + length);
  if (part.equals(REPLACEMENT_BYTES)) return length;
  return part.toString('utf8').includes(REPLACEMENT) ? 0 : length;
}
