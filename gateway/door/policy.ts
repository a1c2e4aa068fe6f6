/** Check 13: encrypted, where the operator asks that of twins that have a key. */
import { GridError } from '../../schemas/errors/index.ts';
import type { Envelope } from '../rmb/envelope.ts';
import type { TwinRecord } from '../rmb/twins.ts';
import { reloadTwin, type TwinTools } from './twin.ts';

export interface PolicyTools extends TwinTools {
  /** Refuse plain requests of twins that have a key. */
  readonly requireEncryption?: boolean;
}

/** The twin, or a refusal. A key that forbids is loaded anew once: the twin may have taken it back. */
export async function checkPolicy(
  envelope: Envelope,
  twin: TwinRecord,
  tools: PolicyTools,
): Promise<TwinRecord | GridError> {
  if (tools.requireEncryption !== true || envelope.payload.case === 'cipher' || twin.encryptionKey === null)
    return twin;
  const fresh = await reloadTwin(tools, twin.id);
  if (!(fresh instanceof GridError) && fresh.encryptionKey === null) return fresh;
  return new GridError('encryption_required', { twin: twin.id });
}
