/** Numbers and texts of what goes wrong between local clients and other twins, as rmb-peer has them. */
import { RmbError } from '../rmb/errors.ts';

export interface Failure {
  readonly code: number;
  readonly message: string;
}

export const failures = {
  payloadType: (): Failure => ({ code: 100, message: 'invalid message payload type' }),
  payloadData: (text: string): Failure => ({ code: 101, message: `invalid message payload data: ${text}` }),
  expired: (text: string): Failure => ({
    code: 102,
    message: `envelope validation error: message has expired: ${text}`,
  }),
  unknownTwin: (twin: number): Failure => ({ code: 103, message: `unknown twin id '${twin}'` }),
  noPublicKey: (): Failure => ({ code: 105, message: 'sender twin has no public key' }),
  encryption: (text: string): Failure => ({ code: 106, message: `e2e error: ${text}` }),
  other: (text: string): Failure => ({ code: 500, message: `other: ${text}` }),
} as const;

/** Why a request to a twin did not leave. */
export function failureOfSending(error: unknown, twin: number): Failure {
  if (!(error instanceof RmbError)) return failures.other(error instanceof Error ? error.message : String(error));
  switch (error.kind) {
    case 'unknown-twin':
      return failures.unknownTwin(twin);
    case 'no-encryption':
      return failures.encryption(error.message);
    default:
      return failures.other(error.message);
  }
}
