/** What a command's handler gets, and how handlers are listed. */
import type { z } from 'zod';
import type { chain } from '../../modules/api-gateway/interface.ts';
import type { flist } from '../../modules/flistd/interface.ts';
import type { network } from '../../modules/networkd/interface.ts';
import type { nodeMachine, performanceMonitor } from '../../modules/noded/interface.ts';
import type { storage } from '../../modules/storaged/interface.ts';
import type { vmd } from '../../modules/vmd/interface.ts';
import type { ZbusClient } from '../../modules/zbus/client.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import type { planner, provision, statistics } from '../../provision/interface.ts';
import type { Command, Limits } from '../../schemas/index.ts';

/** The node's modules as the gateway calls them. */
export interface Node {
  readonly storage: Client<typeof storage>;
  readonly network: Client<typeof network>;
  readonly flist: Client<typeof flist>;
  readonly vmd: Client<typeof vmd>;
  readonly provision: Client<typeof provision>;
  readonly statistics: Client<typeof statistics>;
  readonly planner: Client<typeof planner>;
  readonly chain: Client<typeof chain>;
  readonly machine: Client<typeof nodeMachine>;
  readonly performance: Client<typeof performanceMonitor>;
  /** What a module serves and what its workers do. Throws `ZbusError` when it is silent. */
  readonly status: ZbusClient['status'];
  /** What sets this node apart from one that runs workloads, as `simulated`: told with its version and features. */
  readonly traits: readonly string[];
}

export interface Call {
  /** The twin whose signature was verified; nothing in a payload acts for another. */
  readonly twin: number;
  readonly node: Node;
  /** What the gateway accepts, now. */
  readonly limits: () => Limits;
  readonly signal: AbortSignal;
  /** Milliseconds left for calls to modules. */
  readonly deadlineMs: number;
}

export interface Handler {
  readonly command: Command;
  readonly run: (input: unknown, call: Call) => Promise<unknown>;
  /** Clients send no payload at all where they have nothing to say. */
  readonly mayBeEmpty?: boolean;
}

/** Joins a command's definition with what runs it; input and result follow its schemas. */
export function handle<I extends z.ZodType, O extends z.ZodType>(
  command: Command<I, O>,
  run: (input: z.output<I>, call: Call) => Promise<z.output<O>> | z.output<O>,
  how: Pick<Handler, 'mayBeEmpty'> = {},
): Handler {
  return { ...how, command: command as Command, run: async (input, call) => run(input as z.output<I>, call) };
}
