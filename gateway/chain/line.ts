/** One WebSocket to one endpoint: JSON-RPC requests that are answered in time or fail. */
import { type RawData, WebSocket } from 'ws';

export interface LineOptions {
  /** Milliseconds until the socket must be open. */
  readonly connectMs: number;
  /** Milliseconds until a request must be answered. */
  readonly answerMs: number;
  /** A value of a subscription, by the endpoint's own id. */
  readonly onNotice?: (notice: Notice) => void;
  /** The line is gone; told once. */
  readonly onClosed?: (reason: string) => void;
}

export interface Notice {
  readonly method: string;
  readonly subscription: string;
  readonly result?: unknown;
  readonly error?: Error;
}

/** An answer that is an error, as the endpoint told it. */
export class RpcFailure extends Error {
  override readonly name = 'RpcFailure';
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data: unknown) {
    const more = data === undefined ? '' : `: ${typeof data === 'string' ? data : JSON.stringify(data)}`;
    super(`${code}: ${message}${more.slice(0, 255)}`);
    this.code = code;
    this.data = data;
  }
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly askedAt: number;
  timer: NodeJS.Timeout;
}

/** The text of an endpoint's answer may not be longer; a runtime's description is a tenth of a megabyte. */
const MESSAGE_LIMIT_BYTES = 32 * 1024 * 1024;
/** A timer that is later than this by milliseconds says that the process stood still. */
const STANDSTILL_MS = 100;
/** Requests that wait for an answer at once. */
const PENDING_LIMIT = 4096;

export class EndpointLine {
  readonly url: string;
  readonly #options: LineOptions;
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, Pending>();
  #last = 0;
  #answeredAt = 0;
  #ended: string | undefined;
  #stopListening: (() => void) | undefined;

  private constructor(url: string, options: LineOptions) {
    this.url = url;
    this.#options = options;
    this.#socket = new WebSocket(url, { handshakeTimeout: options.connectMs, maxPayload: MESSAGE_LIMIT_BYTES });
    this.#socket.on('message', (data) => this.#hear(data));
    this.#socket.on('error', (error) => this.end(error.message));
    this.#socket.on('close', (code) => this.end(`closed with code ${code}`));
  }

  /** A line that is open. The signal ends it, also later. Throws an `Error` that says why it is not. */
  static async open(url: string, options: LineOptions, signal?: AbortSignal): Promise<EndpointLine> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let closed = (reason: string): void => reject(new Error(`disconnected from ${url}: ${reason}`));
    const line = new EndpointLine(url, { ...options, onClosed: (reason) => closed(reason) });
    line.#socket.once('open', resolve);
    const aborted = (): void => line.end('given up');
    signal?.addEventListener('abort', aborted, { once: true });
    line.#stopListening = () => signal?.removeEventListener('abort', aborted);
    if (signal?.aborted === true) aborted();
    // The handshake has a limit of its own, the TCP connection before it has none.
    const timer = setTimeout(() => line.end(`not open within ${options.connectMs} ms`), options.connectMs);
    try {
      await promise;
      closed = options.onClosed ?? (() => undefined);
      return line;
    } finally {
      clearTimeout(timer);
    }
  }

  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  /** Why it ended; empty while it is open. */
  get reason(): string {
    return this.#ended ?? '';
  }

  /** Requests that wait for their answer. */
  get waiting(): number {
    return this.#pending.size;
  }

  /**
   * The result of one request. Throws `RpcFailure` for an error that was answered, else an `Error`. A
   * request that is not answered in time ends the line, unless the endpoint answered later ones.
   */
  request(method: string, params: readonly unknown[], answerMs = this.#options.answerMs): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#gone());
    if (this.#pending.size >= PENDING_LIMIT) {
      return Promise.reject(new Error(`${this.#pending.size} requests wait for ${this.url} already`));
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#last += 1;
    const id = this.#last;
    const askedAt = performance.now();
    const timer = setTimeout(() => {
      const lateMs = performance.now() - askedAt - answerMs;
      const pending = this.#pending.get(id);
      if (pending === undefined || lateMs < STANDSTILL_MS) this.#overdue(id, method, answerMs);
      // What came meanwhile has not been read yet.
      else pending.timer = setTimeout(() => this.#overdue(id, method, answerMs), Math.min(lateMs, answerMs));
    }, answerMs);
    this.#pending.set(id, { resolve, reject, askedAt, timer });
    this.#socket.send(JSON.stringify({ id, jsonrpc: '2.0', method, params }));
    return promise;
  }

  /** Ends the line: every request fails. */
  end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#stopListening?.();
    // The socket of an endpoint that is silent would wait for its goodbye.
    this.#socket.terminate();
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(this.#gone());
    }
    this.#pending.clear();
    this.#options.onClosed?.(reason);
  }

  #gone(): Error {
    return new Error(`disconnected from ${this.url}: ${this.#ended}`);
  }

  #overdue(id: number, method: string, answerMs: number): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    pending.reject(new Error(`No response received from ${this.url} for ${method} in ${answerMs} ms`));
    // Values of subscriptions alone do not count: what matters is whether questions are answered.
    if (this.#answeredAt < pending.askedAt) this.end(`silent for ${answerMs} ms`);
  }

  #hear(data: RawData): void {
    let message: Message;
    try {
      message = JSON.parse(data.toString()) as Message;
    } catch {
      this.end('it sent what is no JSON');
      return;
    }
    if (typeof message.method === 'string') {
      const { subscription, result, error } = message.params ?? {};
      if (subscription === undefined) return;
      const failure = error === undefined ? {} : { error: failureOf(error) };
      this.#options.onNotice?.({ method: message.method, subscription: String(subscription), result, ...failure });
      return;
    }
    const pending = this.#pending.get(Number(message.id));
    if (pending === undefined) return;
    this.#pending.delete(Number(message.id));
    clearTimeout(pending.timer);
    this.#answeredAt = performance.now();
    if (message.error === undefined || message.error === null) pending.resolve(message.result);
    else pending.reject(failureOf(message.error));
  }
}

interface RpcErrorJson {
  readonly code?: number;
  readonly message?: string;
  readonly data?: unknown;
}

interface Message {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly result?: unknown;
  readonly error?: RpcErrorJson | null;
  readonly params?: { readonly subscription?: unknown; readonly result?: unknown; readonly error?: RpcErrorJson };
}

function failureOf({ code = 0, message = 'no reason given', data }: RpcErrorJson): RpcFailure {
  return new RpcFailure(code, message, data);
}
