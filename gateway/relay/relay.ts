/** The embedded relay: authenticated WebSockets in, envelopes between them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { address, decodeEnvelope, type Envelope, formatAddress, MAX_FRAME_BYTES } from '../rmb/envelope.ts';
import type { Address } from '../rmb/envelope_pb.ts';
import { SignatureVerifier } from '../rmb/signature.ts';
import type { TwinSource } from '../rmb/twins.ts';
import { sessionsOverBudget } from './begun.ts';
import { Incoming } from './federation/incoming.ts';
import { type JobLimits, JobStore } from './federation/jobs.ts';
import { DEFAULT_JOB_LIMITS, Outgoing, type OutgoingTiming } from './federation/outgoing.ts';
import { Poster, type PostOptions } from './federation/post.ts';
import { admitVisitor, type Visitor } from './handshake.ts';
import { Mail } from './mail.ts';
import { RelayMetrics } from './metrics.ts';
import { OfflineQueue } from './queue.ts';
import type { QueueLimits } from './queue-budget.ts';
import { DEFAULT_TWIN_LIMITS, type MessageLimits, WindowedLimit } from './rate.ts';
import { Router } from './routing.ts';
import { Session, type SessionTiming } from './session.ts';
import { Sisters } from './sisters.ts';
import { Strangers } from './strangers.ts';
import { UsedTokens } from './used-tokens.ts';
import { WindowBudget } from './window.ts';

export interface FederationOptions extends PostOptions {
  /** Messages of one source address that may come in. */
  readonly addressLimits?: MessageLimits;
  /** Proxies (`ADDRESS/BITS`) that name the source in `X-Forwarded-For`. */
  readonly proxies?: readonly string[];
  /** Messages that may wait for other relays. */
  readonly jobLimits?: JobLimits;
  readonly timing?: OutgoingTiming;
}

export interface RelayOptions {
  readonly domains: readonly string[];
  readonly twins: TwinSource;
  /** Redis that holds the queues: `unix:///path` or `tcp://host:port`. */
  readonly broker: string;
  readonly log: Logger;
  readonly metrics?: RelayMetrics;
  readonly queueLimits?: QueueLimits;
  readonly maxSessions?: number;
  /** Connections beside those of sessions: handshakes, posts, and who asks for numbers. */
  readonly maxStrangers?: number;
  /** Milliseconds in which the head of a request has to come; its body has as many more. */
  readonly headersMs?: number;
  /** Session names are free text: without a share one twin could take every place. */
  readonly maxSessionsPerTwin?: number;
  /** Messages of one twin in 60 s; `none` for no limit. */
  readonly twinLimits?: MessageLimits | 'none';
  /** Without it twins of other relays are out of reach, and nothing comes from there. */
  readonly federation?: FederationOptions | undefined;
  /** Each token connects once. */
  readonly singleUseTokens?: boolean;
  readonly timing?: SessionTiming;
}

const MAX_HANDSHAKES = 256;
const TICK_MS = 5000;
const SHORTEST_TICK_MS = 50;
/** Messages of one session on their way, and their bytes; above either the session is not read. */
const MAX_ON_THE_WAY = 256;
const MAX_BYTES_ON_THE_WAY = 8 * 1024 * 1024;
export const MAX_SESSIONS = 10_000;
export const MAX_SESSIONS_PER_TWIN = 128;
const MAX_STRANGERS = 1024;
const MAX_LEAVING = 256;
const BUDGET_MS = 1000;
const HEADERS_TIMEOUT_MS = 10_000;
/** Twins that may send within one minute. */
const MAX_SENDERS = 100_000;
/** Messages of all sessions that nothing proves to have arrived. */
const WINDOWS_BYTES = 64 * 1024 * 1024;
/** A peer that said goodbye, or was told it, has this long to hang up. */
const CLOSE_TIMEOUT_MS = 2000;
const SOCKETS = {
  noServer: true,
  perMessageDeflate: false,
  closeTimeout: CLOSE_TIMEOUT_MS,
  maxPayload: MAX_FRAME_BYTES,
  clientTracking: false,
};
const SETTLE_MS = 500;
const STORE_MS = 3000;
const NEWER_CONNECTION = 4001;
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;
const NO_ENVELOPE = 1007;

export class Relay {
  readonly #options: RelayOptions;
  readonly #log: Logger;
  readonly #metrics: RelayMetrics;
  readonly #queue: OfflineQueue;
  readonly #mail: Mail;
  readonly #sisters: Sisters;
  readonly #verifier = new SignatureVerifier();
  readonly #usedTokens: UsedTokens | undefined;
  readonly #router: Router;
  readonly #outgoing: Outgoing | undefined;
  readonly #incoming: Incoming | undefined;
  readonly #windows = new WindowBudget(WINDOWS_BYTES);
  readonly #sessions = new Map<string, Session>();
  readonly #perTwin = new Map<number, number>();
  readonly #http: Server;
  readonly #strangers: Strangers;
  readonly #sockets = new WebSocketServer(SOCKETS);
  #handshakes = 0;
  #tick: NodeJS.Timeout | undefined;
  #budget: NodeJS.Timeout | undefined;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#metrics = options.metrics ?? new RelayMetrics();
    this.#queue = new OfflineQueue(options.broker, options.log, options.queueLimits);
    this.#sisters = new Sisters(options.broker, options.log, {
      onMail: (to) => this.#session(to)?.start(),
      onMissed: () => {
        for (const session of this.#sessions.values()) session.start();
      },
      onConnected: (address, at) => {
        const session = this.#session(address);
        if (session !== undefined && session.since < at) session.end('cancelled', NEWER_CONNECTION);
      },
    });
    this.#mail = new Mail({
      queue: this.#queue,
      metrics: this.#metrics,
      session: (to) => this.#session(to),
      onQueued: (to) => this.#sisters.mail(to),
    });
    const { domains, twins, log, twinLimits = DEFAULT_TWIN_LIMITS, federation, broker } = options;
    const limit = twinLimits === 'none' ? undefined : new WindowedLimit<number>(twinLimits, MAX_SENDERS);
    const shared = { domains, twins, mail: this.#mail, metrics: this.#metrics, log, limit };
    if (federation !== undefined) {
      const { jobLimits = DEFAULT_JOB_LIMITS } = federation;
      this.#incoming = new Incoming({ ...federation, ...shared, verifier: this.#verifier });
      this.#outgoing = new Outgoing({
        ...shared,
        ...(federation.timing === undefined ? {} : { timing: federation.timing }),
        poster: new Poster(federation),
        limits: jobLimits,
        store: (onAbandoned) => new JobStore(broker, log, jobLimits, onAbandoned, federation.timing?.heartbeatMs),
      });
    }
    this.#usedTokens = options.singleUseTokens === true ? new UsedTokens() : undefined;
    this.#router = new Router({ ...shared, outgoing: this.#outgoing });
    const { headersMs = HEADERS_TIMEOUT_MS } = options;
    this.#http = createServer(
      { headersTimeout: headersMs, requestTimeout: 2 * headersMs, connectionsCheckingInterval: headersMs / 5 },
      (request, response) => this.#answer(request, response),
    );
    const strangers = options.maxStrangers ?? MAX_STRANGERS;
    this.#strangers = new Strangers(strangers);
    // Some more than their places: who was sent away leaves a moment later.
    this.#http.maxConnections = (options.maxSessions ?? MAX_SESSIONS) + strangers + MAX_LEAVING;
    this.#http.on('connection', (socket: Socket) => this.#strangers.enter(socket));
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Listens and resolves with the port. */
  async listen(host: string, port: number): Promise<number> {
    this.#verifier.warm();
    await Promise.all([this.#queue.ready(), this.#sisters.ready(), this.#outgoing?.ready()]);
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(port, host, () => {
        this.#http.off('error', reject);
        resolve();
      });
    });
    const { pingMs = TICK_MS } = this.#options.timing ?? {};
    const tickMs = Math.max(SHORTEST_TICK_MS, Math.min(TICK_MS, pingMs / 3));
    this.#tick = setInterval(() => {
      const now = Date.now();
      for (const session of this.#sessions.values()) session.tick(now);
    }, tickMs);
    this.#budget = setInterval(() => {
      // At once: what is begun lies in memory until the line is gone.
      for (const session of sessionsOverBudget(this.#sessions.values())) session.end('cancelled');
    }, BUDGET_MS);
    return (this.#http.address() as AddressInfo).port;
  }

  /** What was sent and may not have arrived is in the queues afterwards. */
  async close(): Promise<void> {
    clearInterval(this.#tick);
    clearInterval(this.#budget);
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    const sessions = [...this.#sessions.values()];
    await Promise.all(sessions.map((session) => session.settle(SETTLE_MS)));
    for (const session of this.#sessions.values()) session.end('cancelled', GOING_AWAY);
    this.#sessions.clear();
    this.#http.closeIdleConnections();
    const patience = setTimeout(() => this.#http.closeAllConnections(), 1500);
    await closed;
    clearTimeout(patience);
    const stored = Promise.all(sessions.map((session) => session.stored()));
    await Promise.race([stored, new Promise((resolve) => setTimeout(resolve, STORE_MS).unref())]);
    this.#outgoing?.close();
    this.#sisters.close();
    this.#queue.close();
    await this.#verifier.close();
  }

  #session(address: Address): Session | undefined {
    return this.#sessions.get(formatAddress(address));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    if (this.#incoming !== undefined && request.method === 'POST' && request.url === '/') {
      this.#incoming.handle(request, response).catch((error: unknown) => {
        this.#log.error({ err: error }, 'post failed');
        response.destroy();
      });
      return;
    }
    if (request.method === 'GET' && request.url?.split('?')[0] === '/metrics') {
      this.#metrics.registry.metrics().then(
        (text) => response.writeHead(200, { 'content-type': this.#metrics.registry.contentType }).end(text),
        () => response.writeHead(500).end('metrics failed'),
      );
      return;
    }
    response.writeHead(404).end('page not found');
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    if (this.#handshakes >= MAX_HANDSHAKES) {
      refuse(socket, 503, 'too many handshakes at once');
      return;
    }
    this.#handshakes += 1;
    const { twins } = this.#options;
    const tools = { twins, verifier: this.#verifier, log: this.#log, usedTokens: this.#usedTokens };
    admitVisitor(request, tools)
      .then((visitor) => {
        this.#metrics.handshakes.inc({ status: 'status' in visitor ? visitor.status : 101 });
        if ('status' in visitor) refuse(socket, visitor.status, visitor.body);
        else if (socket.destroyed) return;
        else this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#register(visitor, ws, request.socket));
      })
      .catch((error: unknown) => {
        this.#log.error({ err: error }, 'handshake failed');
        refuse(socket, 500, 'handshake failed');
      })
      .finally(() => {
        this.#handshakes -= 1;
      });
  }

  #register(visitor: Visitor, ws: WebSocket, line: Socket): void {
    ws.on('error', (error) => this.#log.debug({ twin: visitor.twin, reason: error.message }, 'socket error'));
    const id = formatAddress(address(visitor.twin, visitor.session));
    const older = this.#sessions.get(id);
    if (older === undefined && !this.#hasRoom(visitor.twin)) {
      ws.close(TRY_AGAIN_LATER);
      setTimeout(() => ws.terminate(), 1000).unref();
      return;
    }
    this.#strangers.leave(line);
    line.setNoDelay(true);
    const session = new Session(address(visitor.twin, visitor.session), ws, line, {
      queue: this.#queue,
      metrics: this.#metrics,
      log: this.#log,
      windows: this.#windows,
      ...(this.#options.timing === undefined ? {} : { timing: this.#options.timing }),
    });
    // The newest connection of a session is the one that lives.
    older?.end('cancelled', NEWER_CONNECTION);
    this.#sessions.set(id, session);
    if (older === undefined) this.#count(visitor.twin, 1);
    this.#sisters.connected(session.address, session.since);
    this.#log.info({ session: id }, 'session connected');
    ws.on('close', (code) => {
      session.closed(code);
      // The entry may be a newer connection's by now.
      if (this.#sessions.get(id) === session) {
        this.#sessions.delete(id);
        this.#count(visitor.twin, -1);
      }
      this.#log.info({ session: id }, 'session ended');
    });
    this.#read(session);
    session.start();
  }

  #hasRoom(twin: number): boolean {
    const { maxSessions = MAX_SESSIONS, maxSessionsPerTwin = MAX_SESSIONS_PER_TWIN } = this.#options;
    const ofTwin = this.#perTwin.get(twin) ?? 0;
    if (this.#sessions.size < maxSessions && ofTwin < maxSessionsPerTwin) return true;
    this.#log.error({ sessions: this.#sessions.size, twin, ofTwin }, 'max number of users');
    return false;
  }

  /** Messages of one session to one destination keep their order; other destinations do not wait for them. */
  #read(session: Session): void {
    const lanes = new Map<string, Promise<void>>();
    let onTheWay = 0;
    let bytesOnTheWay = 0;
    session.socket.on('message', (data: Buffer, isBinary: boolean) => {
      session.messageEnded();
      this.#metrics.received.inc();
      this.#metrics.receivedBytes.inc(data.length);
      let envelope: Envelope;
      try {
        if (!isBinary) throw new Error('text frame');
        envelope = decodeEnvelope(data);
      } catch (error) {
        this.#log.info({ session: formatAddress(session.address), reason: (error as Error).message }, 'no envelope');
        session.end('closed', NO_ENVELOPE);
        return;
      }
      onTheWay += 1;
      bytesOnTheWay += data.length;
      if (onTheWay >= MAX_ON_THE_WAY || bytesOnTheWay >= MAX_BYTES_ON_THE_WAY) session.socket.pause();
      const lane = envelope.destination === undefined ? '' : formatAddress(envelope.destination);
      const before = lanes.get(lane);
      const route = (): Promise<void> => this.#router.route(session, envelope, data);
      const routed = (before === undefined ? route() : before.then(route))
        .catch((error: unknown) => this.#log.error({ err: error }, 'routing failed'))
        .finally(() => {
          onTheWay -= 1;
          bytesOnTheWay -= data.length;
          if (lanes.get(lane) === routed) lanes.delete(lane);
          const calm = onTheWay < MAX_ON_THE_WAY / 2 && bytesOnTheWay < MAX_BYTES_ON_THE_WAY / 2;
          if (session.socket.isPaused && calm) session.socket.resume();
        });
      lanes.set(lane, routed);
    });
  }

  #count(twin: number, change: 1 | -1): void {
    const ofTwin = (this.#perTwin.get(twin) ?? 0) + change;
    if (ofTwin > 0) this.#perTwin.set(twin, ofTwin);
    else this.#perTwin.delete(twin);
    this.#metrics.connections.set({ worker: '0' }, this.#sessions.size);
  }
}

function refuse(socket: Duplex, status: number, body: string): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  // A visitor who never hangs up must not keep the line: nothing else would ever end it.
  socket.once('finish', () => socket.destroy());
  setTimeout(() => socket.destroy(), 1000).unref();
  socket.end(
    `HTTP/1.1 ${status} ${status}\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
