/** A bare peer for tests: what it received, and how its connection ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { challenge } from '../../rmb/challenge.ts';
import { address, createEnvelope, decodeEnvelope, type Envelope, nowSeconds } from '../../rmb/envelope.ts';
import { createToken } from '../../rmb/token.ts';
import type { TestTwin } from './world.ts';

export class Peer {
  readonly frames: Buffer[] = [];
  readonly socket: WebSocket;
  closed: number | undefined;
  pings = 0;
  /** `STATUS BODY` where the relay did not let it in. */
  refusal = '';

  constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.on('message', (data: Buffer) => this.frames.push(data));
    this.socket.on('ping', () => {
      this.pings += 1;
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', (code) => {
      this.closed = code;
    });
    this.socket.on('unexpected-response', (_request, response) => {
      response.setEncoding('utf8');
      let body = '';
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => {
        this.refusal = `${response.statusCode} ${body}`;
      });
    });
  }

  get envelopes(): Envelope[] {
    return this.frames.map((frame) => decodeEnvelope(Uint8Array.from(frame)));
  }

  get uids(): string[] {
    return this.envelopes.map(({ uid }) => uid);
  }

  /** Texts of the errors among what it received. */
  get errors(): string[] {
    return this.envelopes.flatMap(({ message }) => (message.case === 'error' ? [message.value.message] : []));
  }

  async until(condition: () => boolean, withinMs = 15_000): Promise<void> {
    // Not the date, which tests may stop.
    const end = performance.now() + withinMs;
    while (!condition()) {
      if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${condition}`);
      await sleep(5);
    }
  }
}

/** A connected peer of a twin. */
export async function connectPeer(url: string, twin: TestTwin, session?: string): Promise<Peer> {
  const peer = new Peer(`${url}/?${createToken(twin.identity, twin.id, session, nowSeconds())}`);
  await peer.until(() => peer.socket.readyState === WebSocket.OPEN);
  return peer;
}

/** A signed request; what `change` sets is signed, too. */
export function signedRequest(
  from: TestTwin,
  session: string | undefined,
  to: number,
  change: Partial<Envelope> = {},
): Envelope {
  const envelope = createEnvelope({
    uid: `u-${Math.random()}`,
    timestamp: BigInt(nowSeconds()),
    expiration: 60n,
    source: address(from.id, session),
    destination: address(to),
    message: { case: 'request', value: { command: 'zos.x' } },
    schema: 'application/json',
    payload: { case: 'plain', value: Buffer.from('null') },
  });
  Object.assign(envelope, change);
  envelope.signature ??= from.identity.sign(challenge(envelope));
  return envelope;
}
