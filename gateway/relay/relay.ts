/** The embedded relay: authenticated WebSockets in, envelopes between them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { address, decodeEnvelope, type Envelope, formatAddress, MAX_FRAME_BYTES } from '../rmb/envelope.ts';
import { SignatureVerifier } from '../rmb/signature.ts';
import type { TwinSource } from '../rmb/twins.ts';
import { admitVisitor, type Visitor } from './handshake.ts';
import { RelayMetrics } from './metrics.ts';
import { OfflineQueue } from './queue.ts';
import type { QueueLimits } from './queue-budget.ts';
import { Router } from './routing.ts';
import { Session } from './session.ts';

export interface RelayOptions {
  readonly domains: readonly string[];
  readonly twins: TwinSource;
  /** Redis that holds the queues: `unix:///path` or `tcp://host:port`. */
  readonly broker: string;
  readonly log: Logger;
  readonly metrics?: RelayMetrics;
  readonly queueLimits?: QueueLimits;
  readonly maxSessions?: number;
  /** Session names are free text: without a share one twin could take every place. */
  readonly maxSessionsPerTwin?: number;
}

const MAX_HANDSHAKES = 256;
const TICK_MS = 5000;
/** Messages of one session on their way, and their bytes; above either the session is not read. */
const MAX_ON_THE_WAY = 256;
const MAX_BYTES_ON_THE_WAY = 8 * 1024 * 1024;
const MAX_SESSIONS = 10_000;
const MAX_SESSIONS_PER_TWIN = 128;
/** Connections beside those of sessions: handshakes, and who asks for numbers. */
const MAX_OTHER_CONNECTIONS = 1024;
const HEADERS_TIMEOUT_MS = 10_000;
const NEWER_CONNECTION = 4001;
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;
const NO_ENVELOPE = 1007;

export class Relay {
  readonly #options: RelayOptions;
  readonly #log: Logger;
  readonly #metrics: RelayMetrics;
  readonly #queue: OfflineQueue;
  readonly #verifier = new SignatureVerifier();
  readonly #router: Router;
  readonly #sessions = new Map<string, Session>();
  readonly #perTwin = new Map<number, number>();
  readonly #http: Server;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_BYTES,
    clientTracking: false,
  });
  #handshakes = 0;
  #tick: NodeJS.Timeout | undefined;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#metrics = options.metrics ?? new RelayMetrics();
    this.#queue = new OfflineQueue(options.broker, options.log, options.queueLimits);
    this.#router = new Router({
      domains: options.domains,
      twins: options.twins,
      queue: this.#queue,
      metrics: this.#metrics,
      log: options.log,
      session: (to) => this.#sessions.get(formatAddress(to)),
    });
    this.#http = createServer(
      { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: 2000 },
      (request, response) => this.#answer(request, response),
    );
    this.#http.maxConnections = (options.maxSessions ?? MAX_SESSIONS) + MAX_OTHER_CONNECTIONS;
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Listens and resolves with the port. */
  async listen(host: string, port: number): Promise<number> {
    this.#verifier.warm();
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(port, host, () => {
        this.#http.off('error', reject);
        resolve();
      });
    });
    this.#tick = setInterval(() => {
      const now = Date.now();
      for (const session of this.#sessions.values()) session.tick(now);
    }, TICK_MS);
    return (this.#http.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    clearInterval(this.#tick);
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    for (const session of this.#sessions.values()) session.end('cancelled', GOING_AWAY);
    this.#sessions.clear();
    this.#http.closeIdleConnections();
    const patience = setTimeout(() => this.#http.closeAllConnections(), 1500);
    await closed;
    clearTimeout(patience);
    this.#queue.close();
    await this.#verifier.close();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
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
    const tools = { twins: this.#options.twins, verifier: this.#verifier, log: this.#log };
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
    line.setNoDelay(true);
    const session = new Session(address(visitor.twin, visitor.session), ws, line, {
      queue: this.#queue,
      metrics: this.#metrics,
      log: this.#log,
    });
    // The newest connection of a session is the one that lives.
    older?.end('cancelled', NEWER_CONNECTION);
    this.#sessions.set(id, session);
    if (older === undefined) this.#count(visitor.twin, 1);
    this.#log.info({ session: id }, 'session connected');
    ws.on('close', () => {
      session.end('closed');
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
