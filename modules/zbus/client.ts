/** Calls, streams and status of modules on the bus. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { type BusLog, closeConnection, openConnection, parseBroker, silentLog, whenReady } from './broker.ts';
import { decode, decodeFrom, encode } from './codec.ts';
import type { CallOptions, Client, InterfaceDefinition, MethodDefinition, StreamValue } from './definition.ts';
import { WireError, within, ZbusError } from './errors.ts';
import { encodeRequest, queueName, type Response, STATUS_OBJECT, Status } from './frames.ts';
import { Reader } from './reader.ts';
import { Replies, type Waiting } from './replies.ts';
import { Subscriptions } from './subscriptions.ts';
import { currentTrace, newTrace } from './trace.ts';

export interface ZbusClientOptions {
  /** `unix:///path/to/redis.sock` or `tcp://host:port`. */
  readonly broker: string;
  readonly log?: BusLog;
  /** Milliseconds for calls that name no deadline. */
  readonly deadlineMs?: number;
}

export interface StatusOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

const CALL_DEADLINE_MS = 60_000;
const STATUS_DEADLINE_MS = 3_000;
const CONNECT_DEADLINE_MS = 5_000;
const WITHDRAW_DEADLINE_MS = 1_000;
/** How long a call may lie in its queue before the module is asked whether it lives. */
const PROBE_AFTER_MS = 250;
const PROBE_AGAIN_MS = 5_000;
const STATUS_VALID_MS = 2_000;

interface Order {
  readonly module: string;
  readonly object: { readonly Name: string; readonly Version: string };
  readonly method: string;
  readonly inputs: readonly Uint8Array[];
  readonly name: string;
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

export class ZbusClient {
  readonly #log: BusLog;
  readonly #address: ReturnType<typeof parseBroker>;
  readonly #deadlineMs: number;
  readonly #replies: Replies;
  readonly #subscriptions: Subscriptions;
  readonly #known = new Map<string, { at: number; alive: Promise<boolean> }>();
  #sender: Redis | undefined;
  #closed = false;

  constructor(options: ZbusClientOptions) {
    this.#log = options.log ?? silentLog;
    this.#address = parseBroker(options.broker);
    this.#deadlineMs = options.deadlineMs ?? CALL_DEADLINE_MS;
    this.#replies = new Replies(this.#address, this.#log);
    this.#subscriptions = new Subscriptions(this.#address, this.#log);
  }

  /** The typed client of one object. Its methods throw `ZbusError`. */
  of<D extends InterfaceDefinition>(definition: D): Client<D> {
    const methods = Object.entries(definition.methods).map(([name, method]) => [
      name,
      (args: Record<string, unknown>, options?: CallOptions) =>
        this.#callMethod(definition, name, method, args, options ?? {}),
    ]);
    return Object.fromEntries(methods) as Client<D>;
  }

  /**
   * Events of a stream from now on; there is no replay. Lives through losses
   * of the broker (events of that time are missing) until the signal aborts.
   */
  stream<D extends InterfaceDefinition, K extends keyof D['streams'] & string>(
    definition: D,
    name: K,
    options: { signal?: AbortSignal } = {},
  ): AsyncIterableIterator<StreamValue<D, K>> {
    const wire = definition.streams[name];
    if (wire === undefined) throw new ZbusError('protocol', `${definition.object} has no stream ${name}`);
    const channel = `${queueName(definition.module, { Name: definition.object, Version: definition.version })}.${name}`;
    const events = this.#subscriptions.listen(channel, (payload) => decode(wire, payload), options.signal);
    return events as AsyncIterableIterator<StreamValue<D, K>>;
  }

  /** What a module serves and what its workers do. @throws ZbusError `no_such_module` when it is silent */
  async status(module: string, options: StatusOptions = {}): Promise<Status> {
    const response = await this.#send({
      module,
      object: STATUS_OBJECT,
      method: '',
      inputs: [],
      name: `${module} status`,
      deadlineMs: options.deadlineMs ?? STATUS_DEADLINE_MS,
      signal: options.signal,
    });
    return readAnswer(`${module} status`, () => decode(Status, response.data ?? new Uint8Array(0)));
  }

  /** Ends every call and stream and leaves nothing of this client on the broker. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#replies.close();
    this.#subscriptions.close();
    if (this.#sender?.status === 'ready') await this.#sender.del(this.#replies.list).catch(() => undefined);
    closeConnection(this.#sender);
  }

  async #callMethod(
    definition: InterfaceDefinition,
    name: string,
    method: MethodDefinition,
    args: Record<string, unknown>,
    options: CallOptions,
  ): Promise<unknown> {
    const object = { Name: definition.object, Version: definition.version };
    const call = `${queueName(definition.module, object)}.${name}`;
    const response = await this.#send({
      module: definition.module,
      object,
      method: name,
      inputs: encodeInputs(call, method, args),
      name: call,
      deadlineMs: options.deadlineMs ?? this.#deadlineMs,
      signal: options.signal,
    });
    if (response.protocolError !== undefined) {
      throw new ZbusError('protocol', `${call}: ${response.protocolError}`, { call });
    }
    if (response.callError !== undefined) {
      const { message, remote } = response.callError;
      throw new ZbusError('call_failed', message, { call, remote });
    }
    return readAnswer(call, () => decodeReturns(method, response.data));
  }

  async #send(order: Order): Promise<Response> {
    const started = performance.now();
    const waitedMs = (): number => Math.round(performance.now() - started);
    if (this.#closed)
      throw new ZbusError('cancelled', `${order.name}: this bus client is closed`, { call: order.name });
    if (order.signal?.aborted) {
      throw new ZbusError('cancelled', `${order.name}: given up before it was sent`, { call: order.name, waitedMs: 0 });
    }
    this.#sender ??= openConnection(this.#address, 'calls', this.#log);
    const sender = this.#sender;
    await whenReady(sender, Math.min(order.deadlineMs, CONNECT_DEADLINE_MS), order.signal).catch((error: unknown) => {
      throw inCall(order.name, waitedMs(), error);
    });

    const id = randomUUID();
    const payload = encodeRequest({
      id,
      inputs: order.inputs,
      object: order.object,
      replyTo: this.#replies.list,
      method: order.method,
      trace: currentTrace() ?? newTrace(),
      deadline: Date.now() + order.deadlineMs - waitedMs(),
    });
    const queue = queueName(order.module, order.object);
    const waiting = this.#replies.expect(id);
    const isStatus = order.object === STATUS_OBJECT;
    let silent = isStatus;

    const giveUp = (kind: 'deadline' | 'cancelled'): void => {
      const end = (withdrawn: boolean): void =>
        waiting.reject(refusal(order.name, kind, { withdrawn, silent, waitedMs: waitedMs() }));
      this.#withdraw(queue, payload).then(end, () => end(false));
    };
    const onAbort = (): void => giveUp('cancelled');
    const timer = setTimeout(() => giveUp('deadline'), Math.max(0, order.deadlineMs - waitedMs()));
    const probe = isStatus
      ? undefined
      : setTimeout(
          () => {
            this.#probe(order, queue, payload, waiting, (isSilent) => {
              silent = isSilent;
            }).catch((error: unknown) =>
              this.#log.debug({ reason: String(error), call: order.name }, 'could not probe'),
            );
          },
          Math.min(PROBE_AFTER_MS, order.deadlineMs / 3),
        );
    order.signal?.addEventListener('abort', onAbort, { once: true });
    sender.rpush(queue, payload).catch((cause: unknown) => {
      waiting.reject(
        new ZbusError(
          'bus_lost',
          `${order.name}: the broker was lost while the call was sent; it may or may not run, check before repeating it`,
          { call: order.name, waitedMs: waitedMs(), cause },
        ),
      );
    });
    try {
      return await waiting.answer;
    } catch (error) {
      throw inCall(order.name, waitedMs(), error);
    } finally {
      clearTimeout(timer);
      clearTimeout(probe);
      order.signal?.removeEventListener('abort', onAbort);
      this.#replies.forget(id);
    }
  }

  /** Takes a call back that nobody has taken yet. */
  async #withdraw(queue: string, payload: Buffer): Promise<boolean> {
    const sender = this.#sender;
    if (sender?.status !== 'ready') return false;
    const timeout = new Promise<number>((resolve) => setTimeout(resolve, WITHDRAW_DEADLINE_MS, 0).unref());
    const removed = await Promise.race([sender.lrem(queue, 1, payload).catch(() => 0), timeout]);
    return removed === 1;
  }

  /** Tells a module that is down from one that is busy, while a call lies in its queue. */
  async #probe(
    order: Order,
    queue: string,
    payload: Buffer,
    waiting: Waiting,
    note: (silent: boolean) => void,
  ): Promise<void> {
    const started = performance.now() - Math.min(PROBE_AFTER_MS, order.deadlineMs / 3);
    while (!waiting.settled && !this.#closed) {
      const place = await this.#sender?.call('LPOS', queue, payload);
      const queued = place !== null && place !== undefined;
      note(queued);
      if (queued && !waiting.settled) {
        const alive = await this.#isAlive(order.module);
        if (!alive && !waiting.settled && (await this.#withdraw(queue, payload))) {
          const waitedMs = Math.round(performance.now() - started);
          waiting.reject(refusal(order.name, 'deadline', { withdrawn: true, silent: true, waitedMs }));
          return;
        }
        note(!alive);
      }
      await new Promise((resolve) => setTimeout(resolve, PROBE_AGAIN_MS).unref());
    }
  }

  #isAlive(module: string): Promise<boolean> {
    const known = this.#known.get(module);
    if (known !== undefined && performance.now() - known.at < STATUS_VALID_MS) return known.alive;
    const alive = this.status(module).then(
      () => true,
      (error: unknown) => !(error instanceof ZbusError && error.kind === 'no_such_module'),
    );
    const entry = { at: Number.POSITIVE_INFINITY, alive };
    this.#known.set(module, entry);
    // Valid from the moment the answer is known; shared while it is not.
    return alive.finally(() => {
      entry.at = performance.now();
    });
  }
}

/** An error of the connection, told as the error of one call. */
function inCall(call: string, waitedMs: number, error: unknown): unknown {
  if (!(error instanceof ZbusError) || error.call !== undefined) return error;
  const { kind, message, cause } = error;
  return new ZbusError(kind, `${call}: ${message} (after ${waitedMs} ms)`, { call, waitedMs, cause });
}

function refusal(
  call: string,
  kind: 'deadline' | 'cancelled',
  found: { withdrawn: boolean; silent: boolean; waitedMs: number },
): ZbusError {
  const { withdrawn, silent, waitedMs } = found;
  const context = { call, waitedMs };
  if (kind === 'cancelled') {
    const effect = withdrawn ? 'the call was withdrawn and will not run' : 'the call was already taken and may finish';
    return new ZbusError('cancelled', `${call}: given up by the caller after ${waitedMs} ms; ${effect}`, context);
  }
  if (!withdrawn) {
    return new ZbusError(
      'deadline',
      `${call}: no answer within ${waitedMs} ms; the call was taken and may still finish, check before repeating it`,
      context,
    );
  }
  if (silent) {
    return new ZbusError(
      'no_such_module',
      `${call}: nothing took the call for ${waitedMs} ms and the module does not answer its status;` +
        ' the call was withdrawn and will not run, check that the module is running',
      context,
    );
  }
  return new ZbusError(
    'busy',
    `${call}: the module lives but did not take the call within ${waitedMs} ms;` +
      ' the call was withdrawn and will not run, try again later or with a longer deadline',
    context,
  );
}

function encodeInputs(call: string, method: MethodDefinition, args: Record<string, unknown>): Uint8Array[] {
  const inputs: Uint8Array[] = [];
  try {
    for (const [name, wire] of Object.entries(method.args)) {
      const values = name === method.variadic ? (args[name] as unknown[]) : [args[name]];
      for (const value of values) inputs.push(encodeArgument(name, () => encode(wire, value)));
    }
  } catch (cause) {
    throw new ZbusError('protocol', `${call}: ${(cause as Error).message}; the call was not sent`, { call, cause });
  }
  return inputs;
}

function encodeArgument(name: string, work: () => Uint8Array): Uint8Array {
  try {
    return work();
  } catch (error) {
    throw within(name, error);
  }
}

/** The value, the tuple of values, or nothing, as the method returns them. */
export function decodeReturns(method: MethodDefinition, data: Uint8Array | null): unknown {
  const [only, ...more] = method.returns;
  if (only === undefined) return undefined;
  const bytes = data ?? new Uint8Array(0);
  if (more.length === 0) return decode(only, bytes);
  const reader = new Reader(bytes);
  const length = reader.arrayLength();
  return method.returns.map((wire, index) => {
    if (index < length) return decodeFrom(reader, wire, false);
    throw new WireError(`${length} return values where ${method.returns.length} are expected`);
  });
}

function readAnswer<T>(call: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const message = `${call}: the answer cannot be read (${(cause as Error).message}); module and caller disagree on its type`;
    throw new ZbusError('protocol', message, { call, cause });
  }
}
