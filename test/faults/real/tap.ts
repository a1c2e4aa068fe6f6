/**
 * Stands between provisiond and the broker and sees every call that it makes, is made of it, and is
 * answered. A message waits until whoever listens has done what is to be done at that point.
 */
import { rm } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { decodeRequest, type Request } from '../../../modules/zbus/frames.ts';
import { idOf } from '../../../modules/zbus/limits.ts';
import { type Reply, ReplyReader } from '../../../modules/zbus/resp.ts';

/** What passes: a call, and whether it is on its way there or its answer on its way back. */
export interface Passing {
  /** `storage.DiskCreate` */
  readonly call: string;
  readonly moment: 'asked' | 'answered';
  /** Who is asked. */
  readonly module: string;
  /** Of the request that it belongs to; one of its own where it belongs to none. */
  readonly trace: string;
}

/** Resolves when the message may go on. */
export type Listener = (passing: Passing) => Promise<void>;

const QUEUE = /^([a-z-]+)\.[^.]+@/;
/** Something comes on it with every final block. */
const CHAIN_EVENTS = /\.Contracts$/;

export class Tap {
  readonly path: string;
  readonly #broker: string;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  /** Calls under way by their id. */
  readonly #calls = new Map<string, Omit<Passing, 'moment'>>();
  readonly #waiting = new Set<{ readonly since: number; readonly resolve: () => void }>();
  #joined = 0;
  listener: Listener = () => Promise.resolve();

  private constructor(path: string, broker: string) {
    this.path = path;
    this.#broker = broker;
    this.#server = createServer((socket) => this.#join(socket));
  }

  /** Listens at `path` for the broker at `broker`; both are sockets. */
  static async open(path: string, broker: string): Promise<Tap> {
    await rm(path, { force: true });
    const tap = new Tap(path, broker);
    await new Promise<void>((resolve, reject) => {
      tap.#server.once('error', reject);
      tap.#server.listen(path, resolve);
    });
    return tap;
  }

  /** Resolves when who connects from now on has heard of the chain, with which it begins to compare what it holds. */
  async newcomer(deadlineMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const one = { since: this.#joined, resolve };
    const timer = setTimeout(() => reject(new Error(`no newcomer heard of the chain in ${deadlineMs} ms`)), deadlineMs);
    this.#waiting.add(one);
    await promise.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(one);
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #join(near: Socket): void {
    this.#joined += 1;
    const place = this.#joined;
    const far = createConnection({ path: this.#broker });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#open.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#open.delete(socket);
        other.destroy();
      });
    }
    this.#pass(near, far, (message) => this.#sent(message));
    this.#pass(far, near, (message) => {
      if (isOfChain(message)) for (const one of this.#waiting) if (place > one.since) one.resolve();
      return this.#came(message);
    });
  }

  /** Every chunk in its turn, after all that is in it was heard of. */
  #pass(from: Socket, to: Socket, passing: (message: Reply) => Passing[]): void {
    const reader = new ReplyReader();
    let turn: Promise<unknown> = Promise.resolve();
    from.on('data', (chunk: Buffer) => {
      const found: Passing[] = [];
      // Commands are written as replies are: lists of strings.
      reader.feed(chunk, (message) => found.push(...passing(message)));
      turn = turn
        .then(async () => {
          for (const one of found) await this.listener(one);
          if (!to.destroyed) to.write(chunk);
        })
        .catch(() => from.destroy());
    });
  }

  #sent(message: Reply): Passing[] {
    if (!Array.isArray(message) || String(message[0]) !== 'RPUSH') return [];
    const [, list, ...frames] = message;
    const module = QUEUE.exec(String(list))?.[1];
    return frames.flatMap((frame) => {
      if (!Buffer.isBuffer(frame)) return [];
      return module === undefined ? this.#answered(frame) : this.#asked(frame, module);
    });
  }

  #came(message: Reply): Passing[] {
    if (Array.isArray(message)) return message.flatMap((one) => this.#came(one));
    if (!Buffer.isBuffer(message)) return [];
    const answered = this.#answered(message);
    return answered.length > 0 ? answered : this.#asked(message, 'provision');
  }

  #asked(frame: Buffer, module: string): Passing[] {
    const request = requestIn(frame);
    if (request === undefined) return [];
    const { id, method, trace = '' } = request;
    const one = { call: `${module}.${method}`, module, trace };
    this.#calls.set(id, one);
    return [{ ...one, moment: 'asked' }];
  }

  #answered(frame: Buffer): Passing[] {
    const id = idOf(frame);
    const found = id === undefined ? undefined : this.#calls.get(id);
    if (id === undefined || found === undefined) return [];
    this.#calls.delete(id);
    return [{ ...found, moment: 'answered' }];
  }
}

function requestIn(frame: Buffer): Request | undefined {
  try {
    const request = decodeRequest(frame);
    return request.id === '' || request.method === '' ? undefined : request;
  } catch {
    return undefined;
  }
}

function isOfChain(message: Reply): boolean {
  return Array.isArray(message) && String(message[0]) === 'message' && CHAIN_EVENTS.test(String(message[1]));
}
