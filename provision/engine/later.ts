/** Why a lane ends its run before it is done. */
import { isZbusError } from '../../modules/zbus/errors.ts';
import { isGridError } from '../../schemas/errors/index.ts';
import { tenantReason } from '../tenant-reason.ts';

/** Something else comes first: what was asked anew, or the end of the process. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** The host is in the way, not the deployment: it is tried again for as long as it takes. */
export class TryLater extends Error {
  override readonly name = 'TryLater';
}

/** The journal's disk is full, slow or locked: no deployment is to blame. */
function isJournalTrouble(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
}

/** Whether a lane that ends so, again and again, may be put aside. */
export function isPoison(error: unknown): boolean {
  if (isGridError(error)) return !error.retryable;
  return !(error instanceof TryLater || isZbusError(error) || isJournalTrouble(error));
}

/** What an operation keeps of it; its tenant may read that. */
export function keptReason(error: unknown): string {
  if (error instanceof TryLater) {
    return error.cause instanceof Error ? `${error.message}: ${tenantReason(error.cause)}` : error.message;
  }
  if (isGridError(error) || isZbusError(error)) return tenantReason(error);
  return 'the node failed in a way it did not foresee, its log says how';
}
