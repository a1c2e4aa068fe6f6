/** Whether a call failed because a block has the transaction and the chain refused it. */
import { isZbusError } from '../../modules/zbus/errors.ts';

/** The chain's reason; undefined where it gave none, as when it is away. */
export function refusalOf(error: unknown): string | undefined {
  if (!isZbusError(error, 'call_failed')) return undefined;
  // Daemons of other makers send no code.
  const isRefused = error.remote?.code === 'chain_dispatch';
  return isRefused ? error.message : undefined;
}

/** Whether the call certainly did not run. */
export function isUnrun(error: unknown): boolean {
  return isZbusError(error, 'no_such_module') || isZbusError(error, 'busy');
}
