/**
 * One definition of a zbus object. From it come the server's dispatch, the
 * typed client, the codec and the documentation.
 */
import type { Infer, Wire } from './wire.ts';

/**
 * Which calls of an object may run side by side.
 * - `read`: beside everything;
 * - `object`: one at a time in the object (the default);
 * - an argument's name, or a path into it (`vm.Name`): one at a time for equal values.
 */
export type Order = 'read' | 'object' | { readonly by: string };

export interface MethodDefinition {
  readonly args: Readonly<Record<string, Wire>>;
  /** Return values without Go's `error`. */
  readonly returns: readonly Wire[];
  /** Whether the Go method returns an `error`. */
  readonly fails: boolean;
  readonly order?: Order;
  /** Name of the last argument where it is variadic: its values travel as elements of their own. */
  readonly variadic?: string;
  /** One line for the generated documentation. */
  readonly doc?: string;
}

export interface InterfaceDefinition {
  readonly module: string;
  readonly object: string;
  readonly version: string;
  readonly methods: Readonly<Record<string, MethodDefinition>>;
  readonly streams: Readonly<Record<string, Wire>>;
}

export function defineInterface<const D extends InterfaceDefinition>(definition: D): D {
  return definition;
}

type ArgsOf<M extends MethodDefinition> = {
  [K in keyof M['args']]: M extends { readonly variadic: K } ? Array<Infer<M['args'][K]>> : Infer<M['args'][K]>;
};

type ReturnOf<R extends readonly Wire[]> = R extends readonly []
  ? // biome-ignore lint/suspicious/noConfusingVoidType: what a method without results returns.
    void
  : R extends readonly [infer One]
    ? Infer<One>
    : { -readonly [K in keyof R]: Infer<R[K]> };

/** What a running call knows beside its arguments. */
export interface CallContext {
  /** Aborted when the caller gives up or its deadline passes, and when the server's time to stop is over. */
  readonly signal: AbortSignal;
  /** Correlation id that came with the call, or a new one. */
  readonly trace: string;
}

export interface CallOptions {
  /** Milliseconds until the call is given up; every call has a deadline. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** The handlers that serve an interface. */
export type Service<D extends InterfaceDefinition> = {
  [K in keyof D['methods']]: (
    args: ArgsOf<D['methods'][K]>,
    context: CallContext,
  ) => Promise<ReturnOf<D['methods'][K]['returns']>> | ReturnOf<D['methods'][K]['returns']>;
} & {
  /** Each stream is an async generator, started once by the server. */
  readonly [K in keyof D['streams'] as `${string & K}$`]?: (
    signal: AbortSignal,
  ) => AsyncIterable<Infer<D['streams'][K]>>;
};

/** The typed client of an interface. Every method throws `ZbusError`. */
export type Client<D extends InterfaceDefinition> = {
  [K in keyof D['methods']]: (
    args: ArgsOf<D['methods'][K]>,
    options?: CallOptions,
  ) => Promise<ReturnOf<D['methods'][K]['returns']>>;
};

export type StreamValue<D extends InterfaceDefinition, K extends keyof D['streams']> = Infer<D['streams'][K]>;
