/**
 * The bus within one process, with the turns, errors and losses of the real one. A module that is away
 * is waited for; a call that its process had taken when it died is answered by the next one, as not finished.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ZbusClient } from '../../../modules/zbus/client.ts';
import type { CallOptions, InterfaceDefinition, MethodDefinition, Service } from '../../../modules/zbus/definition.ts';
import { remoteOf } from '../../../modules/zbus/dispatch.ts';
import { INTERRUPTED, ZbusError, type ZbusErrorKind } from '../../../modules/zbus/errors.ts';
import { Lanes, type Turn } from '../../../modules/zbus/order.ts';
import type { ZbusServer } from '../../../modules/zbus/server.ts';
import { Channel } from '../../../provision/channel.ts';
import type { Fault, Faults } from './faults.ts';
import { Dead, type Life } from './life.ts';

/** Milliseconds that a call waits for a module that is away. */
const PATIENCE_MS = 15;
const EVENTS_KEPT = 1_000;
const DEAF_MS = 5;
/** Milliseconds after which who waits for a daemon that hangs has waited long enough. */
const HANG_MS = 4;

const CLOCK: readonly Fault[] = ['hour-back', 'day-forward'];

interface Served {
  readonly service: Readonly<Record<string, unknown>>;
  readonly lanes: Lanes;
}

interface Module {
  readonly life: Life;
  readonly objects: Map<string, Served>;
}

/** A call under way. */
class Pending {
  readonly call: string;
  readonly #answer = Promise.withResolvers<unknown>();
  readonly #givenUp = new AbortController();
  /** Whether the daemon has it; until then the broker does. */
  isTaken = false;
  /** It went with the broker. */
  isGone = false;

  constructor(call: string) {
    this.call = call;
    this.#answer.promise.catch(() => undefined);
  }

  get answer(): Promise<unknown> {
    return this.#answer.promise;
  }

  /** Aborted when the caller does not wait any more and said so. */
  get givenUp(): AbortSignal {
    return this.#givenUp.signal;
  }

  resolve(value: unknown): void {
    this.#answer.resolve(value);
  }

  reject(error: Error): void {
    this.#answer.reject(error);
  }

  fail(kind: ZbusErrorKind, message: string): void {
    this.reject(new ZbusError(kind, `${this.call}: ${message}`, { call: this.call, waitedMs: 0 }));
  }

  giveUp(kind: 'deadline' | 'cancelled'): void {
    this.fail(kind, 'given up by its caller');
    this.#givenUp.abort();
  }
}

export class Bus {
  readonly #faults: Faults;
  readonly #modules = new Map<string, Module>();
  readonly #listeners = new Set<{ readonly channel: string; readonly events: Channel<unknown> }>();
  readonly #pending = new Set<Pending>();
  readonly #current = new AsyncLocalStorage<Pending>();
  #arrivals = Promise.withResolvers<void>();
  #deafUntil = 0;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  /** Calls that run or wait to. */
  get underWay(): number {
    return this.#pending.size;
  }

  /** The part of a server that registers objects; `open` has them answer. */
  server(life: Life): { readonly server: ZbusServer; readonly open: (module: string) => void } {
    const objects = new Map<string, Served>();
    const serve = <D extends InterfaceDefinition>(definition: D, service: Service<D>): void => {
      objects.set(nameOf(definition), { service: service as never, lanes: new Lanes() });
    };
    const open = (module: string): void => {
      if (life.isOver) return;
      this.#modules.set(module, { life, objects });
      this.#arrivals.resolve();
      this.#arrivals = Promise.withResolvers();
    };
    return { server: { serve } as unknown as ZbusServer, open };
  }

  client(life: Life): ZbusClient {
    const of = (definition: InterfaceDefinition): unknown =>
      Object.fromEntries(
        Object.keys(definition.methods).map((method) => [
          method,
          (args: Record<string, unknown>, options?: CallOptions) =>
            this.#call(life, definition, method, args, options ?? {}),
        ]),
      );
    const stream = (definition: InterfaceDefinition, name: string, { signal }: { signal?: AbortSignal } = {}) =>
      this.#listen(life, `${definition.module}.${name}`, signal);
    return { of, stream } as unknown as ZbusClient;
  }

  /** Tells those who listen now. */
  publish(definition: InterfaceDefinition, stream: string, event: unknown): void {
    if (performance.now() < this.#deafUntil) return;
    for (const { channel, events } of this.#listeners) {
      if (channel === `${definition.module}.${stream}`) events.push(event);
    }
  }

  /** Every caller's connection ends; what was taken runs on. Events of the next moment are heard by nobody. */
  lose(): void {
    this.#deafUntil = performance.now() + DEAF_MS;
    for (const pending of this.#pending) pending.fail('bus_lost', 'the connection to the broker was lost');
  }

  /** The broker is gone, and with it every call that nobody had taken. */
  forget(): void {
    for (const pending of this.#pending) pending.isGone = !pending.isTaken;
    this.lose();
  }

  /** The deadline of the call that runs here passes. */
  expire(): void {
    this.#current.getStore()?.giveUp('deadline');
  }

  async *#listen(life: Life, channel: string, signal?: AbortSignal): AsyncGenerator<unknown> {
    const events = new Channel<unknown>(EVENTS_KEPT);
    const listener = { channel, events };
    this.#listeners.add(listener);
    try {
      yield* events.read(signal === undefined ? life.ended : AbortSignal.any([life.ended, signal]));
    } finally {
      this.#listeners.delete(listener);
    }
  }

  async #call(
    life: Life,
    definition: InterfaceDefinition,
    method: string,
    args: Record<string, unknown>,
    { signal }: CallOptions,
  ): Promise<unknown> {
    life.check();
    const pending = new Pending(`${definition.module}.${method} ${subject(args)}`);
    const cancel = (): void => pending.giveUp('cancelled');
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    const die = (): void => pending.reject(new Dead());
    life.ended.addEventListener('abort', die, { once: true });
    try {
      const fault = this.#pass('sent', life, definition, pending);
      life.check();
      if (fault === 'call-lost') pending.fail('bus_lost', 'the call may have been lost');
      else if (!pending.givenUp.aborted)
        this.#serve(life, definition, method, args, pending).catch((error: unknown) => pending.reject(error as Error));
      return await pending.answer;
    } finally {
      signal?.removeEventListener('abort', cancel);
      life.ended.removeEventListener('abort', die);
    }
  }

  /** Runs a call to its end, whoever still waits for it; never rejects. */
  async #serve(
    caller: Life,
    definition: InterfaceDefinition,
    method: string,
    args: Record<string, unknown>,
    pending: Pending,
  ): Promise<void> {
    this.#pending.add(pending);
    try {
      const module = await this.#module(definition.module);
      const served = module?.objects.get(nameOf(definition));
      if (module === undefined || served === undefined) {
        pending.fail('no_such_module', 'nothing serves it');
        return;
      }
      const over = new Promise<'over'>((resolve) => {
        if (module.life.isOver) resolve('over');
        else module.life.ended.addEventListener('abort', () => resolve('over'), { once: true });
      });
      if (
        (await Promise.race([over, this.#run(caller, module, served, definition, method, args, pending)])) !== 'over'
      ) {
        return;
      }
      await this.#module(definition.module);
      const reason = 'server restarted before the call was finished';
      const remote = { code: INTERRUPTED, details: { reason } };
      pending.reject(new ZbusError('call_failed', reason, { call: pending.call, remote }));
    } finally {
      this.#pending.delete(pending);
    }
  }

  /** `over` when the process died meanwhile. */
  async #run(
    caller: Life,
    { life }: Module,
    { service, lanes }: Served,
    definition: InterfaceDefinition,
    method: string,
    args: Record<string, unknown>,
    pending: Pending,
  ): Promise<'over' | undefined> {
    const leave = await lanes.enter(turnOf(definition.methods[method], args));
    try {
      if (pending.givenUp.aborted || pending.isGone) return undefined;
      const taken = this.#pass('taken', caller, definition, pending);
      pending.isTaken = true;
      if (life.isOver) return 'over';
      if (taken === 'hang') {
        await sleep(HANG_MS);
        pending.giveUp('deadline');
        return undefined;
      }
      const handler = service[method] as (args: unknown, context: unknown) => unknown;
      const context = { signal: AbortSignal.any([pending.givenUp, life.ended]), trace: 'fault' };
      const run = (): Promise<unknown> => this.#current.run(pending, async () => handler.call(service, args, context));
      const settle = await run().then(
        (value) => () => pending.resolve(value),
        (error: unknown) => () => pending.reject(acrossBus(pending.call, error)),
      );
      if (life.isOver) return 'over';
      if (taken === 'twice') await run().catch(() => undefined);
      if (life.isOver) return 'over';
      const fault = this.#pass('ran', caller, definition, pending);
      if (life.isOver) return 'over';
      if (fault === 'answer-lost') pending.fail('bus_lost', 'the answer may have been lost');
      else settle();
      return undefined;
    } finally {
      leave();
    }
  }

  #pass(moment: 'sent' | 'taken' | 'ran', caller: Life, { module }: InterfaceDefinition, { call }: Pending) {
    if (caller.name === 'watcher') return undefined;
    const mortal: Fault[] = caller.name === 'tenant' || caller.name === 'provisiond' ? [] : ['kill-caller'];
    const faults: Record<typeof moment, readonly Fault[]> = {
      sent: ['kill-provisiond', 'kill-redis', 'call-lost', ...mortal],
      taken: ['kill-provisiond', 'kill-server', 'kill-redis', 'power', 'twice', 'hang', ...CLOCK, ...mortal],
      ran: ['kill-provisiond', 'kill-server', 'power', 'bus-lost', 'answer-lost', 'cancel', 'grace', ...mortal],
    };
    const site = {
      name: `${caller.name} ${call} ${moment}`,
      faults: faults[moment],
      server: module,
      caller: caller.name,
    };
    return this.#faults.at(site);
  }

  /** The module, waited for as long as callers wait for one that is silent. */
  async #module(name: string): Promise<Module | undefined> {
    const patience = sleep(PATIENCE_MS).then(() => true);
    for (;;) {
      const found = this.#modules.get(name);
      if (found !== undefined && !found.life.isOver) return found;
      const isOver = await Promise.race([patience, this.#arrivals.promise.then(() => false)]);
      if (isOver) return undefined;
    }
  }
}

function nameOf({ module, object, version }: InterfaceDefinition): string {
  return `${module}.${object}@${version}`;
}

function turnOf(method: MethodDefinition | undefined, args: unknown): Turn {
  const order = method?.order ?? 'object';
  if (typeof order === 'string') return order;
  return { key: String(order.by.split('.').reduce((value, part) => (value as Record<string, unknown>)[part], args)) };
}

/** What a call is about, in a word. */
function subject(args: Record<string, unknown>): string {
  const { name, wl, networkID, id, contractID, vm } = args as Record<string, { Name?: string } | string | undefined>;
  const found = name ?? wl ?? id ?? contractID ?? networkID ?? (vm as { Name?: string } | undefined)?.Name;
  return found === undefined ? '-' : String(found);
}

function acrossBus(call: string, error: unknown): Error {
  const remote = remoteOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return new ZbusError('call_failed', message, { call, ...(remote === undefined ? {} : { remote }) });
}
