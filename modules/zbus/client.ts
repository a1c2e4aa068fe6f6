/** Calls, streams and status of modules on the bus. */
import { randomUUID } from 'node:crypto';
import { type BusLog, closeConnection, parseBroker, silentLog, whenReady } from './broker.ts';
import { decodeReturns, encodeInputs, readAnswer } from './call-values.ts';
import { cancelChannel } from './cancels.ts';
import { decode } from './codec.ts';
import type { CallOptions, Client, InterfaceDefinition, MethodDefinition, StreamValue } from './definition.ts';
import { ZbusError } from './errors.ts';
import {
  encodeRequest,
  METRICS_METHOD,
  objectName,
  queueName,
  type Response,
  STATUS_OBJECT,
  Status,
  textOfMetrics,
} from './frames.ts';
import { FRAME_MOST_BYTES } from './limits.ts';
import { type Line, openLine } from './line.ts';
import { inCall, notSent, notServed, refusal, refusedBy, tooLarge } from './refusals.ts';
import { Replies, type Waiting } from './replies.ts';
import { ReplyPool } from './reply-pool.ts';
import type { Reply } from './resp.ts';
import { type Followed, Subscriptions } from './subscriptions.ts';
import { type BusMeter, outcomeOf } from './telemetry/meter.ts';
import { currentTrace, newTrace, span } from './trace.ts';

export interface ZbusClientOptions {
  /** `unix:///path/to/redis.sock` or `tcp://host:port`. */
  readonly broker: string;
  readonly log?: BusLog;
  /** Milliseconds for calls that name no deadline. */
  readonly deadlineMs?: number;
  /**
   * Modules of libraries that push each answer to a list named after the call:
   * a connection is held for each call to them, and they are not probed.
   */
  readonly replyPerCall?: readonly string[];
  /** Told of every call. */
  readonly meter?: BusMeter;
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
  /** Of the caller, where one is kept. */
  readonly span?: string | undefined;
}

/** A call that is under way. */
interface Sent {
  readonly module: string;
  readonly queue: string;
  readonly payload: Buffer;
  /** Whether the broker has it; settled when that is known. */
  readonly taken: Promise<boolean>;
}

export class ZbusClient {
  readonly #log: BusLog;
  readonly #address: ReturnType<typeof parseBroker>;
  readonly #deadlineMs: number;
  readonly #meter: BusMeter | undefined;
  readonly #replies: Replies;
  readonly #subscriptions: Subscriptions;
  readonly #replyPool: ReplyPool;
  readonly #replyPerCall: ReadonlySet<string>;
  readonly #known = new Map<string, { at: number; found: Promise<Found> }>();
  /** Calls sent and not ended, by id. */
  readonly #underWay = new Map<string, Sent>();
  #sender: Line | undefined;
  #closed = false;

  constructor(options: ZbusClientOptions) {
    this.#log = options.log ?? silentLog;
    this.#address = parseBroker(options.broker);
    this.#deadlineMs = options.deadlineMs ?? CALL_DEADLINE_MS;
    this.#meter = options.meter;
    this.#replies = new Replies(this.#address, this.#log);
    this.#subscriptions = new Subscriptions(this.#address, this.#log);
    this.#replyPool = new ReplyPool(this.#address, this.#log);
    this.#replyPerCall = new Set(options.replyPerCall);
  }

  /** The typed client of one object. Its methods throw `ZbusError`. */
  of<D extends InterfaceDefinition>(definition: D): Client<D> {
    const methods = Object.entries(definition.methods).map(([name, method]) => [
      name,
      (args: Record<string, unknown>, options?: CallOptions) =>
        this.#metered(definition, name, (span) =>
          this.#callMethod(definition, name, method, args, options ?? {}, span),
        ),
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
    const { channel, read } = streamOf(definition, name);
    const events = this.#subscriptions.listen(channel, read, options.signal);
    return events as AsyncIterableIterator<StreamValue<D, K>>;
  }

  /**
   * A stream whose listener starts from a state: gives what `snapshot` returns,
   * then events, and both again after each loss of the broker. The snapshot is
   * taken once the subscription is in force, so an event may tell what it has
   * already, and none is missed between them. Asks again while the module is
   * away; other errors of `snapshot` end the stream.
   */
  streamWithSnapshot<D extends InterfaceDefinition, K extends keyof D['streams'] & string, S>(
    definition: D,
    name: K,
    snapshot: (signal: AbortSignal) => Promise<S>,
    options: { signal?: AbortSignal } = {},
  ): AsyncIterableIterator<Followed<S, StreamValue<D, K>>> {
    const { channel, read } = streamOf(definition, name);
    const events = this.#subscriptions.follow(channel, read, snapshot, options.signal);
    return events as AsyncIterableIterator<Followed<S, StreamValue<D, K>>>;
  }

  /** What a module serves and what its workers do. @throws ZbusError `no_such_module` when it is silent */
  async status(module: string, options: StatusOptions = {}): Promise<Status> {
    const data = await this.#askStatus(module, '', options);
    return readAnswer(`${module} status`, () => decode(Status, data));
  }

  /**
   * The numbers of a module in the text format of Prometheus; empty where it is of a library that keeps none.
   * @throws ZbusError `no_such_module` when it is silent
   */
  async metrics(module: string, options: StatusOptions = {}): Promise<string> {
    return textOfMetrics(await this.#askStatus(module, METRICS_METHOD, options));
  }

  /** Answered beside everything else a module does. */
  async #askStatus(module: string, method: string, options: StatusOptions): Promise<Uint8Array> {
    const name = `${module} status`;
    const response = await this.#send({
      ...{ module, object: STATUS_OBJECT, method, inputs: [], name },
      deadlineMs: options.deadlineMs ?? STATUS_DEADLINE_MS,
      signal: options.signal,
    });
    if (response.protocolError !== undefined) throw refusedBy(name, response.protocolError);
    return response.data ?? new Uint8Array(0);
  }

  /** Ends every call and stream and leaves nothing of this client on the broker. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all(
      [...this.#underWay].map(async ([id, sent]) => {
        if (!(await this.#withdraw(sent))) this.#tellCancelled(sent.module, id);
      }),
    );
    this.#replies.close();
    this.#replyPool.close();
    this.#subscriptions.close();
    if (this.#sender?.status === 'ready') await this.#sender.send('DEL', this.#replies.list).catch(() => undefined);
    closeConnection(this.#sender);
  }

  /** The call as a span of its request, and as a number. */
  async #metered<T>(definition: InterfaceDefinition, name: string, call: (span?: string) => Promise<T>): Promise<T> {
    const meter = this.#meter;
    const method = `${definition.module}.${definition.object}.${name}`;
    const began = performance.now();
    try {
      const answer = await span(`call ${method}`, { 'rpc.system': 'zbus', 'rpc.method': method }, call, 'client');
      meter?.asked(method, 'ok', (performance.now() - began) / 1000);
      return answer;
    } catch (error) {
      meter?.asked(method, outcomeOf(error), (performance.now() - began) / 1000);
      throw error;
    }
  }

  async #callMethod(
    definition: InterfaceDefinition,
    name: string,
    method: MethodDefinition,
    args: Record<string, unknown>,
    options: CallOptions,
    caller: string | undefined,
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
      span: caller,
    });
    if (response.protocolError !== undefined) throw refusedBy(call, response.protocolError);
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
    this.#sender ??= openLine(this.#address, 'calls', this.#log);
    const sender = this.#sender;
    await whenReady(sender, Math.min(order.deadlineMs, CONNECT_DEADLINE_MS), order.signal).catch((error: unknown) => {
      throw inCall(order.name, waitedMs(), error);
    });

    const id = randomUUID();
    const perCall = this.#replyPerCall.has(order.module);
    const ending = perCall ? new AbortController() : undefined;
    const payload = encodeRequest({
      id,
      inputs: order.inputs,
      object: order.object,
      replyTo: perCall ? id : this.#replies.list,
      method: order.method,
      trace: currentTrace() ?? newTrace(),
      deadline: Date.now() + order.deadlineMs - waitedMs(),
      ...(order.span === undefined ? {} : { span: order.span }),
    });
    if (payload.length > FRAME_MOST_BYTES) throw tooLarge(order.name, payload.length);
    const queue = queueName(order.module, order.object);
    // What emptied the broker until here is nothing to this call.
    this.#replies.look(sender).catch(() => undefined);
    const waiting = ending === undefined ? this.#replies.expect(id) : this.#replyPool.expect(id, ending.signal);
    const pushed = perCall ? sender.push(queue, payload) : this.#replies.push(sender, queue, payload);
    const taken = pushed.then(
      () => true,
      (cause: unknown) => {
        waiting.reject(notSent(order.name, waitedMs(), cause));
        return false;
      },
    );
    const sent = { module: order.module, queue, payload, taken };
    this.#underWay.set(id, sent);
    const isStatus = order.object === STATUS_OBJECT;
    let silent = isStatus;

    const giveUp = (kind: 'deadline' | 'cancelled'): void => {
      const end = (withdrawn: boolean): void => {
        if (!withdrawn && kind === 'cancelled') this.#tellCancelled(order.module, id);
        waiting.reject(refusal(order.name, kind, { withdrawn, silent, waitedMs: waitedMs() }));
      };
      this.#withdraw(sent).then(end, () => end(false));
    };
    const onAbort = (): void => giveUp('cancelled');
    const timer = setTimeout(() => giveUp('deadline'), Math.max(0, order.deadlineMs - waitedMs()));
    const probe =
      isStatus || perCall
        ? undefined
        : setTimeout(
            () => {
              this.#probe(order, sent, waiting, (isSilent) => {
                silent = isSilent;
              }).catch((error: unknown) =>
                this.#log.debug({ reason: String(error), call: order.name }, 'could not probe'),
              );
            },
            Math.min(PROBE_AFTER_MS, order.deadlineMs / 3),
          );
    order.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await waiting.answer;
    } catch (error) {
      throw inCall(order.name, waitedMs(), error);
    } finally {
      clearTimeout(timer);
      clearTimeout(probe);
      order.signal?.removeEventListener('abort', onAbort);
      ending?.abort();
      this.#underWay.delete(id);
      if (!perCall) this.#replies.forget(id);
    }
  }

  /** A module of ours tells the call's handler; others do not listen. */
  #tellCancelled(module: string, id: string): void {
    this.#sender
      ?.send('PUBLISH', cancelChannel(module), id)
      .catch((error: unknown) =>
        this.#log.debug({ reason: String(error), id }, 'the module was not told that its caller gave up'),
      );
  }

  /** Takes a call back that nobody has taken yet. */
  async #withdraw({ queue, payload, taken }: Sent): Promise<boolean> {
    const sender = this.#sender;
    if (sender?.status !== 'ready') return false;
    const timeout = new Promise<Reply>((resolve) => setTimeout(resolve, WITHDRAW_DEADLINE_MS, 0).unref());
    // It left on another connection: what takes it back may not overtake it.
    const removal = taken.then(() => sender.send('LREM', queue, 1, payload)).catch(() => 0);
    return (await Promise.race([removal, timeout])) === 1;
  }

  /** Tells a module that is down from one that is busy, while a call lies in its queue. */
  async #probe(order: Order, sent: Sent, waiting: Waiting, note: (silent: boolean) => void): Promise<void> {
    const started = performance.now() - Math.min(PROBE_AFTER_MS, order.deadlineMs / 3);
    while (!waiting.settled && !this.#closed) {
      const [place] = await Promise.all([
        this.#sender?.send('LPOS', sent.queue, sent.payload),
        this.#sender === undefined ? undefined : this.#replies.look(this.#sender).catch(() => undefined),
      ]);
      const queued = place !== null && place !== undefined;
      note(queued);
      if (queued && !waiting.settled) {
        const found = await this.#look(order.module);
        const alive = found !== 'silent';
        const missing = typeof found === 'object' && !found.objects.has(objectName(order.object));
        if ((!alive || missing) && !waiting.settled && (await this.#withdraw(sent))) {
          const waitedMs = Math.round(performance.now() - started);
          waiting.reject(
            missing
              ? notServed(order.name, waitedMs, found.objects)
              : refusal(order.name, 'deadline', { withdrawn: true, silent: true, waitedMs }),
          );
          return;
        }
        note(!alive);
      }
      await new Promise((resolve) => setTimeout(resolve, PROBE_AGAIN_MS).unref());
    }
  }

  #look(module: string): Promise<Found> {
    const known = this.#known.get(module);
    if (known !== undefined && performance.now() - known.at < STATUS_VALID_MS) return known.found;
    const found = this.status(module).then(
      ({ Objects }): Found => ({ objects: new Set(Objects.map(objectName)) }),
      (error: unknown): Found => (error instanceof ZbusError && error.kind === 'no_such_module' ? 'silent' : 'unclear'),
    );
    const entry = { at: Number.POSITIVE_INFINITY, found };
    this.#known.set(module, entry);
    // Valid from the moment the answer is known; shared while it is not.
    return found.finally(() => {
      entry.at = performance.now();
    });
  }
}

function streamOf(definition: InterfaceDefinition, name: string): { channel: string; read: (from: Buffer) => unknown } {
  const wire = definition.streams[name];
  if (wire === undefined) throw new ZbusError('protocol', `${definition.object} has no stream ${name}`);
  const object = { Name: definition.object, Version: definition.version };
  return { channel: `${queueName(definition.module, object)}.${name}`, read: (payload) => decode(wire, payload) };
}

/** What a module's status object told. */
type Found = 'silent' | 'unclear' | { readonly objects: ReadonlySet<string> };
