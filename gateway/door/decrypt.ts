/** Check 9: the payload in clear. Runs on verified envelopes only. */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import { CipherError, type PayloadCipher } from '../rmb/cipher.ts';
import type { Envelope } from '../rmb/envelope.ts';
import type { TwinRecord, TwinSource } from '../rmb/twins.ts';
import { findTwin } from './twin.ts';

export interface DecryptTools {
  readonly twins: TwinSource;
  readonly cipher: PayloadCipher;
  readonly log: Logger;
  /** Refuse plain requests of twins that have a key. */
  readonly requireEncryption: boolean;
}

/** The plain payload. A key that fails or is missing is loaded anew once. */
export async function openPayload(
  envelope: Envelope,
  twin: TwinRecord,
  tools: DecryptTools,
): Promise<Uint8Array | GridError> {
  const { payload } = envelope;
  if (payload.case !== 'cipher') {
    if (tools.requireEncryption && twin.encryptionKey !== null) {
      return new GridError('encryption_required', { twin: twin.id });
    }
    return payload.value ?? new Uint8Array(0);
  }
  const first = decryptWith(payload.value, twin, tools.cipher);
  if (!(first instanceof GridError)) return first;
  const fresh = await findTwin(tools.twins, twin.id, tools.log, { fresh: true });
  if (fresh instanceof GridError) return first;
  return decryptWith(payload.value, fresh, tools.cipher);
}

function decryptWith(field: Uint8Array, twin: TwinRecord, cipher: PayloadCipher): Uint8Array | GridError {
  if (twin.encryptionKey === null) return new GridError('encryption_key_missing', { twin: twin.id });
  try {
    return cipher.decrypt(field, twin.encryptionKey);
  } catch (error) {
    if (!(error instanceof CipherError)) throw error;
    return new GridError('decryption_failed', { twin: twin.id, reason: error.message }, { cause: error });
  }
}
