/** Check 8: signed by the twin's account. Nothing unsigned is believed. */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import { challenge } from '../rmb/challenge.ts';
import type { Envelope } from '../rmb/envelope.ts';
import { findSignatureFormFault, type SignatureVerifier } from '../rmb/signature.ts';
import type { TwinRecord, TwinSource } from '../rmb/twins.ts';
import { findTwin } from './twin.ts';

export interface SignatureTools {
  readonly twins: TwinSource;
  readonly verifier: SignatureVerifier;
  readonly log: Logger;
}

/**
 * The record whose key verified the envelope: a key that fails is loaded anew
 * once, for it may have changed on the chain.
 */
export async function checkSignature(
  envelope: Envelope,
  twin: TwinRecord,
  tools: SignatureTools,
): Promise<TwinRecord | GridError> {
  const refuse = (reason: string): GridError => new GridError('signature_invalid', { twin: twin.id, reason });
  const malformed = findSignatureFormFault(envelope.signature);
  if (malformed !== undefined) return refuse(malformed);
  const digest = challenge(envelope);
  const fault = await tools.verifier.verify(twin.account, digest, envelope.signature);
  if (fault === undefined) return twin;
  const fresh = await findTwin(tools.twins, twin.id, tools.log, { fresh: true });
  if (fresh instanceof GridError) return fresh;
  if (Buffer.compare(fresh.account, twin.account) === 0) return refuse(fault);
  const second = await tools.verifier.verify(fresh.account, digest, envelope.signature);
  return second === undefined ? fresh : refuse(second);
}
