/** What a module said, as the error table has it. */
import { ZbusError } from '../../modules/zbus/errors.ts';
import { isGridError, reviveError } from '../../schemas/index.ts';

/** The typed error that crossed the bus, where it was one; otherwise an error with the module's own text. */
export function revived(error: unknown): Error {
  if (isGridError(error)) return error;
  if (error instanceof ZbusError && error.remote !== undefined) {
    return reviveError(error.remote.code, error.remote.details) ?? error;
  }
  return error instanceof Error ? error : new Error(String(error));
}
