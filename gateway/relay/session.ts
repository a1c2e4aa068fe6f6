/**
 * One connected session: its socket, and how messages reach it in order.
 *
 * A message that was handed to a line has not arrived: the line may be dead
 * without anybody knowing. So each stays in a window until a pong proves it:
 * pings carry the number of the last message before them, and a pong that
 * brings a number back comes from a peer that read everything up to it. What is
 * not proven when the line ends goes to the queue for the next one.
 */
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import { decodeEnvelope, nowSeconds, remainingSeconds } from '../rmb/envelope.ts';
import type { Address } from '../rmb/envelope_pb.ts';
import { writeTogether } from '../rmb/together.ts';
import { HeldMail } from './held.ts';
import type { Eviction, RelayMetrics } from './metrics.ts';
import type { OfflineQueue, QueuedMessage } from './queue.ts';
import { type SentMessage, SentWindow, type WindowBudget } from './window.ts';

/** Bytes in a socket's buffer above which messages go to the queue instead. */
const BUFFER_LIMIT_BYTES = 2 * 1024 * 1024;
/** So few messages in the queue are nearly none. */
const FEW_MESSAGES = 50;
const RETRY_MS = 2000;
const NORMAL_CLOSE = 1000;
const GONE_AWAY = 1001;
const NO_CLOSE_CODE = 1005;

export interface SessionTiming {
  /** Milliseconds between pings of an idle line. */
  readonly pingMs: number;
  /** A line from which no byte came for this long is dead. */
  readonly silenceMs: number;
  /** Milliseconds after a message at which its ping goes out. */
  readonly proofPingMs: number;
  /** A line from which no byte came for this long after such a ping is dead. */
  readonly proofMs: number;
  /** A receiver that leaves messages unread for this long is too slow. */
  readonly backPressureMs: number;
}

export const DEFAULT_SESSION_TIMING: SessionTiming = {
  pingMs: 15_000,
  silenceMs: 35_000,
  proofPingMs: 500,
  proofMs: 15_000,
  backPressureMs: 60_000,
};

export interface SessionTools {
  readonly queue: OfflineQueue;
  readonly metrics: RelayMetrics;
  readonly log: Logger;
  /** Shared by all sessions. */
  readonly windows: WindowBudget;
  readonly timing?: SessionTiming;
}

export class Session {
  readonly address: Address;
  readonly socket: WebSocket;
  /** Unix milliseconds. */
  readonly since = Date.now();
  readonly #line: Socket;
  readonly #tools: SessionTools;
  readonly #timing: SessionTiming;
  readonly #window: SentWindow;
  /** Live: nothing older waits in the queue, so a message may go to the socket at once. */
  #live = false;
  #draining = false;
  #ended = false;
  #queueWrites = 0;
  readonly #held: HeldMail;
  /** The queue is read from behind this entry; entries before it were sent. */
  #readUpTo = '';
  /** Entries that were sent before they were stored. */
  readonly #sentBefore = new Set<string>();
  #storing: Promise<unknown> = Promise.resolve();
  #bytesSeen = 0;
  /** Bytes of the line when the last message had come whole. */
  #bytesAtMessage: number;
  #lastByteAt = Date.now();
  #lastPingAt = Date.now();
  #proofTimer: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Number in the last ping, and the oldest ping that has no pong. */
  #asked = 0;
  #waiting: { readonly since: number; readonly bytesSeen: number } | undefined;

  constructor(address: Address, socket: WebSocket, line: Socket, tools: SessionTools) {
    this.address = address;
    this.socket = socket;
    this.#line = line;
    this.#bytesAtMessage = line.bytesRead;
    this.#tools = tools;
    this.#timing = tools.timing ?? DEFAULT_SESSION_TIMING;
    this.#window = new SentWindow(address.twin, tools.windows);
    this.#held = new HeldMail(address.twin, tools.windows);
    socket.on('ping', (data: Buffer) => this.#countControlFrame(data));
    socket.on('pong', (data: Buffer) => {
      this.#countControlFrame(data);
      this.#prove(data);
    });
  }

  /** Sends what is in the queue, oldest first, then goes live. Called again, it looks again. */
  start(): void {
    this.#queueWrites += 1;
    if (this.#draining || this.#ended || this.socket.readyState !== this.socket.OPEN) return;
    this.#draining = true;
    this.#live = false;
    this.#store(() => true);
    this.#drain().catch((error: unknown) => {
      // Without Redis nothing older can be read; what comes now still can be sent.
      this.#goLive();
      this.#tools.log.warn({ twin: this.address.twin, reason: (error as Error).message }, 'queue not read');
      this.#retry ??= setTimeout(() => {
        this.#retry = undefined;
        this.start();
      }, RETRY_MS).unref();
    });
  }

  /**
   * Sends at once, or as soon as the last of the queue is sent; `false` where
   * order or the line's limits ask for the queue. After that, call `start`.
   */
  trySend(bytes: Uint8Array): boolean {
    if (this.#ended || this.socket.readyState !== this.socket.OPEN) return false;
    if (!this.#live) return this.#hold(bytes);
    if (this.socket.bufferedAmount > BUFFER_LIMIT_BYTES || !this.#window.hasRoomFor(bytes.length)) {
      // From here on the queue has the order: what is not proven goes there first.
      this.#live = false;
      this.#store(() => true);
      return false;
    }
    this.#send(bytes, undefined);
    return true;
  }

  /** A message goes into the queue now: what comes behind it must not overtake it. */
  expectMail(): void {
    this.#queueWrites += 1;
  }

  /** What the relay itself says to this session: not queued, lost when the line is. */
  reply(bytes: Uint8Array): void {
    if (this.#ended || this.socket.bufferedAmount > 2 * BUFFER_LIMIT_BYTES) return;
    this.#write(bytes);
  }

  /** Called every few seconds: keeps the line alive and ends a dead one. */
  tick(now: number): void {
    if (this.#ended) return;
    const bytes = this.#line.bytesRead;
    const waiting = this.#waiting;
    const oldest = this.#window.oldest;
    if (bytes !== this.#bytesSeen) {
      this.#bytesSeen = bytes;
      this.#lastByteAt = now;
    } else if (now - this.#lastByteAt >= this.#timing.silenceMs) {
      this.end('silent');
      return;
    }
    if (waiting !== undefined && bytes === waiting.bytesSeen && now - waiting.since >= this.#timing.proofMs) {
      this.end('silent');
    } else if (oldest !== undefined && now - oldest.sentAt >= this.#timing.backPressureMs) {
      this.end('back_pressure_timeout');
    } else if (now - this.#lastPingAt >= this.#timing.pingMs) {
      this.#ping(now);
    }
  }

  /** Asks the other side to prove what it read, and waits for that a while. */
  async settle(withinMs: number): Promise<void> {
    if (this.#ended || this.#window.size === 0) return;
    this.#ping(Date.now());
    const until = Date.now() + withinMs;
    while (!this.#ended && this.#window.size > 0 && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** The socket closed. A peer that said goodbye waits for no answers any more; it may come back for requests. */
  closed(code: number): void {
    const goodbye = code === NORMAL_CLOSE || code === GONE_AWAY || code === NO_CLOSE_CODE;
    this.#finish('closed', goodbye ? isRequest : () => true);
  }

  /** Bytes of a message that has not come whole, about. */
  get begunBytes(): number {
    return this.#line.bytesRead - this.#bytesAtMessage;
  }

  /** Pings and pongs belong to no message: two bytes of head, four of mask. */
  #countControlFrame(data: Buffer): void {
    this.#bytesAtMessage += 6 + data.length;
  }

  messageEnded(): void {
    this.#bytesAtMessage = this.#line.bytesRead;
  }

  /** Ends the session once, whoever asks first. */
  end(reason: Eviction, closeCode?: number): void {
    if (!this.#finish(reason, () => true)) return;
    if (closeCode === undefined) {
      this.socket.terminate();
      return;
    }
    this.socket.close(closeCode);
    setTimeout(() => this.socket.terminate(), 1000).unref();
  }

  /** Resolves when what was not proven is in the queue. */
  async stored(): Promise<void> {
    await this.#storing;
  }

  #finish(reason: Eviction, keep: (bytes: Uint8Array) => boolean): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#live = false;
    clearTimeout(this.#proofTimer);
    clearTimeout(this.#retry);
    this.#tools.metrics.evictions.inc({ reason });
    this.#store(keep);
    this.#storeHeld();
    this.#window.clear();
    this.#sentBefore.clear();
    return true;
  }

  #goLive(): void {
    this.#draining = false;
    this.#live = true;
    for (const bytes of this.#held.end()) this.#send(bytes, undefined);
  }

  /** Where the queue is nearly empty: else a steady stream would go through it for ever. */
  #hold(bytes: Uint8Array): boolean {
    if (!this.#held.isHolding) return false;
    if (this.#window.hasRoomFor(bytes.length) && this.#held.push(bytes)) return true;
    this.#storeHeld();
    return false;
  }

  #storeHeld(): void {
    const { queue, metrics } = this.#tools;
    const stored = this.#held.end().map(async (bytes) => {
      this.#queueWrites += 1;
      const { result } = await queue.add(this.address, bytes);
      (result === 'queued' ? metrics.queued : metrics.lost).inc();
    });
    this.#storing = Promise.all([this.#storing, ...stored]);
  }

  /** Puts what only this memory holds into the queue, in order: later messages of the queue come behind. */
  #store(keep: (bytes: Uint8Array) => boolean): void {
    const messages = this.#window.unstored();
    if (messages.length > 0) {
      this.#storing = Promise.all([this.#storing, ...messages.map((message) => this.#storeOne(message, keep))]);
    }
  }

  async #storeOne(message: SentMessage, keep: (bytes: Uint8Array) => boolean): Promise<void> {
    const { queue, metrics, log } = this.#tools;
    if (!keep(message.bytes)) return;
    if (isExpired(message.bytes)) {
      if (this.#ended) metrics.expired.inc();
      return;
    }
    message.storing = true;
    const queued = await queue.add(this.address, message.bytes);
    message.storing = false;
    if (queued.result !== 'queued') {
      if (!this.#ended) return;
      metrics.lost.inc();
      log.warn({ twin: this.address.twin, reason: queued.result }, 'a message that may not have arrived is not kept');
      return;
    }
    metrics.requeued.inc();
    message.entry = queued.id;
    if (this.#ended) return;
    if (message.proven) this.#remove([{ id: queued.id, bytes: message.bytes }]);
    else this.#sentBefore.add(queued.id);
  }

  async #drain(): Promise<void> {
    const { queue, metrics } = this.#tools;
    await this.#storing;
    if (this.#window.size === 0) this.#readUpTo = '';
    while (!this.#ended) {
      const writesBefore = this.#queueWrites;
      const messages = await queue.read(this.address, this.#readUpTo);
      if (messages.length === 0) {
        // A message may have been queued while the answer was on its way.
        if (this.#queueWrites !== writesBefore) {
          this.#held.begin();
          continue;
        }
        this.#sentBefore.clear();
        this.#goLive();
        return;
      }
      if (messages.length < FEW_MESSAGES) this.#held.begin();
      const dropped: QueuedMessage[] = [];
      for (const message of messages) {
        if (!(await this.#room(message.bytes.length))) break;
        this.#readUpTo = message.id;
        if (this.#sentBefore.delete(message.id)) continue;
        if (isExpired(message.bytes)) {
          metrics.expired.inc();
          dropped.push(message);
        } else this.#send(message.bytes, message.id);
      }
      this.#ping(Date.now());
      await queue.remove(this.address, dropped);
    }
  }

  /** Waits for the other side to read; `false` when the session ended, also for being too slow. */
  async #room(bytes: number): Promise<boolean> {
    const since = Date.now();
    while (!this.#ended && (this.socket.bufferedAmount > BUFFER_LIMIT_BYTES || !this.#window.hasRoomFor(bytes))) {
      if (Date.now() - since > this.#timing.backPressureMs) this.end('back_pressure_timeout');
      if (this.#asked < this.#window.last) this.#ping(Date.now());
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return !this.#ended;
  }

  #send(bytes: Uint8Array, entry: string | undefined): void {
    this.#write(bytes);
    this.#window.push(bytes, entry, Date.now());
    if (this.#window.isHalfFull && this.#waiting === undefined) this.#ping(Date.now());
    else this.#proofTimer ??= setTimeout(() => this.#askForProof(), this.#timing.proofPingMs);
  }

  #write(bytes: Uint8Array): void {
    this.#tools.metrics.sent.inc();
    this.#tools.metrics.sentBytes.inc(bytes.length);
    writeTogether(this.#line);
    this.socket.send(bytes, { binary: true }, (error) => {
      if (error) this.#tools.log.debug({ twin: this.address.twin, reason: error.message }, 'send failed');
    });
  }

  #askForProof(): void {
    this.#proofTimer = undefined;
    if (!this.#ended && this.#asked < this.#window.last && this.#window.size > 0) this.#ping(Date.now());
  }

  #ping(now: number): void {
    if (this.#ended || this.socket.readyState !== this.socket.OPEN) return;
    this.#lastPingAt = now;
    this.#asked = this.#window.last;
    this.#waiting ??= { since: now, bytesSeen: this.#line.bytesRead };
    const number = Buffer.alloc(6);
    number.writeUIntBE(this.#asked, 0, 6);
    this.socket.ping(number);
  }

  #prove(data: Buffer): void {
    if (this.#ended || data.length !== 6) return;
    const number = data.readUIntBE(0, 6);
    if (number > this.#asked) return;
    const isLast = number === this.#asked;
    this.#waiting = isLast ? undefined : { since: Date.now(), bytesSeen: this.#line.bytesRead };
    const proven = this.#window.prove(number);
    this.#remove(proven.flatMap(({ entry, bytes }) => (entry === undefined ? [] : [{ id: entry, bytes }])));
    if (this.#window.isHalfFull && this.#waiting === undefined) this.#ping(Date.now());
  }

  /** An entry that stays comes again at the next connection, which is allowed. */
  #remove(messages: readonly QueuedMessage[]): void {
    this.#tools.queue.remove(this.address, messages).catch((error: unknown) => {
      this.#tools.log.warn({ twin: this.address.twin, reason: (error as Error).message }, 'queue entries not removed');
    });
  }
}

function isRequest(bytes: Uint8Array): boolean {
  try {
    return decodeEnvelope(bytes).message.case === 'request';
  } catch {
    return false;
  }
}

function isExpired(bytes: Uint8Array): boolean {
  try {
    return remainingSeconds(decodeEnvelope(bytes), nowSeconds()) <= 0;
  } catch {
    // Only what parsed is ever queued; another writer's rubbish must not reach a peer.
    return true;
  }
}
