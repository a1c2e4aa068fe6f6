/** One client's connection: its subscriptions and what is sent to it. */
import { randomBytes } from 'node:crypto';
import type { WebSocket } from 'ws';
import type { Notices } from './notices.ts';

/** An answer that is an error; `code` as JSON-RPC and Substrate use them. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: number;
  readonly data: string | undefined;

  constructor(code: number, message: string, data?: string) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

const SUBSCRIPTION_LIMIT = 1024;
/** A client that reads slower than this many unsent bytes is disconnected. */
const UNSENT_LIMIT_BYTES = 16 * 1024 * 1024;

export class Session {
  readonly #socket: WebSocket;
  readonly #notices: Notices;
  readonly #subscriptions = new Map<string, () => void>();

  constructor(socket: WebSocket, notices: Notices) {
    this.#socket = socket;
    this.#notices = notices;
  }

  send(message: object): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (this.#socket.bufferedAmount > UNSENT_LIMIT_BYTES) this.#socket.terminate();
    else this.#socket.send(JSON.stringify({ jsonrpc: '2.0', ...message }));
  }

  /**
   * Opens a subscription. `start` gets the function that pushes a value and
   * returns the one that ends it. Values wait until the client knows the id.
   */
  subscribe(notification: string, start: (push: (value: unknown) => void) => () => void): string {
    if (this.#subscriptions.size >= SUBSCRIPTION_LIMIT) throw new RpcError(-32005, 'Too many subscriptions');
    const id = randomBytes(8).toString('hex');
    let waiting: unknown[] | undefined = [];
    const push = (result: unknown): void => {
      if (waiting !== undefined) waiting.push(result);
      else {
        const message = { method: notification, params: { subscription: id, result } };
        this.#notices.pass(notification, () => this.send(message));
      }
    };
    const stop = start(push);
    this.#subscriptions.set(id, stop);
    setImmediate(() => {
      const early = waiting ?? [];
      waiting = undefined;
      for (const result of early) push(result);
    });
    return id;
  }

  unsubscribe(id: unknown): boolean {
    const stop = this.#subscriptions.get(String(id));
    stop?.();
    return this.#subscriptions.delete(String(id));
  }

  get subscriptions(): number {
    return this.#subscriptions.size;
  }

  close(): void {
    for (const stop of this.#subscriptions.values()) stop();
    this.#subscriptions.clear();
  }
}
