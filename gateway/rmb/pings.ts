/** Ping envelopes: relays turn them around themselves, without looking at signatures. */
import { address, createEnvelope, type Envelope, encodeEnvelope, nowSeconds } from './envelope.ts';
import type { RelaySocket } from './socket.ts';
import { newUid } from './uid.ts';

/** What one relay made of a ping. */
export type RelayPing =
  | { readonly relay: string; readonly roundTripMs: number }
  | { readonly relay: string; readonly problem: string };

const LIFETIME_SECONDS = 40;

export class Pings {
  readonly #self: { readonly twinId: number; readonly session: string | undefined };
  readonly #waiting = new Map<string, () => void>();

  constructor(self: { readonly twinId: number; readonly session: string | undefined }) {
    this.#self = self;
  }

  /** The bytes of a ping. Unsigned: a signature would hold for an answer of ours, too, as kinds are not signed. */
  frame(uid = newUid()): Uint8Array {
    return encodeEnvelope(
      createEnvelope({
        uid,
        timestamp: BigInt(nowSeconds()),
        expiration: BigInt(LIFETIME_SECONDS),
        source: address(this.#self.twinId, this.#self.session),
        message: { case: 'ping', value: {} },
        payload: { case: 'plain', value: new Uint8Array(0) },
      }),
    );
  }

  /** Pings one relay; a failure is a result, too. */
  async ping(socket: RelaySocket, deadlineMs: number): Promise<RelayPing> {
    const { url: relay } = socket;
    if (!socket.open) return { relay, problem: socket.lastProblem };
    const uid = newUid();
    const sentAt = performance.now();
    return await new Promise((resolve) => {
      const finish = (result: RelayPing): void => {
        clearTimeout(timer);
        this.#waiting.delete(uid);
        resolve(result);
      };
      const timer = setTimeout(() => finish({ relay, problem: `no pong within ${deadlineMs} ms` }), deadlineMs);
      this.#waiting.set(uid, () => finish({ relay, roundTripMs: performance.now() - sentAt }));
      if (!socket.trySend(this.frame(uid))) finish({ relay, problem: 'the line takes nothing more' });
    });
  }

  /** A pong; those of pings that only keep a line alive belong to nobody. */
  receive(envelope: Envelope): void {
    this.#waiting.get(envelope.uid)?.();
  }
}
