/**
 * Strict JSON read value by value, as its reader asks, without a tree between: large integers and
 * tenant data survive untouched. Complaints are Go's sentences: they name one character, never a
 * stretch of the text, which may hold private keys.
 */
import { DecodeProblem } from './problem.ts';

export const MAX_DEPTH = 64;

export type JsonKind = 'null' | 'bool' | 'number' | 'string' | 'array' | 'object';

const QUOTE = 0x22;
const COMMA = 0x2c;
const BYTE_ORDER_MARK = 0xfeff;
const BACKSLASH = 0x5c;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const HEX_DIGIT = /^[0-9a-fA-F]$/;
const OTHER = 0x80;
const SCRATCH_UNITS = 64 * 1024;

const encoder = new TextEncoder();
/** Of a reader that was closed. */
let spare: Uint8Array | undefined;

/** A text's units as bytes: V8 reads them quicker, and as quick in a part of a text. */
function unitsOf(text: string): Uint8Array {
  const { length } = text;
  let units = spare;
  spare = undefined;
  if (units === undefined || units.length <= length) units = new Uint8Array(Math.max(length + 1, SCRATCH_UNITS));
  const { read, written } = encoder.encodeInto(text, units);
  // Only ASCII has as many bytes as units.
  if (read !== length || written !== length) {
    for (let i = 0; i < length; i++) units[i] = Math.min(text.charCodeAt(i), OTHER);
  }
  units[length] = 0;
  return units;
}

/** Throws `DecodeProblem` of kind `syntax` or `depth` unless a text is one JSON value. */
export function checkJson(text: string): void {
  const json = new JsonReader(text);
  try {
    json.skip();
    json.end();
  } finally {
    json.close();
  }
}

/**
 * Stands before a value; what reads a value leaves the reader behind it. Each method that meets
 * something else than JSON throws `DecodeProblem` of kind `syntax` or `depth`.
 */
export class JsonReader {
  readonly #text: string;
  /** One for each unit of the text, `OTHER` where that is beyond ASCII, and a zero behind them. */
  readonly #units: Uint8Array;
  #at = 0;
  #depth = 0;

  /** `text` has no unpaired surrogates. */
  constructor(text: string) {
    this.#text = text;
    this.#units = unitsOf(text);
    this.#space();
  }

  /** Gives back what the next reader can use; this one must not be asked again. */
  close(): void {
    if (this.#units.length <= SCRATCH_UNITS) spare = this.#units;
  }

  /** What comes, by its first character. */
  kind(): JsonKind {
    const unit = this.#unit();
    switch (unit) {
      case QUOTE:
        return 'string';
      case 0x7b:
        return 'object';
      case 0x5b:
        return 'array';
      case 0x74:
      case 0x66:
        return 'bool';
      case 0x6e:
        return 'null';
      default:
        if (unit === 0x2d || isDigit(unit)) return 'number';
        throw this.#unexpected('looking for beginning of value');
    }
  }

  /** Reads `null`, if that comes. */
  null(): boolean {
    if (this.#unit() !== 0x6e) return false;
    this.#literal('null');
    return true;
  }

  /** Reads `true` or `false`; `undefined` if something else comes. */
  bool(): boolean | undefined {
    const unit = this.#unit();
    if (unit !== 0x74 && unit !== 0x66) return undefined;
    this.#literal(unit === 0x74 ? 'true' : 'false');
    return unit === 0x74;
  }

  /** Reads a string, unpaired surrogates of escapes as U+FFFD; `undefined` if something else comes. */
  string(): string | undefined {
    return this.#unit() === QUOTE ? this.#string() : undefined;
  }

  /** Reads a number of at most 15 digits, all there is of it; `undefined`, with nothing read, if another value comes. */
  digits(max = Number.MAX_SAFE_INTEGER): number | undefined {
    const units = this.#units;
    let at = this.#at;
    let unit = units[at] as number;
    if (!isDigit(unit)) return undefined;
    let value = unit - 0x30;
    const last = value === 0 ? at + 1 : at + 15;
    for (unit = units[++at] as number; at < last && isDigit(unit); unit = units[++at] as number) {
      value = value * 10 + unit - 0x30;
    }
    if (!endsNumber(unit) || value > max) return undefined;
    this.#at = at;
    return value;
  }

  /** The text of the number that comes, which stays unread; `''` if something else comes. */
  number(): string {
    const start = this.#at;
    if (this.kind() !== 'number') return '';
    this.#number();
    const end = this.#at;
    this.#at = start;
    return this.#text.slice(start, end);
  }

  /** Reads any value and gives its text. */
  token(): string {
    const start = this.#at;
    this.skip();
    return this.#text.slice(start, this.#at);
  }

  /**
   * What `read` makes of the value that comes, and that value's text; `value` is `undefined` where
   * `read` finds a problem of kind `value`.
   */
  withText<T>(read: () => T): { readonly text: string; readonly value: T | undefined } {
    const start = this.#at;
    const depth = this.#depth;
    let value: T | undefined;
    try {
      value = read();
    } catch (error) {
      if (!(error instanceof DecodeProblem) || error.kind !== 'value') throw error;
      this.#at = start;
      this.#depth = depth;
      this.skip();
    }
    return { text: this.#text.slice(start, this.#at), value };
  }

  /** Reads any value. */
  skip(): void {
    switch (this.#unit()) {
      case QUOTE:
        this.#skipString();
        return;
      case 0x7b:
        for (let more = this.openObject(); more; more = this.nextMember()) {
          this.#skipString();
          this.#colon();
          this.skip();
        }
        return;
      case 0x5b:
        for (let more = this.openArray(); more; more = this.nextItem()) this.skip();
        return;
      case 0x74:
        this.#literal('true');
        return;
      case 0x66:
        this.#literal('false');
        return;
      case 0x6e:
        this.#literal('null');
        return;
      default:
        this.#number();
    }
  }

  /** Enters the array that comes; whether it has an item, which then comes. */
  openArray(): boolean {
    this.#enter();
    return !this.#leaves(0x5d);
  }

  /** After an item: whether another comes. */
  nextItem(): boolean {
    this.#space();
    if (this.#leaves(0x5d)) return false;
    this.#comma('after array element');
    return true;
  }

  /** Enters the object that comes; whether it has a member, whose key then comes. */
  openObject(): boolean {
    this.#enter();
    return !this.#leaves(0x7d) && this.#quote();
  }

  /** After a member: whether another comes. */
  nextMember(): boolean {
    this.#space();
    if (this.#leaves(0x7d)) return false;
    this.#comma('after object key:value pair');
    return this.#quote();
  }

  /** Reads a member's key; its value comes. */
  key(): string {
    const key = this.#string();
    this.#colon();
    return key;
  }

  /** Reads a member's key if it is spelled just so; `name` is plain ASCII's bytes. */
  isKey(name: Uint8Array): boolean {
    const units = this.#units;
    const start = this.#at + 1;
    const end = start + name.length;
    for (let i = 0; i < name.length; i++) if (units[start + i] !== name[i]) return false;
    if (units[end] !== QUOTE) return false;
    this.#at = end + 1;
    this.#colon();
    return true;
  }

  /** After the outermost value: nothing may come. */
  end(): void {
    this.#space();
    if (this.#at < this.#text.length) throw this.#unexpected('after top-level value');
  }

  /** The unit that comes, zero at the end. */
  #unit(): number {
    return this.#units[this.#at] as number;
  }

  #quote(): boolean {
    if (this.#unit() === QUOTE) return true;
    throw this.#unexpected('looking for beginning of object key string');
  }

  #colon(): void {
    this.#space();
    if (this.#unit() !== 0x3a) throw this.#unexpected('after object key');
    this.#at++;
    this.#space();
  }

  #comma(where: string): void {
    if (this.#unit() !== COMMA) throw this.#unexpected(where);
    this.#at++;
    this.#space();
  }

  #string(): string {
    const start = this.#at;
    const escaped = this.#skipString();
    if (!escaped) return this.#text.slice(start + 1, this.#at - 1);
    // The text itself is well-formed; only an escape can make half a pair.
    return (JSON.parse(this.#text.slice(start, this.#at)) as string).toWellFormed();
  }

  /** From a string's opening quote to behind its closing one; whether escapes are in it. */
  #skipString(): boolean {
    const units = this.#units;
    let escaped = false;
    for (let at = this.#at + 1; ; at++) {
      const unit = units[at] as number;
      if (unit === QUOTE) {
        this.#at = at + 1;
        return escaped;
      }
      if (unit === BACKSLASH) {
        escaped = true;
        at = this.#escape(at + 1);
      } else if (unit < 0x20) {
        this.#at = at;
        throw this.#unexpected('in string literal');
      }
    }
  }

  /** The last character of an escape whose second one is at `at`. */
  #escape(at: number): number {
    const unit = this.#units[at] as number;
    if (unit === QUOTE || unit === BACKSLASH) return at;
    this.#at = at;
    if (unit === 0 || !'/bfnrtu'.includes(String.fromCharCode(unit))) throw this.#unexpected('in string escape code');
    if (unit !== 0x75) return at;
    for (let i = 1; i <= 4; i++) {
      this.#at = at + i;
      if (!HEX_DIGIT.test(this.#text.charAt(at + i))) throw this.#unexpected('in \\u hexadecimal character escape');
    }
    return at + 4;
  }

  #number(): void {
    if (this.digits() !== undefined) return;
    const start = this.#at;
    NUMBER.lastIndex = start;
    if (NUMBER.test(this.#text)) {
      this.#at = NUMBER.lastIndex;
      const next = this.#text.charAt(this.#at);
      // What follows may look like a number's next part; then the number itself is broken.
      if (next === '.') this.#after(1, 'after decimal point in numeric literal');
      if (next === 'e' || next === 'E') {
        const signed = /[+-]/.test(this.#text.charAt(this.#at + 1));
        this.#after(signed ? 2 : 1, 'in exponent of numeric literal');
      }
      return;
    }
    if (this.#text.charAt(start) === '-') this.#after(1, 'in numeric literal');
    throw this.#unexpected('looking for beginning of value');
  }

  #after(skip: number, where: string): never {
    this.#at += skip;
    throw this.#unexpected(where);
  }

  #literal(word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (this.#unit() !== word.charCodeAt(i)) {
        throw this.#unexpected(`in literal ${word} (expecting '${word.charAt(i)}')`);
      }
      this.#at++;
    }
  }

  #enter(): void {
    this.#at++;
    this.#depth++;
    if (this.#depth > MAX_DEPTH) {
      throw new DecodeProblem('depth', 'exceeded max depth', '', { found: this.#depth, allowed: MAX_DEPTH });
    }
    this.#space();
  }

  #leaves(close: number): boolean {
    if (this.#unit() !== close) return false;
    this.#at++;
    this.#depth--;
    return true;
  }

  #space(): void {
    let unit = this.#unit();
    if (unit > 0x20) return;
    while (unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09) {
      this.#at++;
      unit = this.#unit();
    }
  }

  #unexpected(where: string): DecodeProblem {
    const point = this.#text.codePointAt(this.#at);
    if (point === undefined) return new DecodeProblem('syntax', 'unexpected end of JSON input');
    const name = point === BYTE_ORDER_MARK ? ' (a byte order mark, which some editors put first)' : '';
    return new DecodeProblem(
      'syntax',
      `invalid character '${shownPoint(point)}'${name} ${where} at offset ${this.#at}`,
    );
  }
}

/** A character as it stands in an error; one that nobody would see by its number. */
function shownPoint(point: number): string {
  const text = String.fromCodePoint(point);
  const short = JSON.stringify(text).slice(1, -1);
  if (short.length > text.length) return short === '\\"' ? '"' : short;
  if (text === "'") return "\\'";
  if (text === ' ' || /[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(text)) return text;
  return `\\u${point.toString(16).padStart(4, '0')}`;
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

/** Whether a character ends a number that it follows, so that the number needs no second look. */
function endsNumber(unit: number): boolean {
  return unit === COMMA || unit === 0x7d || unit === 0x5d;
}
