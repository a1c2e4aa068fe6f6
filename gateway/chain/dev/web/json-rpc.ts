/** A JSON-RPC line to the development chain, opened when it is needed and again after it was lost. */
import WebSocket from 'ws';
import { z } from 'zod';

const OPEN_DEADLINE_MS = 5000;
const ANSWER_DEADLINE_MS = 5000;
const MAX_PENDING = 1024;
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

const Answer = z.object({
  id: z.int(),
  result: z.unknown().optional(),
  error: z.object({ message: z.string() }).optional(),
});

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly deadline: NodeJS.Timeout;
}

export class JsonRpcLine {
  readonly #url: string;
  readonly #pending = new Map<number, Pending>();
  #socket: Promise<WebSocket> | undefined;
  #current: WebSocket | undefined;
  #lastId = 0;

  constructor(url: string) {
    this.#url = url;
  }

  /** What the method answered, parsed. @throws Error for its refusal, a lost line, 5 s without an answer */
  async call<T extends z.ZodType>(method: string, params: readonly unknown[], type: T): Promise<z.output<T>> {
    if (this.#pending.size >= MAX_PENDING) throw new Error(`the chain has ${MAX_PENDING} questions to answer already`);
    this.#socket ??= this.#open();
    const socket = await this.#socket;
    this.#lastId += 1;
    const id = this.#lastId;
    const result = await new Promise((resolve, reject) => {
      const late = (): void => this.#settle(id)?.reject(new Error(`${method}: no answer in ${ANSWER_DEADLINE_MS} ms`));
      this.#pending.set(id, { resolve, reject, deadline: setTimeout(late, ANSWER_DEADLINE_MS) });
      socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    });
    return type.parse(result);
  }

  async close(): Promise<void> {
    const socket = await this.#socket?.catch(() => undefined);
    socket?.terminate();
  }

  async #open(): Promise<WebSocket> {
    const socket = new WebSocket(this.#url, {
      handshakeTimeout: OPEN_DEADLINE_MS,
      maxPayload: MAX_ANSWER_BYTES,
      perMessageDeflate: false,
    });
    // Of a socket that another has replaced nothing is heard any more.
    this.#current = socket;
    socket.on('message', (data) => {
      if (this.#current === socket) this.#heard(data.toString());
    });
    socket.on('close', () => this.#lost(socket));
    await new Promise<void>((resolve, reject) => {
      socket.once('open', () => resolve());
      socket.on('error', (error) => {
        this.#lost(socket);
        reject(error);
      });
    });
    return socket;
  }

  #heard(text: string): void {
    const parsed = Answer.safeParse(readJson(text));
    if (!parsed.success) return;
    const { id, result, error } = parsed.data;
    const pending = this.#settle(id);
    if (error === undefined) pending?.resolve(result);
    else pending?.reject(new Error(error.message));
  }

  #lost(socket: WebSocket): void {
    if (this.#current !== socket) return;
    this.#current = undefined;
    this.#socket = undefined;
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(new Error('the line to the chain was lost'));
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.deadline);
    return pending;
  }
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
