/**
 * Strict JSON as a tree that keeps each value's place in the text, so that large integers and tenant
 * data survive untouched. Complaints are Go's sentences: they name one character, never a stretch of
 * the text, which may hold private keys.
 */
import { DecodeProblem } from './problem.ts';

export const MAX_DEPTH = 64;

interface Placed {
  /** First character and the one after the last, UTF-16 units. */
  readonly start: number;
  readonly end: number;
}

export type JsonNode =
  | (Placed & { readonly type: 'null' | 'bool' | 'number' })
  | (Placed & { readonly type: 'string'; readonly value: string })
  | (Placed & { readonly type: 'array'; readonly items: readonly JsonNode[] })
  | (Placed & { readonly type: 'object'; readonly members: readonly Member[] });

/** One `key: value` of an object, in the order of the text; keys may repeat. */
interface Member {
  readonly key: string;
  readonly value: JsonNode;
}

/** Parses a whole JSON text; throws `DecodeProblem` of kind `syntax` or `depth`. */
export function parseJson(text: string): JsonNode {
  return new Parser(text).whole();
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): JsonNode {
    this.#space();
    const node = this.#value();
    this.#space();
    if (this.#at < this.#text.length) throw this.#unexpected('after top-level value');
    return node;
  }

  #value(): JsonNode {
    const start = this.#at;
    switch (this.#text.charCodeAt(start)) {
      case 0x22: {
        const value = this.#string();
        return { type: 'string', value, start, end: this.#at };
      }
      case 0x7b:
        return this.#object(start);
      case 0x5b:
        return this.#array(start);
      case 0x74:
        return this.#literal('true', 'bool');
      case 0x66:
        return this.#literal('false', 'bool');
      case 0x6e:
        return this.#literal('null', 'null');
      default:
        return this.#number(start);
    }
  }

  #object(start: number): JsonNode {
    this.#enter();
    const members: Member[] = [];
    this.#space();
    if (this.#take(0x7d)) return this.#leave({ type: 'object', members, start, end: this.#at });
    for (;;) {
      if (this.#text.charCodeAt(this.#at) !== 0x22)
        throw this.#unexpected('looking for beginning of object key string');
      const key = this.#string();
      this.#space();
      if (!this.#take(0x3a)) throw this.#unexpected('after object key');
      this.#space();
      members.push({ key, value: this.#value() });
      this.#space();
      if (this.#take(0x7d)) return this.#leave({ type: 'object', members, start, end: this.#at });
      if (!this.#take(0x2c)) throw this.#unexpected('after object key:value pair');
      this.#space();
    }
  }

  #array(start: number): JsonNode {
    this.#enter();
    const items: JsonNode[] = [];
    this.#space();
    if (this.#take(0x5d)) return this.#leave({ type: 'array', items, start, end: this.#at });
    for (;;) {
      items.push(this.#value());
      this.#space();
      if (this.#take(0x5d)) return this.#leave({ type: 'array', items, start, end: this.#at });
      if (!this.#take(0x2c)) throw this.#unexpected('after array element');
      this.#space();
    }
  }

  /** Reads a string from its opening quote; unpaired surrogates become U+FFFD. */
  #string(): string {
    const text = this.#text;
    const start = this.#at++;
    let escaped = false;
    for (;;) {
      const unit = text.charCodeAt(this.#at);
      if (unit === 0x22) break;
      // Also refuses the end of the text, whose code is NaN.
      if (!(unit >= 0x20)) throw this.#unexpected('in string literal');
      this.#at++;
      if (unit !== 0x5c) continue;
      escaped = true;
      const letter = text.charAt(this.#at);
      if (letter === '' || !'"\\/bfnrtu'.includes(letter)) throw this.#unexpected('in string escape code');
      this.#at++;
      if (letter !== 'u') continue;
      for (const end = this.#at + 4; this.#at < end; this.#at++) {
        if (!/^[0-9a-fA-F]$/.test(text.charAt(this.#at))) {
          throw this.#unexpected('in \\u hexadecimal character escape');
        }
      }
    }
    this.#at++;
    // The text itself is well-formed; only an escape can make half a pair.
    return escaped
      ? (JSON.parse(text.slice(start, this.#at)) as string).toWellFormed()
      : text.slice(start + 1, this.#at - 1);
  }

  #number(start: number): JsonNode {
    NUMBER.lastIndex = start;
    if (NUMBER.test(this.#text)) {
      this.#at = NUMBER.lastIndex;
      const unit = this.#text.charCodeAt(this.#at);
      if (unit === 0x2c || unit === 0x7d || unit === 0x5d) return { type: 'number', start, end: this.#at };
      const next = this.#text.charAt(this.#at);
      // What follows may look like a number's next part; then the number itself is broken.
      if (next === '.') return this.#after(1, 'after decimal point in numeric literal');
      if (next === 'e' || next === 'E') {
        const signed = /[+-]/.test(this.#text.charAt(this.#at + 1));
        return this.#after(signed ? 2 : 1, 'in exponent of numeric literal');
      }
      return { type: 'number', start, end: this.#at };
    }
    if (this.#text.charAt(start) === '-') return this.#after(1, 'in numeric literal');
    throw this.#unexpected('looking for beginning of value');
  }

  #after(skip: number, where: string): never {
    this.#at += skip;
    throw this.#unexpected(where);
  }

  #literal(word: string, type: 'bool' | 'null'): JsonNode {
    const start = this.#at;
    if (this.#text.startsWith(word, start)) {
      this.#at += word.length;
      return { type, start, end: this.#at };
    }
    for (const letter of word) {
      if (this.#text.charAt(this.#at) !== letter) throw this.#unexpected(`in literal ${word} (expecting '${letter}')`);
      this.#at++;
    }
    return { type, start, end: this.#at };
  }

  #enter(): void {
    this.#at++;
    this.#depth++;
    if (this.#depth > MAX_DEPTH) {
      throw new DecodeProblem('depth', 'exceeded max depth', '', { found: this.#depth, allowed: MAX_DEPTH });
    }
  }

  #leave(node: JsonNode): JsonNode {
    this.#depth--;
    return node;
  }

  #take(unit: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== unit) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
      this.#at++;
    }
  }

  #unexpected(where: string): DecodeProblem {
    const point = this.#text.codePointAt(this.#at);
    if (point === undefined) return new DecodeProblem('syntax', 'unexpected end of JSON input');
    const shown = JSON.stringify(String.fromCodePoint(point)).slice(1, -1).replace('\\"', '"').replace("'", "\\'");
    return new DecodeProblem('syntax', `invalid character '${shown}' ${where} at offset ${this.#at}`);
  }
}
