/** Check 14: the payload in clear. Runs on verified envelopes only. */
import { GridError } from '../../schemas/errors/index.ts';
import { CipherError, type PayloadCipher } from '../rmb/cipher.ts';
import type { Envelope } from '../rmb/envelope.ts';
import type { TwinRecord } from '../rmb/twins.ts';
import { reloadTwin, type TwinTools } from './twin.ts';

export interface DecryptTools extends TwinTools {
  readonly cipher: PayloadCipher;
}

export interface OpenPayload {
  readonly payload: Uint8Array;
  /** With the key that opened it, which is the one to answer with. */
  readonly twin: TwinRecord;
}

/** The plain payload. A key that fails or is missing is loaded anew once. */
export async function openPayload(
  envelope: Envelope,
  twin: TwinRecord,
  tools: DecryptTools,
): Promise<OpenPayload | GridError> {
  const { payload } = envelope;
  if (payload.case !== 'cipher') return { payload: payload.value ?? new Uint8Array(0), twin };
  const first = decryptWith(payload.value, twin, tools.cipher);
  if (!(first instanceof GridError)) return { payload: first, twin };
  const fresh = await reloadTwin(tools, twin.id);
  if (fresh instanceof GridError) return first;
  const second = decryptWith(payload.value, fresh, tools.cipher);
  return second instanceof GridError ? second : { payload: second, twin: fresh };
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
