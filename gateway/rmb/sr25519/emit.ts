/** The few parts of a WebAssembly binary that `curve-module.ts` needs. */

const I32 = 0x7f;
export const I64 = 0x7e;

export const op = {
  loop: 0x03,
  end: 0x0b,
  branchIf: 0x0d,
  call: 0x10,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  load32Signed: 0x34,
  store32: 0x3e,
  i32const: 0x41,
  i64const: 0x42,
  i32add: 0x6a,
  i32sub: 0x6b,
  i64add: 0x7c,
  i64sub: 0x7d,
  i64mul: 0x7e,
  i64shl: 0x86,
  i64shrSigned: 0x87,
} as const;

const EMPTY_BLOCK = 0x40;

/** One function: arguments are i32, nothing is returned. */
export class Body {
  readonly parameters: number;
  readonly #code: number[] = [];
  readonly #locals: number[] = [];

  constructor(parameters: number) {
    this.parameters = parameters;
  }

  local(type: number): number {
    this.#locals.push(type);
    return this.parameters + this.#locals.length - 1;
  }

  emit(...bytes: readonly number[]): this {
    this.#code.push(...bytes);
    return this;
  }

  get(local: number): this {
    return this.emit(op.get, ...unsigned(local));
  }

  set(local: number): this {
    return this.emit(op.set, ...unsigned(local));
  }

  const64(value: number): this {
    return this.emit(op.i64const, ...signed(value));
  }

  const32(value: number): this {
    return this.emit(op.i32const, ...signed(value));
  }

  /** An address: the argument, and bytes behind it. */
  address(local: number, offset = 0): this {
    this.get(local);
    return offset === 0 ? this : this.const32(offset).emit(op.i32add);
  }

  call(index: number): this {
    return this.emit(op.call, ...unsigned(index));
  }

  /** Runs `inside` as often as the local says, at least once. */
  repeat(counter: number, inside: () => void): this {
    this.emit(op.loop, EMPTY_BLOCK);
    inside();
    this.get(counter)
      .const32(1)
      .emit(op.i32sub, op.tee, ...unsigned(counter));
    return this.emit(op.branchIf, 0, op.end);
  }

  bytes(): number[] {
    const locals = this.#locals.flatMap((type) => [1, type]);
    return sized([...unsigned(this.#locals.length), ...locals, ...this.#code, op.end]);
  }
}

/** A module of these functions over a memory of the importer's. */
export function moduleOf(functions: Readonly<Record<string, Body>>): Uint8Array<ArrayBuffer> {
  const bodies = Object.values(functions);
  const arities = [...new Set(bodies.map(({ parameters }) => parameters))];
  const types = arities.map((count) => [0x60, ...unsigned(count), ...Array<number>(count).fill(I32), 0]);
  const memory = [...name('env'), ...name('memory'), 0x02, 0x00, 1];
  const exported = Object.keys(functions).map((key, index) => [...name(key), 0x00, ...unsigned(index)]);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, types),
    ...section(2, [memory]),
    ...section(
      3,
      bodies.map(({ parameters }) => unsigned(arities.indexOf(parameters))),
    ),
    ...section(7, exported),
    ...section(
      10,
      bodies.map((body) => body.bytes()),
    ),
  ]);
}

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  return [id, ...sized([...unsigned(entries.length), ...entries.flat()])];
}

function name(text: string): number[] {
  return sized([...new TextEncoder().encode(text)]);
}

function sized(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    const done = (rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0);
    bytes.push(done ? byte : byte | 0x80);
    if (done) return bytes;
  }
}
