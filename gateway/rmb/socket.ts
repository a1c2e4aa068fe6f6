/** One WebSocket to one relay that stays: reconnects, keeps alive, notices a dead line. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { MAX_FRAME_BYTES } from './envelope.ts';

export interface RelaySocketOptions {
  /** `ws://` or `wss://`, without a query. */
  readonly url: string;
  /** A fresh token for each attempt. */
  readonly token: () => string;
  readonly onFrame: (bytes: Uint8Array) => void;
  /** The socket can take messages: it opened, or its buffer emptied. */
  readonly onRoom: () => void;
  readonly onState?: (state: SocketState, reason: string) => void;
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

export class RelaySocket {
  readonly url: string;
  readonly #options: RelaySocketOptions;
  readonly #timing: SocketTiming;
  #ws: WebSocket | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;
  #full = false;
  /** Why the last attempt or connection ended, for error texts. */
  lastProblem = 'not tried yet';

  constructor(options: RelaySocketOptions) {
    this.#options = options;
    this.url = options.url;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
  }

  get open(): boolean {
    return this.#ws?.readyState === WebSocket.OPEN;
  }

  start(): void {
    if (this.#closed || this.#ws !== undefined) return;
    this.#dial();
  }

  /** Hands one frame to the line; `false` where it is not open or its buffer is full. */
  trySend(bytes: Uint8Array): boolean {
    const ws = this.#ws;
    if (ws === undefined || ws.readyState !== WebSocket.OPEN) return false;
    if (ws.bufferedAmount >= BUFFER_LIMIT_BYTES) {
      this.#full = true;
      return false;
    }
    ws.send(bytes, { binary: true }, () => {
      if (!this.#full || ws.bufferedAmount > BUFFER_LIMIT_BYTES / 2) return;
      this.#full = false;
      this.#options.onRoom();
    });
    return true;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    const ws = this.#ws;
    if (ws === undefined || ws.readyState === WebSocket.CLOSED) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => ws.terminate(), 1000);
      ws.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      if (ws.readyState === WebSocket.CONNECTING) ws.terminate();
      else ws.close(1000);
    });
  }

  #dial(): void {
    let ws: WebSocket;
    try {
      ws = new WebSocket(`${this.url.replace(/\/*$/, '/')}?${this.#options.token()}`, {
        perMessageDeflate: false,
        handshakeTimeout: this.#timing.handshakeMs,
        maxPayload: MAX_FRAME_BYTES,
        followRedirects: false,
      });
    } catch (error) {
      this.#lost((error as Error).message);
      return;
    }
    this.#ws = ws;
    let problem = '';
    let keepAlive: NodeJS.Timeout | undefined;
    let line: Socket | undefined;

    ws.on('upgrade', (response: IncomingMessage) => {
      line = response.socket;
      line.setNoDelay(true);
    });
    ws.on('unexpected-response', (request, response) => {
      readShortBody(response, (body) => {
        problem = `relay answered ${response.statusCode}: ${body}`;
        request.destroy();
        ws.terminate();
      });
    });
    ws.on('open', () => {
      keepAlive = this.#keepAlive(ws, line);
      this.#options.onState?.('open', '');
      this.#options.onRoom();
    });
    ws.on('message', (data: Buffer, isBinary: boolean) => {
      this.#failures = 0;
      // Relays send envelopes only; a text is a broken relay's.
      if (isBinary) this.#options.onFrame(data);
    });
    ws.on('pong', () => {
      this.#failures = 0;
    });
    ws.on('error', (error) => {
      problem ||= error.message;
    });
    ws.on('close', (code, reason) => {
      clearInterval(keepAlive);
      if (this.#ws === ws) this.#ws = undefined;
      this.#lost(problem || `closed by the relay (${code}${reason.length > 0 ? ` ${reason.toString()}` : ''})`);
    });
  }

  /** Pings, and ends a line from which no byte has come for too long. */
  #keepAlive(ws: WebSocket, line: Socket | undefined): NodeJS.Timeout {
    let bytesSeen = line?.bytesRead ?? 0;
    let lastByteAt = Date.now();
    let lastPingAt = Date.now();
    return setInterval(() => {
      const now = Date.now();
      const bytes = line?.bytesRead ?? 0;
      if (bytes !== bytesSeen) {
        bytesSeen = bytes;
        lastByteAt = now;
      } else if (now - lastByteAt >= this.#timing.silenceMs) {
        this.lastProblem = `no byte from the relay for ${now - lastByteAt} ms`;
        ws.terminate();
        return;
      }
      if (now - lastPingAt >= this.#timing.pingMs) {
        lastPingAt = now;
        ws.ping();
      }
    }, this.#timing.pingMs / 4);
  }

  #lost(problem: string): void {
    this.lastProblem = problem;
    this.#full = false;
    this.#options.onState?.('lost', problem);
    if (this.#closed) return;
    const longest = Math.min(
      this.#timing.longestPauseMs,
      this.#timing.firstPauseMs * 2 ** Math.min(this.#failures, 16),
    );
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#dial(), longest * (0.5 + Math.random() / 2));
  }
}

function readShortBody(response: IncomingMessage, done: (body: string) => void): void {
  let body = '';
  const timer = setTimeout(() => done(body), 1000);
  const finish = (): void => {
    clearTimeout(timer);
    done(body.slice(0, 200));
  };
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    if (body.length < 200) body += chunk;
  });
  response.once('end', finish);
  response.once('error', finish);
}
