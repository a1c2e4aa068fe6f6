/** From a verified request to its answer: name, caller, payload, handler, errors. */
import type { Logger } from 'pino';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { formatOutput, GridError, isGridError, type Limits, parseInput } from '../../schemas/index.ts';
import { DEFAULT_DOOR_LIMITS } from '../door/limits.ts';
import { type Answer, refusalAnswer } from '../rmb/answer.ts';
import { Apart, type Bound, boundsOf, type Kind } from './apart.ts';
import { revived } from './failures.ts';
import type { Call, Handler, Node } from './handler.ts';
import { callerOf, mayCall, type Roles, rememberedFarmer } from './roles.ts';

/** Milliseconds a command may take; existing clients wait 20 s and longer. */
export const COMMAND_DEADLINE_MS = 60_000;
/** Milliseconds the chain may take to say who the farmer is. */
const FARMER_DEADLINE_MS = 10_000;
/** What a handler that was told to stop may still take to say why. */
const GRACE_MS = 2_000;

/** Where in the table a request ended that no handler saw. */
export type TableCheck = 'command' | 'caller' | 'places' | 'schema';

export interface Request {
  readonly command: string;
  readonly payload: Uint8Array;
  readonly twin: number;
}

export interface DispatcherOptions {
  /** By name and by every other spelling. */
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly node: Node;
  readonly limits: () => Limits;
  /** Twins that the operator named as admins, now; none when left out. */
  readonly admins?: () => ReadonlySet<number>;
  readonly log: Logger;
  /** Told once for each request: command, whether it succeeded, seconds it took. */
  readonly onDone?: (command: string, ok: boolean, seconds: number) => void;
  /** Told of each request that no handler saw. */
  readonly onRefused?: (check: TableCheck, refusal: GridError) => void;
  /** Milliseconds a command may take. */
  readonly deadlineMs?: number;
  /** Of commands that take long; by the usual limits of the door when left out. */
  readonly bounds?: Readonly<Record<Kind, Bound>>;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #deadlineMs: number;
  readonly #roles: Roles;
  readonly #apart: Apart;

  constructor(options: DispatcherOptions) {
    const { node, admins = () => new Set<number>() } = options;
    this.#options = options;
    this.#apart = new Apart(options.bounds ?? boundsOf(DEFAULT_DOOR_LIMITS));
    this.#deadlineMs = options.deadlineMs ?? COMMAND_DEADLINE_MS;
    this.#roles = {
      farmer: rememberedFarmer(
        async () => (await node.chain.Node({}, { deadlineMs: FARMER_DEADLINE_MS })).FarmerTwinID,
      ),
      admins,
    };
  }

  /** Answers every request; a failing handler is an error answer, never an exception. */
  async answer(request: Request): Promise<Answer> {
    const startedAt = performance.now();
    const handler = this.#options.handlers.get(request.command);
    // However it is spelled, it counts as one.
    const known = handler === undefined ? 'unknown' : handler.command.name;
    try {
      await this.#checkCaller(request, handler);
      if (handler === undefined)
        this.#refuse('command', new GridError('command_unknown', { command: request.command }));
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
    const { node, limits } = this.#options;
    const deadlineMs = this.#deadlineMs;
    const stopping = new AbortController();
    const { signal } = stopping;
    const late = (cause?: unknown): GridError =>
      new GridError('command_deadline', { command: command.name, deadlineMs }, { cause });
    let timer: NodeJS.Timeout | undefined;
    // A handler that ignores the signal would keep the request's place for ever.
    const givenUp = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        stopping.abort();
        timer = setTimeout(() => reject(late()), GRACE_MS);
      }, deadlineMs);
    });
    try {
      const call = { twin: request.twin, node, limits, signal, deadlineMs };
      return await Promise.race([this.#work(handler, request, call), givenUp]);
    } catch (error) {
      throw signal.aborted && !isGridError(error, 'command_deadline') ? late(error) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #work(handler: Handler, request: Request, call: Call): Promise<string> {
    const leave = this.#enter(handler, request);
    try {
      const input = this.#readInput(handler, request);
      return formatOutput(handler.command, await handler.run(input, call));
    } finally {
      leave();
    }
  }

  #enter({ command }: Handler, { twin }: Request): () => void {
    try {
      return this.#apart.enter(command.name, twin);
    } catch (error) {
      if (isGridError(error)) this.#refuse('places', error);
      throw error;
    }
  }

  async #checkCaller({ command, twin }: Request, handler: Handler | undefined): Promise<void> {
    if (await mayCall(callerOf(command, handler?.command), twin, this.#roles)) return;
    this.#refuse('caller', new GridError('command_unauthorized', { command, twin }));
  }

  #readInput({ command, mayBeEmpty = false }: Handler, { payload }: Request): unknown {
    try {
      return parseInput(command, mayBeEmpty && payload.length === 0 ? 'null' : payload);
    } catch (error) {
      if (isGridError(error)) this.#refuse('schema', error);
      throw error;
    }
  }

  #refuse(check: TableCheck, refusal: GridError): never {
    this.#options.onRefused?.(check, refusal);
    throw refusal;
  }
}

/** What a module said, as the error table has it; texts of unknown failures pass unchanged. */
function toGridError(thrown: unknown, command: string): GridError {
  const error = revived(thrown);
  if (isGridError(error)) return error;
  if (error instanceof ZbusError) {
    const module = error.call?.split('.')[0] ?? 'unknown';
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
  return new GridError('command_failed', { command, reason: error.message }, { cause: error });
}
