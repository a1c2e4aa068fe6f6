/** From a verified request to its answer: name, caller, payload, handler, errors. */
import type { Logger } from 'pino';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { formatOutput, GridError, isGridError, parseInput, reviveError } from '../../schemas/index.ts';
import { type Answer, refusalAnswer } from '../rmb/answer.ts';
import type { Handler, Node } from './handler.ts';

/** Milliseconds a command may take; existing clients wait 20 s and longer. */
const COMMAND_DEADLINE_MS = 60_000;

export interface Request {
  readonly command: string;
  readonly payload: Uint8Array;
  readonly twin: number;
}

export interface DispatcherOptions {
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly node: Node;
  readonly log: Logger;
  /** Told once for each request: command, whether it succeeded, seconds it took. */
  readonly onDone?: (command: string, ok: boolean, seconds: number) => void;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Answers every request; a failing handler is an error answer, never an exception. */
  async answer(request: Request): Promise<Answer> {
    const startedAt = performance.now();
    const handler = this.#options.handlers.get(request.command);
    const known = handler === undefined ? 'unknown' : request.command;
    try {
      if (handler === undefined) throw new GridError('command_unknown', { command: request.command });
      const payload = await this.#run(handler, request);
      const tookMs = performance.now() - startedAt;
      this.#options.log.info({ command: request.command, twin: request.twin, tookMs: Math.round(tookMs) }, 'answered');
      this.#options.onDone?.(known, true, tookMs / 1000);
      return { kind: 'response', payload };
    } catch (error) {
      const refusal = toGridError(error, request.command);
      const level = refusal.fault === 'caller' ? 'info' : 'warn';
      this.#options.log[level](
        {
          command: request.command,
          twin: request.twin,
          code: refusal.code,
          details: refusal.details,
          err: refusal.cause,
        },
        refusal.message,
      );
      this.#options.onDone?.(known, false, (performance.now() - startedAt) / 1000);
      return refusalAnswer(refusal);
    }
  }

  async #run(handler: Handler, request: Request): Promise<string> {
    const { command } = handler;
    const deadline = AbortSignal.timeout(COMMAND_DEADLINE_MS);
    const call = { twin: request.twin, node: this.#options.node, signal: deadline, deadlineMs: COMMAND_DEADLINE_MS };
    if (command.caller === 'farmer') {
      const { FarmerTwinID } = await call.node.chain.Node({}, { signal: deadline, deadlineMs: COMMAND_DEADLINE_MS });
      if (FarmerTwinID !== request.twin)
        throw new GridError('command_unauthorized', { command: command.name, twin: request.twin });
    }
    const input = parseInput(command, request.payload);
    try {
      return formatOutput(command, await handler.run(input, call));
    } catch (error) {
      if (!deadline.aborted) throw error;
      throw new GridError(
        'command_deadline',
        { command: command.name, deadlineMs: COMMAND_DEADLINE_MS },
        { cause: error },
      );
    }
  }
}

/** What a module said, as the error table has it; texts of unknown failures pass unchanged. */
function toGridError(error: unknown, command: string): GridError {
  if (isGridError(error)) return error;
  if (error instanceof ZbusError) {
    const module = error.call?.split('.')[0] ?? 'unknown';
    const revived = error.remote === undefined ? undefined : reviveError(error.remote.code, error.remote.details);
    if (revived !== undefined) return revived;
    switch (error.kind) {
      case 'call_failed':
        return new GridError('module_failed', { module, reason: error.message }, { cause: error });
      case 'no_such_module':
        return new GridError('bus_module_missing', { module }, { cause: error });
      case 'bus_lost':
        return new GridError('bus_lost', { module }, { cause: error });
      case 'busy':
      case 'deadline':
      case 'cancelled':
        return new GridError('bus_module_busy', { module, reason: error.message }, { cause: error });
      case 'protocol':
        return new GridError('module_failed', { module, reason: error.message }, { cause: error });
    }
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new GridError('command_failed', { command, reason }, { cause: error });
}
