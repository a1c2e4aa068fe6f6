/** One WebSocket to one relay that stays: reconnects, keeps alive, notices a dead line. */
import { MAX_FRAME_BYTES } from './envelope.ts';
import type { Line } from './platform/interface.ts';
import { platform } from './platform.ts';

export interface RelaySocketOptions {
  /** `ws://` or `wss://`, without a query. */
  readonly url: string;
  /** A fresh token for each attempt. */
  readonly token: () => string;
  readonly onFrame: (bytes: Uint8Array) => void;
  /** The socket can take messages: it opened, or its buffer emptied. */
  readonly onRoom: () => void;
  readonly onState?: (state: SocketState, reason: string) => void;
  /** A ping envelope, for lines that have no pings of their own. */
  readonly pingFrame?: () => Uint8Array;
  readonly timing?: Partial<SocketTiming>;
}

type SocketState = 'open' | 'lost';

export interface SocketTiming {
  /** Milliseconds between pings. */
  readonly pingMs: number;
  /** Milliseconds without a byte from the relay after which the line is dead. */
  readonly silenceMs: number;
  readonly handshakeMs: number;
  /** First and longest pause before a new attempt; a random half is taken off. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

// Checked every quarter of a ping, so a dead line is noticed within 35 s.
export const DEFAULT_TIMING: SocketTiming = {
  pingMs: 12_000,
  silenceMs: 32_000,
  handshakeMs: 10_000,
  firstPauseMs: 250,
  longestPauseMs: 10_000,
};

/** Bytes that may wait in one socket before it takes no more. */
const BUFFER_LIMIT_BYTES = 4 * 1024 * 1024;
/** Milliseconds in which a relay that made trouble stands behind the others. */
const COOLDOWN_MS = 10_000;
const CLOSE_MS = 1000;

export class RelaySocket {
  readonly url: string;
  readonly #options: RelaySocketOptions;
  readonly #timing: SocketTiming;
  #line: Line | undefined;
  #keepAlive: ReturnType<typeof setInterval> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closing: Promise<void> | undefined;
  #ended: (() => void) | undefined;
  #failures = 0;
  #closed = false;
  #full = false;
  #paused = false;
  #coolUntil = 0;
  /** Why we ended the line ourselves. */
  #verdict: string | undefined;
  /** Why the last attempt or connection ended, for error texts. */
  lastProblem = 'not tried yet';

  constructor(options: RelaySocketOptions) {
    this.#options = options;
    this.url = options.url;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
  }

  get open(): boolean {
    return this.#line?.open === true;
  }

  /** Whether the relay was lost or made trouble moments ago: others go first. */
  get cooling(): boolean {
    return Date.now() < this.#coolUntil;
  }

  start(): void {
    if (this.#closed || this.#line !== undefined || this.#retry !== undefined) return;
    this.#dial();
  }

  /**
   * Hands one frame to the line; `false` where it is not open or its buffer is
   * full. `onFailed` is told when a frame that was taken did not leave whole.
   */
  trySend(bytes: Uint8Array, onFailed?: () => void): boolean {
    const line = this.#line;
    if (line?.open !== true) return false;
    if (line.bufferedBytes >= BUFFER_LIMIT_BYTES) {
      this.#full = true;
      return false;
    }
    line.send(bytes, (error) => {
      if (error !== undefined) onFailed?.();
      if (!this.#full || line.bufferedBytes > BUFFER_LIMIT_BYTES / 2) return;
      this.#full = false;
      this.#options.onRoom();
    });
    return true;
  }

  /** The relay refused a message for reasons of its own. */
  cool(): void {
    this.#coolUntil = Date.now() + COOLDOWN_MS;
  }

  /** Stops reading, also from lines that open later; what waits stays with the relay. */
  pause(): void {
    this.#paused = true;
    if (this.open) this.#line?.pause?.();
  }

  resume(): void {
    this.#paused = false;
    if (this.open) this.#line?.resume?.();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    if (this.#line !== undefined) this.#closing ??= this.#closeLine(this.#line);
    await this.#closing;
  }

  #closeLine(line: Line): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => line.terminate(), CLOSE_MS);
      this.#ended = () => {
        clearTimeout(timer);
        resolve();
      };
      // A paused line would not read that the relay closes, too.
      if (this.#paused) line.terminate();
      else line.close();
    });
  }

  #dial(): void {
    this.#retry = undefined;
    const token = this.#options.token();
    const url = `${this.url.replace(/\/*$/, '/')}?${token}`;
    // Texts of the library and of relays may repeat the address, and these end in logs.
    const lost = (problem: string): void => this.#lost(problem.replaceAll(token, '…'));
    let line: Line | undefined;
    try {
      line = platform.dial(
        url,
        { handshakeMs: this.#timing.handshakeMs, maxBytes: MAX_FRAME_BYTES },
        {
          onOpen: () => {
            if (line !== undefined) this.#opened(line);
          },
          onFrame: (bytes) => {
            this.#failures = 0;
            this.#options.onFrame(bytes);
          },
          onSign: () => {
            this.#failures = 0;
          },
          onClose: (problem) => {
            clearInterval(this.#keepAlive);
            this.#line = undefined;
            lost(this.#verdict ?? problem);
            this.#verdict = undefined;
          },
        },
      );
    } catch (error) {
      lost((error as Error).message);
      return;
    }
    this.#line = line;
  }

  #opened(line: Line): void {
    if (this.#paused) line.pause?.();
    this.#keepAlive = this.#keep(line);
    this.#options.onState?.('open', '');
    this.#options.onRoom();
  }

  /** Pings, and ends a line from which no byte has come for too long. */
  #keep(line: Line): ReturnType<typeof setInterval> {
    const { pingMs, silenceMs } = this.#timing;
    let seen = line.received;
    let silentMs = 0;
    let lastLookAt = Date.now();
    let lastPingAt = lastLookAt;
    return setInterval(() => {
      const now = Date.now();
      if (line.received !== seen || this.#paused) {
        // From a line that is not read nothing can come; it is not dead for that.
        seen = line.received;
        silentMs = 0;
      } else {
        // Where this process stood still, what came meanwhile has not been read yet.
        silentMs += Math.min(now - lastLookAt, pingMs);
      }
      lastLookAt = now;
      if (silentMs >= silenceMs) {
        this.#verdict = `no byte from the relay for ${silentMs} ms`;
        line.terminate();
        return;
      }
      if (now - lastPingAt >= pingMs) {
        lastPingAt = now;
        if (line.ping !== undefined) line.ping();
        else if (this.#options.pingFrame !== undefined) this.trySend(this.#options.pingFrame());
      }
    }, pingMs / 4);
  }

  #lost(problem: string): void {
    this.lastProblem = problem;
    this.#full = false;
    this.cool();
    this.#options.onState?.('lost', problem);
    this.#ended?.();
    if (this.#closed) return;
    const longest = Math.min(
      this.#timing.longestPauseMs,
      this.#timing.firstPauseMs * 2 ** Math.min(this.#failures, 16),
    );
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#dial(), longest * (0.5 + Math.random() / 2));
  }
}
