/** JSON text from a peer: its size is bounded and its encoding checked before it is parsed. */
import { DecodeProblem } from './problem.ts';

/** JSON text, or its UTF-8 bytes, of at most `maxBytes`, without unpaired surrogates; throws `DecodeProblem`. */
export function readText(input: string | Uint8Array, maxBytes: number): string {
  const length = typeof input === 'string' ? utf8Length(input, maxBytes) : input.length;
  if (length > maxBytes) {
    throw new DecodeProblem('size', `JSON text of ${length} bytes exceeds ${maxBytes}`, '', {
      found: length,
      allowed: maxBytes,
    });
  }
  return typeof input === 'string' ? input.toWellFormed() : decodeUtf8(input);
}

/** A text of n units has n to 3n bytes, so most need no count. */
function utf8Length(text: string, maxBytes: number): number {
  const certain = text.length > maxBytes || text.length * 3 <= maxBytes;
  return certain ? text.length : new TextEncoder().encode(text).length;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new DecodeProblem('syntax', 'text is not valid UTF-8');
  }
}
