/** How a call over RMB fails. */
import type { GridError } from '../../schemas/errors/index.ts';

export type RmbErrorKind =
  /** Sent, and no answer came in time. */
  | 'timeout'
  /** The other side answered with a signed error. */
  | 'refused'
  /** The relay answered with an error; relays do not sign, so it only ends the call. */
  | 'relay-refused'
  /** No relay took the message in time. */
  | 'relay-lost'
  /** An answer came from the asked twin but its signature is wrong. */
  | 'bad-signature'
  /** A signed answer that cannot be used: unreadable payload, wrong schema. */
  | 'bad-answer'
  | 'unknown-twin'
  /** The chain could not be asked who the twin is. */
  | 'twin-lookup'
  /** Encryption was demanded and one side has no key on the chain. */
  | 'no-encryption'
  /** Too many messages or calls are waiting. */
  | 'busy'
  | 'cancelled'
  /** The client was closed. */
  | 'closed';

export class RmbError extends Error {
  override readonly name = 'RmbError';
  readonly kind: RmbErrorKind;
  /** `refused` and `relay-refused`: number of the answer's error part. */
  readonly code: number | undefined;
  /** `relay-refused`: URL of the relay that said so last. */
  readonly relay: string | undefined;
  /** `refused`: the other side's typed error, where it is one this version knows. */
  readonly refusal: GridError | undefined;

  constructor(
    kind: RmbErrorKind,
    message: string,
    options: {
      readonly code?: number;
      readonly refusal?: GridError | undefined;
      readonly relay?: string;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.code = options.code;
    this.refusal = options.refusal;
    this.relay = options.relay;
  }
}
