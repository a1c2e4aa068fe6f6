/** One connected session: its socket, and how messages reach it in order. */
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import { decodeEnvelope, nowSeconds, remainingSeconds } from '../rmb/envelope.ts';
import type { Address } from '../rmb/envelope_pb.ts';
import type { Eviction, RelayMetrics } from './metrics.ts';
import type { OfflineQueue, QueuedMessage, QueueResult } from './queue.ts';

/** Bytes in a socket's buffer above which messages go to the queue instead. */
const BUFFER_LIMIT_BYTES = 2 * 1024 * 1024;
const BACK_PRESSURE_MS = 60_000;
const RETRY_MS = 2000;
const PING_MS = 15_000;
/** A line from which no byte came for this long is dead. */
const SILENCE_MS = 35_000;

export interface SessionTools {
  readonly queue: OfflineQueue;
  readonly metrics: RelayMetrics;
  readonly log: Logger;
}

export class Session {
  readonly address: Address;
  readonly socket: WebSocket;
  readonly #line: Socket;
  readonly #tools: SessionTools;
  /** Live: nothing older waits in the queue, so a message may go to the socket at once. */
  #live = false;
  #draining = false;
  #ended = false;
  #queueWrites = 0;
  #bytesSeen = 0;
  #lastByteAt = Date.now();
  #lastPingAt = Date.now();

  constructor(address: Address, socket: WebSocket, line: Socket, tools: SessionTools) {
    this.address = address;
    this.socket = socket;
    this.#line = line;
    this.#tools = tools;
  }

  /** Sends what is in the queue, oldest first, then goes live. Called again, it looks again. */
  start(): void {
    this.#queueWrites += 1;
    if (this.#draining || this.#ended) return;
    this.#draining = true;
    this.#live = false;
    this.#drain().catch((error: unknown) => {
      // Without Redis nothing older can be read; what comes now still can be sent.
      this.#goLive();
      this.#tools.log.warn({ twin: this.address.twin, reason: (error as Error).message }, 'queue not read');
      setTimeout(() => this.start(), RETRY_MS).unref();
    });
  }

  #goLive(): void {
    this.#draining = false;
    this.#live = true;
  }

  /** Sends at once where order and the socket's buffer allow it, else through the queue. */
  async deliver(bytes: Uint8Array): Promise<QueueResult> {
    if (this.trySend(bytes)) return 'queued';
    this.#queueWrites += 1;
    const result = await this.#tools.queue.add(this.address, bytes);
    if (result === 'queued') this.#tools.metrics.queued.inc();
    if (this.#live) this.start();
    return result;
  }

  trySend(bytes: Uint8Array): boolean {
    if (!this.#live || this.#ended || this.socket.bufferedAmount > BUFFER_LIMIT_BYTES) return false;
    this.#send(bytes);
    return true;
  }

  /** What the relay itself says to this session: not queued, lost when the line is. */
  reply(bytes: Uint8Array): void {
    if (this.#ended || this.socket.bufferedAmount > 2 * BUFFER_LIMIT_BYTES) return;
    this.#send(bytes);
  }

  /** Called every few seconds: keeps the line alive and ends a dead one. */
  tick(now: number): void {
    const bytes = this.#line.bytesRead;
    if (bytes !== this.#bytesSeen) {
      this.#bytesSeen = bytes;
      this.#lastByteAt = now;
    } else if (now - this.#lastByteAt >= SILENCE_MS) {
      this.end('silent');
      return;
    }
    if (now - this.#lastPingAt < PING_MS) return;
    this.#lastPingAt = now;
    if (this.socket.readyState === this.socket.OPEN) this.socket.ping();
  }

  /** Ends the session once, whoever asks first. */
  end(reason: Eviction, closeCode?: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#tools.metrics.evictions.inc({ reason });
    if (closeCode === undefined) {
      this.socket.terminate();
      return;
    }
    this.socket.close(closeCode);
    setTimeout(() => this.socket.terminate(), 1000).unref();
  }

  async #drain(): Promise<void> {
    const { queue, metrics } = this.#tools;
    while (!this.#ended) {
      const writesBefore = this.#queueWrites;
      const messages = await queue.read(this.address);
      if (messages.length === 0) {
        // A message may have been queued while the answer was on its way.
        if (this.#queueWrites !== writesBefore) continue;
        this.#goLive();
        return;
      }
      const done: QueuedMessage[] = [];
      for (const message of messages) {
        if (!(await this.#room())) break;
        if (isExpired(message.bytes)) metrics.expired.inc();
        else this.#send(message.bytes);
        done.push(message);
      }
      await queue.remove(this.address, done);
    }
  }

  /** Waits for the socket's buffer; `false` when the session ended, also for being too slow. */
  async #room(): Promise<boolean> {
    const since = Date.now();
    while (!this.#ended && this.socket.bufferedAmount > BUFFER_LIMIT_BYTES) {
      if (Date.now() - since > BACK_PRESSURE_MS) this.end('back_pressure_timeout');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return !this.#ended;
  }

  #send(bytes: Uint8Array): void {
    this.#tools.metrics.sent.inc();
    this.#tools.metrics.sentBytes.inc(bytes.length);
    this.socket.send(bytes, { binary: true }, (error) => {
      if (error) this.#tools.log.debug({ twin: this.address.twin, reason: error.message }, 'send failed');
    });
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
