/** A bare connection to a node's relay: sends any bytes, keeps every envelope that comes. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import {
  address,
  challenge,
  createEnvelope,
  createToken,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  type Identity,
} from '../../gateway/rmb/index.ts';

export const nowSeconds = (): number => Math.floor(Date.now() / 1000);

export class RawLine {
  readonly received: Envelope[] = [];
  readonly #socket: WebSocket;
  /** WebSocket close code, once closed. */
  closed: number | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => this.received.push(decodeEnvelope(data)));
    socket.on('close', (code) => {
      this.closed = code;
    });
    socket.on('error', () => undefined);
  }

  /** Throws the relay's refusal as `<status> <body>`. */
  static async open(relay: string, identity: Identity, twin: number, session: string | undefined): Promise<RawLine> {
    const socket = new WebSocket(`${relay}/?${createToken(identity, twin, session, nowSeconds())}`);
    const line = new RawLine(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('open', () => resolve());
      socket.once('error', reject);
      socket.once('unexpected-response', (_request, response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on('end', () => reject(new Error(`${response.statusCode} ${body}`)));
      });
    });
    return line;
  }

  send(bytes: Uint8Array): void {
    this.#socket.send(bytes, { binary: true });
  }

  /** Waits until what was sent has left this process. */
  async drained(): Promise<void> {
    while (this.#socket.bufferedAmount > 0 && this.closed === undefined) await sleep(5);
  }

  /** The first answer to `uid`; undefined when none came in time. */
  async answer(uid: string, deadlineMs = 20_000): Promise<Envelope | undefined> {
    const until = Date.now() + deadlineMs;
    while (Date.now() < until) {
      const found = this.received.find((envelope) => envelope.uid === uid);
      if (found !== undefined) return found;
      await sleep(20);
    }
    return undefined;
  }

  close(): void {
    this.#socket.terminate();
  }
}

export interface RequestWish {
  readonly source: { readonly twin: number; readonly session: string };
  readonly destination: { readonly twin: number; readonly session?: string };
  readonly command?: string;
  readonly payload?: Envelope['payload'];
  readonly timestamp?: number;
  readonly expiration?: number;
  readonly schema?: string;
  readonly tags?: string;
}

/** A request signed by `signer`, or not at all. */
export function request(wish: RequestWish, signer: Identity | undefined): Envelope {
  const envelope = createEnvelope({
    uid: randomUUID(),
    timestamp: BigInt(wish.timestamp ?? nowSeconds()),
    expiration: BigInt(wish.expiration ?? 60),
    source: address(wish.source.twin, wish.source.session),
    destination: address(wish.destination.twin, wish.destination.session),
    message: { case: 'request', value: { command: wish.command ?? 'zos.system.version' } },
    schema: wish.schema ?? 'application/json',
    payload: wish.payload ?? { case: 'plain', value: Buffer.from('null') },
    ...(wish.tags === undefined ? {} : { tags: wish.tags }),
  });
  if (signer !== undefined) envelope.signature = signer.sign(challenge(envelope));
  return envelope;
}

export const bytesOf = (envelope: Envelope): Uint8Array => encodeEnvelope(envelope);
