/**
 * JSON text as a tree that keeps each value's place in the source, so that large integers and
 * tenant data survive untouched. Strict JSON only; size and depth are bounded before parsing.
 */
import { type Node, parseTree } from 'jsonc-parser';

export const MAX_DEPTH = 64;

/** Why a text or a value in it was refused; callers turn it into their own typed error. */
export class DecodeProblem extends Error {
  readonly kind: 'size' | 'depth' | 'syntax' | 'value';
  /** Dotted path of the field, empty for the whole text. */
  readonly field: string;
  /** The number that was met and the one allowed, for `size` and `depth`. */
  readonly limit: { readonly found: number; readonly allowed: number } | undefined;

  constructor(
    kind: DecodeProblem['kind'],
    reason: string,
    field = '',
    limit?: { readonly found: number; readonly allowed: number },
  ) {
    super(reason);
    this.kind = kind;
    this.field = field;
    this.limit = limit;
  }
}

export interface Source {
  readonly text: string;
  readonly root: Node;
}

/** Parses JSON text or its UTF-8 bytes of at most `maxBytes`; throws `DecodeProblem`. */
export function readSource(input: string | Uint8Array, maxBytes: number): Source {
  const length = typeof input === 'string' ? utf8Length(input, maxBytes) : input.length;
  if (length > maxBytes) {
    throw new DecodeProblem('size', `JSON text of ${length} bytes`, '', { found: length, allowed: maxBytes });
  }
  const text = typeof input === 'string' ? input : decodeUtf8(input);
  const depth = deepest(text);
  if (depth > MAX_DEPTH) {
    throw new DecodeProblem('depth', 'exceeded max depth', '', { found: depth, allowed: MAX_DEPTH });
  }
  try {
    JSON.parse(text);
  } catch (error) {
    throw new DecodeProblem('syntax', error instanceof Error ? error.message : String(error));
  }
  const root = parseTree(text, [], { disallowComments: true, allowTrailingComma: false });
  if (root === undefined) throw new DecodeProblem('syntax', 'unexpected end of JSON input');
  return { text, root };
}

/** UTF-16 units are at most 3 bytes each, so short texts need no count. */
function utf8Length(text: string, maxBytes: number): number {
  if (text.length > maxBytes) return text.length;
  return text.length * 3 <= maxBytes ? text.length : new TextEncoder().encode(text).length;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new DecodeProblem('syntax', 'text is not valid UTF-8');
  }
}

/** Deepest nesting of objects and arrays; the parsers below recurse, so this must not. */
function deepest(text: string): number {
  let depth = 0;
  let most = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (inString) {
      if (unit === 0x5c) i++;
      else if (unit === 0x22) inString = false;
    } else if (unit === 0x22) inString = true;
    else if (unit === 0x5b || unit === 0x7b) {
      depth++;
      if (depth > most) most = depth;
    } else if (unit === 0x5d || unit === 0x7d) depth--;
  }
  return most;
}
