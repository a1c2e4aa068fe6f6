/** Replies of the broker, read as they come in pieces. */

/** An error is a refusal of the broker, as `OOM …`; bulk strings are views into what came. */
export type Reply = null | number | string | Buffer | BrokerRefusal | Reply[];

/** The broker took the command and refused it: it had no effect. */
export class BrokerRefusal extends Error {
  override readonly name = 'BrokerRefusal';
}

const CR = 13;
const LF = 10;
const MAX_DEPTH = 8;
/** Bytes of a line that is neither a length nor a number. */
const LINE_MOST = 64 * 1024;
/** What Redis itself holds in one value. */
const BULK_MOST = 512 * 1024 * 1024;
/** More bytes are needed. */
const INCOMPLETE = Symbol('incomplete');

export class ReplyReader {
  #pieces: Buffer[] = [];
  #held = 0;
  /** Bytes without which the reply that began is not whole, as far as is known. */
  #needed = 0;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Hands over each reply that is whole. @throws Error for what is not a reply */
  feed(chunk: Buffer, take: (reply: Reply) => void): void {
    if (this.#pieces.length === 0) this.#buffer = chunk;
    else {
      this.#pieces.push(chunk);
      this.#held += chunk.length;
      if (this.#held < this.#needed) return;
      this.#buffer = Buffer.concat(this.#pieces, this.#held);
    }
    this.#pieces = [];
    this.#at = 0;
    while (this.#at < this.#buffer.length) {
      const start = this.#at;
      this.#needed = 0;
      const reply = this.#read(0);
      if (reply === INCOMPLETE) {
        const rest = this.#buffer.subarray(start);
        this.#pieces = [rest];
        this.#held = rest.length;
        this.#needed = Math.max(0, this.#needed - start);
        break;
      }
      take(reply);
    }
    this.#buffer = Buffer.alloc(0);
  }

  #read(depth: number): Reply | typeof INCOMPLETE {
    if (depth > MAX_DEPTH) throw new Error('the broker nests its replies too deep');
    const end = this.#lineEnd();
    if (end === -1) return INCOMPLETE;
    const kind = this.#buffer[this.#at];
    const from = this.#at + 1;
    this.#at = end + 2;
    switch (kind) {
      case 0x24:
        return this.#bulk(this.#number(from, end));
      case 0x3a:
        return this.#number(from, end);
      case 0x2a:
        return this.#array(this.#number(from, end), depth);
      case 0x2b:
        return this.#buffer.toString('utf8', from, end);
      case 0x2d:
        return new BrokerRefusal(this.#buffer.toString('utf8', from, end));
      default:
        throw new Error(`the broker's reply begins with byte ${kind}`);
    }
  }

  #lineEnd(): number {
    const end = this.#buffer.indexOf(LF, this.#at);
    if (end === -1) {
      if (this.#buffer.length - this.#at > LINE_MOST) throw new Error('the broker sent a line without an end');
      return -1;
    }
    if (this.#buffer[end - 1] !== CR) throw new Error('the broker sent a line that does not end as one');
    return end - 1;
  }

  #number(from: number, end: number): number {
    const negative = this.#buffer[from] === 0x2d;
    let value = 0;
    for (let at = negative ? from + 1 : from; at < end; at++) {
      const digit = (this.#buffer[at] as number) - 0x30;
      if (digit < 0 || digit > 9) throw new Error('the broker sent a number that is none');
      value = value * 10 + digit;
    }
    return negative ? -value : value;
  }

  #bulk(length: number): Buffer | null | typeof INCOMPLETE {
    if (length < 0) return null;
    if (length > BULK_MOST) throw new Error(`the broker sends a value of ${length} bytes`);
    const at = this.#at;
    if (at + length + 2 > this.#buffer.length) {
      this.#needed = at + length + 2;
      return INCOMPLETE;
    }
    this.#at = at + length + 2;
    return this.#buffer.subarray(at, at + length);
  }

  #array(length: number, depth: number): Reply[] | null | typeof INCOMPLETE {
    if (length < 0) return null;
    const items: Reply[] = [];
    for (let left = length; left > 0; left--) {
      const item = this.#read(depth + 1);
      if (item === INCOMPLETE) return INCOMPLETE;
      items.push(item);
    }
    return items;
  }
}
