/** JSON-RPC 2.0 over WebSocket. */
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import type { DevChain } from '../chain.ts';
import type { Runtimes } from '../runtime.ts';
import { type AdminContext, adminMethods } from './admin.ts';
import { type FaultyServer, faultMethods, noFaults } from './faults.ts';
import { methods } from './methods.ts';
import { Notices } from './notices.ts';
import { RpcError, Session } from './session.ts';

const Request = z.object({
  id: z.union([z.int(), z.string().max(128), z.null()]).optional(),
  method: z.string().max(128),
  params: z.array(z.unknown()).default([]),
});

const MESSAGE_LIMIT_BYTES = 4 * 1024 * 1024;
const CONNECTION_LIMIT = 256;

export interface RpcServerOptions {
  readonly chain: DevChain;
  readonly runtimes: Runtimes;
  /** Serves the methods that break things. */
  readonly faults: boolean;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly log: Logger;
}

const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && /^(127\.|::1$|::ffff:127\.)/.test(address);

export class RpcServer {
  readonly #server: WebSocketServer;
  readonly #log: Logger;
  readonly #context: AdminContext & FaultyServer;
  readonly #hasFaults: boolean;
  readonly #sessions = new Set<Session>();
  readonly #notices = new Notices();
  #answerDelayMs = 0;
  #refusedUntil = 0;

  constructor(options: RpcServerOptions) {
    const { chain, runtimes, host, port, faults } = options;
    this.#hasFaults = faults;
    this.#log = options.log;
    const served = [methods, adminMethods, ...(faults ? [faultMethods] : [])];
    const names = served.flatMap((table) => Object.keys(table)).sort();
    this.#context = {
      chain,
      runtimes,
      names: () => names,
      dropSockets: () => this.#dropSockets(),
      notices: this.#notices,
      endSubscriptions: () => this.#endSubscriptions(),
      delayAnswers: (milliseconds) => {
        this.#answerDelayMs = milliseconds;
      },
      refuseConnections: (milliseconds) => {
        this.#refusedUntil = performance.now() + milliseconds;
      },
    };
    this.#server = new WebSocketServer({ host, port, maxPayload: MESSAGE_LIMIT_BYTES });
    this.#server.on('connection', (socket, request) => this.#accept(socket, isLoopback(request.socket.remoteAddress)));
  }

  /** Resolves with the port once the server listens. */
  listening(): Promise<number> {
    return new Promise((resolve, reject) => {
      const done = (): void => resolve((this.#server.address() as AddressInfo).port);
      if (this.#server.address() !== null) return done();
      this.#server.once('listening', done);
      this.#server.once('error', reject);
    });
  }

  #dropSockets(): number {
    const { clients } = this.#server;
    setImmediate(() => {
      for (const socket of clients) socket.terminate();
    });
    return clients.size;
  }

  #endSubscriptions(): number {
    let ended = 0;
    for (const session of this.#sessions) {
      ended += session.subscriptions;
      session.close();
    }
    return ended;
  }

  #accept(socket: WebSocket, trusted: boolean): void {
    if (this.#server.clients.size > CONNECTION_LIMIT) {
      socket.close(1013, 'too many connections');
      return;
    }
    if (performance.now() < this.#refusedUntil) {
      socket.terminate();
      return;
    }
    const session = new Session(socket, this.#notices);
    this.#sessions.add(session);
    socket.on('close', () => {
      this.#sessions.delete(session);
      session.close();
    });
    socket.on('error', (error) => this.#log.debug({ err: error }, 'client connection failed'));
    socket.on('message', (data) => {
      this.#answer(session, trusted, data.toString()).catch((error: unknown) => {
        this.#log.error({ err: error }, 'answer failed');
      });
    });
  }

  async #answer(session: Session, trusted: boolean, text: string): Promise<void> {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      return session.send({ id: null, error: { code: -32700, message: 'Parse error' } });
    }
    const request = Request.safeParse(parsed);
    if (!request.success) return session.send({ id: null, error: { code: -32600, message: 'Invalid request' } });
    const { id = null, method, params } = request.data;
    if (this.#answerDelayMs !== 0 && !method.startsWith('dev_')) {
      if (this.#answerDelayMs < 0) return;
      await sleep(this.#answerDelayMs);
    }
    try {
      session.send({ id, result: (await this.#call(session, trusted, method, params)) ?? null });
    } catch (error) {
      session.send({ id, error: this.#errorJson(error, method) });
    }
  }

  #call(session: Session, trusted: boolean, name: string, params: readonly unknown[]): unknown {
    if (Object.hasOwn(methods, name)) return methods[name]?.(this.#context, session, params);
    if (trusted && Object.hasOwn(adminMethods, name)) return adminMethods[name]?.(this.#context, params);
    if (trusted && Object.hasOwn(faultMethods, name)) {
      return this.#hasFaults ? faultMethods[name]?.(this.#context, params) : noFaults(this.#context, params);
    }
    throw new RpcError(-32601, `Method not found: ${name}`);
  }

  #errorJson(error: unknown, method: string): object {
    if (error instanceof RpcError) {
      return { code: error.code, message: error.message, ...(error.data === undefined ? {} : { data: error.data }) };
    }
    if (error instanceof z.ZodError) {
      return { code: -32602, message: 'Invalid params', data: error.issues[0]?.message ?? '' };
    }
    this.#log.error({ err: error, method }, 'method failed');
    return { code: -32603, message: 'Internal error' };
  }

  async close(): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}
