/** What of a failure its tenant is told. */
import { isZbusError } from '../modules/zbus/errors.ts';
import { reviveError } from '../schemas/errors/index.ts';

const UNFORESEEN = 'the node failed in a way it did not foresee, its log says how';

/**
 * The error's own text where it was written for those who asked. Nobody wrote
 * the texts of host programs and system calls for them: these hold paths and
 * command lines of the host, and stay in the log.
 */
export function tenantReason(error: Error): string {
  if ('syscall' in error) return UNFORESEEN;
  if (!isZbusError(error, 'call_failed')) return error.message;
  const { remote } = error;
  return remote !== undefined && reviveError(remote.code, remote.details) !== undefined ? error.message : UNFORESEEN;
}
