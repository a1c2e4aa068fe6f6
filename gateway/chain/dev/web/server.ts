/** The services over HTTP, on one port; also as the proxy for hosts that a client cannot be told to look for elsewhere. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { type Asked, answer, type Reply, type Services } from './routes.ts';

const MAX_BODY_BYTES = 256 * 1024;
const MAX_CONNECTIONS = 256;
const MAX_HEADER_BYTES = 16 * 1024;
const REQUEST_DEADLINE_MS = 10_000;
const IDLE_DEADLINE_MS = 30_000;

const NO_TUNNEL = 'HTTP/1.1 501 Not Implemented\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';

class TooLong extends Error {
  override readonly name = 'TooLong';
}

export class WebServer {
  readonly #server: Server;
  readonly #services: Services;
  readonly #log: Logger;

  constructor(services: Services, log: Logger) {
    this.#services = services;
    this.#log = log;
    this.#server = createServer(
      {
        headersTimeout: REQUEST_DEADLINE_MS,
        requestTimeout: REQUEST_DEADLINE_MS,
        keepAliveTimeout: IDLE_DEADLINE_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      (request, response) => this.#serve(request, response),
    );
    // A client that wants a tunnel would otherwise wait for ever.
    this.#server.on('connect', (_request, socket) => socket.end(NO_TUNNEL));
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.setTimeout(IDLE_DEADLINE_MS);
  }

  /** Resolves with the port once it listens; port 0 takes a free one. */
  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.#reply(request)
      .catch((error: Error): Reply => {
        if (error instanceof TooLong) return { status: 413, body: { error: error.message } };
        this.#log.error({ err: error, url: request.url }, 'request failed');
        return { status: 503, body: { error: `the development chain could not be read: ${error.message}` } };
      })
      .then(({ status, body, count }) => {
        if (response.destroyed) return;
        const counted = count === undefined ? {} : { count: `${count}` };
        response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...counted });
        response.end(JSON.stringify(body));
      })
      .catch((error: unknown) => this.#log.error({ err: error, url: request.url }, 'answer failed'));
  }

  async #reply(request: IncomingMessage): Promise<Reply> {
    const asked = readTarget(request.url ?? '/');
    if (asked === undefined) return { status: 400, body: { error: 'the target of the request is not a URL' } };
    return answer(this.#services, { ...asked, method: request.method ?? '', body: await readBody(request) });
  }
}

/** Path and query, and the host where the target is an absolute URL. */
function readTarget(target: string): Omit<Asked, 'method' | 'body'> | undefined {
  const absolute = !target.startsWith('/');
  const text = absolute ? target : `http://self/${target.replace(/^\/+/, '')}`;
  if (!URL.canParse(text)) return undefined;
  const { hostname, pathname, searchParams } = new URL(text);
  return { host: absolute ? hostname : '', path: pathname.replace(/(?<=.)\/$/, ''), query: searchParams };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_BODY_BYTES) throw new TooLong(`a question has at most ${MAX_BODY_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
