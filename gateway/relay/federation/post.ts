/** One message to one other relay over HTTP. */
import { Agent as HttpAgent, request as httpRequest, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { rootCertificates } from 'node:tls';
import { AddressGuard, UnusableAddressError } from '../../../modules/host/addresses.ts';

export interface PostOptions {
  /** Port of relays; the network's have 443. */
  readonly port?: number;
  /** Certificates (PEM) that are believed beside the system's. */
  readonly ca?: string;
  /** Addresses of relays that names do not lead to, such as `https://10.1.1.1:8443` for `relay.example`. */
  readonly routes?: ReadonlyMap<string, URL>;
  /** Ranges that may be asked although they are private, loopback or this host's. */
  readonly allowed?: readonly string[];
  /** Milliseconds in which a relay has to answer; a large message has more. */
  readonly answerMs?: number;
}

/** `rejected` is final for this message, `forbidden` for this host. */
export type PostResult =
  | { readonly result: 'accepted' }
  | { readonly result: 'rejected' | 'failed' | 'forbidden'; readonly reason: string };

const HTTPS_PORT = 443;
const CONNECT_MS = 2000;
const ANSWER_MS = 3000;
const LONGEST_MS = 12_000;
const BYTES_PER_MS = 2048;
const IDLE_SOCKET_MS = 300_000;
const SOCKETS_PER_HOST = 16;
const SOCKETS = 256;
const ANSWER_BYTES = 16 * 1024;
const HOST_NAME = /^(?!-)[a-z0-9.-]{1,253}$/i;

export class Poster {
  readonly #port: number;
  readonly #answerMs: number;
  readonly #routes: ReadonlyMap<string, URL>;
  readonly #guard: AddressGuard;
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;

  /** @throws Error when a range is none */
  constructor(options: PostOptions = {}) {
    this.#port = options.port ?? HTTPS_PORT;
    this.#answerMs = options.answerMs ?? ANSWER_MS;
    this.#routes = options.routes ?? new Map();
    this.#guard = new AddressGuard({ allowed: options.allowed ?? [], denyPrivate: true });
    const pool = {
      keepAlive: true,
      keepAliveMsecs: 60_000,
      maxSockets: SOCKETS_PER_HOST,
      maxTotalSockets: SOCKETS,
      maxFreeSockets: 4,
      timeout: IDLE_SOCKET_MS,
    };
    this.#http = new HttpAgent(pool);
    this.#https = new HttpsAgent({
      ...pool,
      ...(options.ca === undefined ? {} : { ca: [...rootCertificates, options.ca] }),
    });
  }

  /** `POST /` with the bytes as they are; only 202 counts as accepted. Never rejects. */
  async post(host: string, bytes: Uint8Array): Promise<PostResult> {
    const name = host.toLowerCase();
    if (!HOST_NAME.test(name)) return { result: 'forbidden', reason: 'no host name' };
    const route = this.#routes.get(name);
    const url = route ?? URL.parse(`https://${name}:${this.#port}/`);
    if (url === null) return { result: 'forbidden', reason: 'no host name' };
    try {
      // An operator's route is the operator's; every other host is a stranger's choice.
      if (route === undefined) this.#guard.check(url);
      const status = await this.#send(url, bytes, {
        servername: name,
        ...(route === undefined ? { lookup: this.#guard.lookup } : {}),
      });
      if (status === 202) return { result: 'accepted' };
      if (status >= 400 && status < 500) return { result: 'rejected', reason: `status ${status}` };
      return { result: 'failed', reason: `status ${status}` };
    } catch (error) {
      const forbidden = error instanceof UnusableAddressError;
      return { result: forbidden ? 'forbidden' : 'failed', reason: reasonOf(error) };
    }
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  #send(url: URL, bytes: Uint8Array, how: RequestOptions & { servername: string }): Promise<number> {
    const secure = url.protocol === 'https:';
    const withinMs = Math.min(LONGEST_MS, this.#answerMs + bytes.length / BYTES_PER_MS);
    return new Promise((resolve, reject) => {
      const options = {
        ...how,
        method: 'POST',
        agent: secure ? this.#https : this.#http,
        headers: { 'content-length': bytes.length },
      };
      const request = secure ? httpsRequest(url, options) : httpRequest(url, options);
      const deadline = setTimeout(() => request.destroy(new Error(`no answer within ${withinMs} ms`)), withinMs);
      let connecting: NodeJS.Timeout | undefined;
      const settle = (): void => {
        clearTimeout(deadline);
        clearTimeout(connecting);
      };
      request.on('socket', (socket: Socket) => {
        if (!socket.connecting) return;
        const tooLate = new Error(`no connection within ${CONNECT_MS} ms`);
        connecting = setTimeout(() => request.destroy(tooLate), CONNECT_MS);
        socket.once(secure ? 'secureConnect' : 'connect', () => clearTimeout(connecting));
      });
      request.on('error', (error) => {
        settle();
        reject(error);
      });
      request.on('response', (response) => {
        let size = 0;
        // Only the status counts; a body is read so that the line can be used again.
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > ANSWER_BYTES) request.destroy();
        });
        response.on('close', settle);
        response.on('error', () => undefined);
        resolve(response.statusCode ?? 0);
      });
      request.end(bytes);
    });
  }
}

function reasonOf(error: unknown): string {
  const one = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  return one instanceof Error ? one.message : String(one);
}
