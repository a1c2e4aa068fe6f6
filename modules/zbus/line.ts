/**
 * A connection for calls and answers: commands of one turn of the event loop
 * leave in one write, replies come back in order, nothing is ever repeated.
 */
import { EventEmitter } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { type BrokerAddress, type BusLog, reconnectDelayMs } from './broker.ts';
import { type Reply, ReplyReader } from './resp.ts';

const CONNECT_MS = 10_000;
const KEEP_ALIVE_MS = 10_000;
const SLAB_BYTES = 64 * 1024;
/** Commands without a reply from which on one that can wait does. */
const ENOUGH_UNDER_WAY = 8;

type Argument = string | number | Uint8Array;

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

/** Values for the end of one list that leave as one command. */
interface Push {
  readonly values: Uint8Array[];
  readonly waiting: Waiting[];
  readonly lifeSeconds: number | undefined;
}

interface Late extends Waiting {
  readonly args: readonly Argument[];
}

/** Waits for what a push tells too. */
const NOBODY: Waiting = { resolve: () => undefined, reject: () => undefined };

export class Line extends EventEmitter<{ ready: []; close: []; error: [Error] }> {
  readonly #address: BrokerAddress;
  readonly #pushes = new Map<string, Push>();
  #late: Late[] = [];
  #status: 'connecting' | 'ready' | 'waiting' | 'end' = 'connecting';
  #socket: Socket | undefined;
  #waiting: Waiting[] = [];
  #answered = 0;
  #slab = Buffer.allocUnsafe(SLAB_BYTES);
  #start = 0;
  #end = 0;
  #flushing = false;
  /** Commands that were written and have no reply. */
  #unanswered = 0;
  #attempts = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(address: BrokerAddress) {
    super();
    this.#address = address;
    this.#connect();
  }

  /** `ready` when commands are taken. */
  get status(): string {
    return this.#status;
  }

  /** Whether no command waits for its reply; some may be about to leave. */
  get idle(): boolean {
    return this.#status === 'ready' && this.#unanswered === 0;
  }

  /** Another one after each loss. */
  get stream(): Socket | undefined {
    return this.#socket;
  }

  /** One command. @throws Error when there is no connection, when it is lost before the reply, or the broker refuses */
  send(...args: readonly Argument[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#status !== 'ready') {
        reject(new Error('no connection to the broker'));
        return;
      }
      // What was pushed before this command is there when it runs.
      if (this.#pushes.size > 0) this.#writePushes();
      this.#write(args);
      this.#waiting.push({ resolve, reject });
      this.#flushSoon();
    });
  }

  /** One command that may wait until few others have no reply: many of them leave in one write. */
  sendWhenFew(...args: readonly Argument[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#status !== 'ready') {
        reject(new Error('no connection to the broker'));
        return;
      }
      this.#late.push({ args, resolve, reject });
      if (this.#unanswered < ENOUGH_UNDER_WAY) this.#flushSoon();
    });
  }

  /** Puts a value at the end of a list, in one command with other values for it; the list's life begins anew. */
  push(list: string, value: Uint8Array, lifeSeconds?: number): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#status !== 'ready') {
        reject(new Error('no connection to the broker'));
        return;
      }
      const push = this.#pushes.get(list);
      if (push === undefined) {
        this.#pushes.set(list, { values: [value], waiting: [{ resolve, reject }], lifeSeconds });
      } else {
        push.values.push(value);
        push.waiting.push({ resolve, reject });
      }
      this.#flushSoon();
    });
  }

  /** One command, behind all that is pushed in this turn. */
  sendLast(...args: readonly Argument[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#status !== 'ready') {
        reject(new Error('no connection to the broker'));
        return;
      }
      this.#late.push({ args, resolve, reject });
      this.#flushSoon();
    });
  }

  async get(key: string): Promise<string | null> {
    const value = await this.send('GET', key);
    return value === null ? null : String(value);
  }

  async set(key: string, value: string, unit: 'EX', seconds: number): Promise<void> {
    await this.send('SET', key, value, unit, seconds);
  }

  async del(key: string): Promise<void> {
    await this.send('DEL', key);
  }

  /** Ends the connection without waiting for what it still holds. */
  disconnect(): void {
    clearTimeout(this.#retry);
    this.#status = 'end';
    this.#socket?.destroy();
    this.#lose();
  }

  #connect(): void {
    this.#status = 'connecting';
    const address = this.#address;
    const socket = createConnection('path' in address ? { path: address.path } : address);
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const late = setTimeout(() => socket.destroy(new Error(`no connection within ${CONNECT_MS} ms`)), CONNECT_MS);
    const replies = new ReplyReader();
    socket.on('data', (chunk) => {
      try {
        replies.feed(chunk, (reply) => this.#answer(reply));
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.once('connect', () => {
      clearTimeout(late);
      const password = 'path' in address ? undefined : address.password;
      this.#status = 'ready';
      if (password === undefined) this.#begin();
      else {
        const greeting = this.send('AUTH', password);
        this.#status = 'connecting';
        greeting.then(
          () => this.#begin(),
          (error: Error) => socket.destroy(error),
        );
      }
    });
    socket.on('error', (error) => this.emit('error', error));
    socket.once('close', () => {
      clearTimeout(late);
      this.#onClose();
    });
  }

  #begin(): void {
    this.#status = 'ready';
    this.#attempts = 0;
    this.emit('ready');
  }

  #onClose(): void {
    if (this.#status === 'end') return;
    this.#status = 'waiting';
    this.#attempts++;
    this.#retry = setTimeout(() => this.#connect(), reconnectDelayMs(this.#attempts));
    this.#lose();
    this.emit('close');
  }

  #lose(): void {
    const lost = [
      ...this.#waiting.slice(this.#answered),
      ...[...this.#pushes.values()].flatMap((push) => push.waiting),
      ...this.#late,
    ];
    this.#waiting = [];
    this.#answered = 0;
    this.#unanswered = 0;
    this.#pushes.clear();
    // Written later they would wait for replies that the next connection owes to others.
    this.#late = [];
    this.#start = this.#end;
    for (const one of lost) one.reject(new Error('the connection to the broker was lost'));
  }

  #answer(reply: Reply): void {
    const waiting = this.#waiting[this.#answered];
    if (waiting === undefined) throw new Error('a reply to no command');
    this.#answered++;
    this.#unanswered--;
    if (this.#late.length > 0 && this.#unanswered < ENOUGH_UNDER_WAY) this.#flushSoon();
    if (this.#answered === this.#waiting.length) {
      this.#waiting = [];
      this.#answered = 0;
    } else if (this.#answered > 1024) {
      this.#waiting = this.#waiting.slice(this.#answered);
      this.#answered = 0;
    }
    if (reply instanceof Error) waiting.reject(reply);
    else waiting.resolve(reply);
  }

  #writePushes(): void {
    for (const [list, { values, waiting, lifeSeconds }] of this.#pushes) {
      this.#write(['RPUSH', list, ...values]);
      const [only] = waiting;
      if (only !== undefined && waiting.length === 1) this.#waiting.push(only);
      else {
        this.#waiting.push({
          resolve: (reply) => {
            for (const one of waiting) one.resolve(reply);
          },
          reject: (error) => {
            for (const one of waiting) one.reject(error);
          },
        });
      }
      if (lifeSeconds === undefined) continue;
      this.#write(['EXPIRE', list, lifeSeconds]);
      this.#waiting.push(NOBODY);
    }
    this.#pushes.clear();
  }

  #writeLate(): void {
    for (const one of this.#late) {
      this.#write(one.args);
      this.#waiting.push(one);
    }
    this.#late = [];
  }

  #write(args: readonly Argument[]): void {
    let text = `*${args.length}\r\n`;
    for (const arg of args) {
      if (typeof arg === 'object') {
        this.#text(`${text}$${arg.length}\r\n`);
        this.#bytes(arg);
        text = '\r\n';
      } else {
        const word = String(arg);
        text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`;
      }
    }
    this.#text(text);
  }

  #text(text: string): void {
    // A character has three bytes at most for each of its units.
    this.#room(text.length * 3);
    this.#end += this.#slab.write(text, this.#end);
  }

  #bytes(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#slab.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** What was written is the socket's and is never written over. */
  #room(bytes: number): void {
    if (this.#end + bytes <= this.#slab.length) return;
    const unsent = this.#slab.subarray(this.#start, this.#end);
    this.#slab = Buffer.allocUnsafe(Math.max(SLAB_BYTES, (unsent.length + bytes) * 2));
    this.#slab.set(unsent);
    this.#start = 0;
    this.#end = unsent.length;
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (this.#pushes.size > 0) this.#writePushes();
      if (this.#late.length > 0) this.#writeLate();
      this.#unanswered = this.#waiting.length - this.#answered;
      if (this.#start === this.#end) return;
      this.#socket?.write(this.#slab.subarray(this.#start, this.#end));
      this.#start = this.#end;
    });
  }
}

/** A line that says in the log when it is lost and when it is back. */
export function openLine(address: BrokerAddress, role: string, log: BusLog): Line {
  const line = new Line(address);
  // Every call that waits for the connection listens once.
  line.setMaxListeners(0);
  let down = false;
  line.on('error', (error) => {
    if (!down) log.warn({ role, reason: error.message }, 'broker connection lost, reconnecting');
    down = true;
  });
  line.on('ready', () => {
    if (down) log.info({ role }, 'broker connection is back');
    down = false;
  });
  return line;
}

/**
 * Names the connection and ends every other one of that name: after a loss the
 * broker may hold the old one for a while, and what it pops for that is lost.
 * Returns the connection's id.
 */
export async function claim(line: Line, name: string): Promise<number> {
  const [, id] = await Promise.all([line.send('CLIENT', 'SETNAME', name), line.send('CLIENT', 'ID')]);
  await endOthers(line, name, Number(id));
  return Number(id);
}

/** Ends every connection of the name but the one with this id. */
export async function endOthers(line: Line, name: string, id?: number): Promise<void> {
  const list = await line.send('CLIENT', 'LIST', 'TYPE', 'NORMAL');
  for (const each of String(list).split('\n')) {
    const [, other, itsName] = /^id=(\d+) .*? name=(\S*) /.exec(each) ?? [];
    if (itsName !== name || other === undefined || Number(other) === id) continue;
    // It may have ended by itself meanwhile.
    await line.send('CLIENT', 'KILL', 'ID', other).catch(() => undefined);
  }
}
