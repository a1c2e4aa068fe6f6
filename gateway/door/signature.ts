/** Checks 3 and 12: signed, and by the twin's account. Nothing unsigned is believed. */
import { GridError } from '../../schemas/errors/index.ts';
import { challenge } from '../rmb/challenge.ts';
import type { Envelope } from '../rmb/envelope.ts';
import { findSignatureFormFault, type SignatureVerifier } from '../rmb/signature.ts';
import type { TwinRecord } from '../rmb/twins.ts';
import { reloadTwin, type TwinTools } from './twin.ts';

export interface SignatureTools extends TwinTools {
  readonly verifier: SignatureVerifier;
}

/** A refusal for what cannot be a signature, before anything is looked up for it. */
export function checkSignatureForm({ signature, source }: Envelope): GridError | undefined {
  const reason = findSignatureFormFault(signature);
  return reason === undefined ? undefined : new GridError('signature_invalid', { twin: source?.twin ?? 0, reason });
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
  const digest = challenge(envelope);
  const fault = await tools.verifier.verify(twin.account, digest, envelope.signature);
  if (fault === undefined) return twin;
  const fresh = await reloadTwin(tools, twin.id);
  if (fresh instanceof GridError) return fresh;
  if (Buffer.compare(fresh.account, twin.account) === 0) return refuse(fault);
  const second = await tools.verifier.verify(fresh.account, digest, envelope.signature);
  return second === undefined ? fresh : refuse(second);
}
