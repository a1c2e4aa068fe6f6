/** Numbers and health for who watches the node: `GET /metrics` and `GET /health`, nothing else. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { Problem } from './health.ts';

/** Who watches asks every few seconds; nothing else has business here. */
const MAX_CONNECTIONS = 32;
const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_DEADLINE_MS = 5000;
const IDLE_DEADLINE_MS = 15_000;
const ANSWER_DEADLINE_MS = 5000;
const STOP_PATIENCE_MS = 500;
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface HttpOptions {
  /** Numbers in the text format of Prometheus. */
  readonly metrics: () => Promise<string>;
  readonly problems: () => Promise<readonly Problem[]>;
  readonly log: Logger;
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export class HttpServer {
  readonly #options: HttpOptions;
  readonly #server: Server;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        headersTimeout: REQUEST_DEADLINE_MS,
        requestTimeout: REQUEST_DEADLINE_MS,
        keepAliveTimeout: IDLE_DEADLINE_MS,
        connectionsCheckingInterval: 1000,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      (request, response) => this.#serve(request, response),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    // An answer that nobody reads ends with its connection.
    this.#server.setTimeout(IDLE_DEADLINE_MS);
  }

  /** Listens at `HOST:PORT`, IPv6 in brackets, and resolves with the port. */
  async listen(address: { readonly host: string; readonly port: number }): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address.port, address.host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const patience = setTimeout(() => this.#server.closeAllConnections(), STOP_PATIENCE_MS);
    await closed;
    clearTimeout(patience);
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const send = ({ status, type, body }: Page): void => {
      if (response.headersSent || response.destroyed) return;
      // A body has no meaning here, and what is not read must not be kept alive for.
      const ends = request.method === 'GET' ? {} : { connection: 'close' };
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', ...ends }).end(body);
    };
    const deadline = setTimeout(() => send(json(503, { reason: 'no answer in time' })), ANSWER_DEADLINE_MS);
    this.#page(request)
      .then(send, (error: unknown) => {
        this.#options.log.error({ err: error, url: request.url }, 'page failed');
        send(json(500, { reason: 'the page could not be made' }));
      })
      .finally(() => clearTimeout(deadline));
  }

  async #page(request: IncomingMessage): Promise<Page> {
    const path = request.method === 'GET' ? request.url?.split('?')[0] : undefined;
    if (path === '/metrics') {
      return { status: 200, type: METRICS_TYPE, body: await this.#options.metrics() };
    }
    if (path === '/health') {
      const problems = await this.#options.problems();
      return problems.length === 0 ? json(200, { healthy: true }) : json(503, { healthy: false, problems });
    }
    return json(404, { reason: 'only GET /metrics and GET /health are served' });
  }
}

function json(status: number, body: object): Page {
  return { status, type: 'application/json', body: `${JSON.stringify(body)}\n` };
}

/** Host and port of `HOST:PORT`; IPv6 hosts stand in brackets. @throws Error for anything else */
export function parseListenAddress(text: string): { host: string; port: number } {
  const [, six, host = six, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:]+)):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535) throw new Error(`gateway: --http ${text} is not HOST:PORT`);
  return { host, port: Number(port) };
}
