/** Methods that break things. Served to loopback clients of a chain that was started for it. */
import { z } from 'zod';
import { ControlError } from '../chain.ts';
import { system } from '../description/system.ts';
import type { AdminContext, AdminMethod } from './admin.ts';
import { asRoot } from './as-root.ts';
import type { Notices } from './notices.ts';
import { RpcError } from './session.ts';

/** What faults need of the server. */
export interface FaultyServer {
  readonly notices: Notices;
  /** Ends every subscription without a word; its socket stays. */
  readonly endSubscriptions: () => number;
  /** Milliseconds that every other answer waits; -1 for ever. */
  readonly delayAnswers: (milliseconds: number) => void;
  /** Milliseconds in which new connections end at once. */
  readonly refuseConnections: (milliseconds: number) => void;
}

const MINUTES_MS = 600_000;
const milliseconds = z.int().min(0).max(MINUTES_MS);
const names = z.enum([
  'chain_newHead',
  'chain_allHead',
  'chain_finalizedHead',
  'state_storage',
  'state_runtimeVersion',
]);

const Reorg = z.strictObject({
  depth: z.int().positive().max(2400),
  transactions: z.enum(['kept', 'dropped']).default('kept'),
});
const Stall = z.strictObject({ blocks: z.boolean().optional(), finality: z.boolean().optional() });
const LosingOf = z.strictObject({ name: names, count: z.int().positive().max(1_000_000) });

function controlled<T>(control: () => T): T {
  try {
    return control();
  } catch (error) {
    if (error instanceof ControlError) throw new RpcError(-32000, error.message);
    throw error;
  }
}

const block = (params: readonly unknown[]): number => z.int().nonnegative().parse(params[0]);

export const faultMethods: {
  readonly [name: string]: (context: AdminContext & FaultyServer, params: readonly unknown[]) => unknown;
} = {
  /** `{ depth, transactions?: 'kept' | 'dropped' }`; the new head's hash. */
  dev_reorg: ({ chain }, params) => {
    const { depth, transactions } = Reorg.parse(params[0]);
    return controlled(() => chain.reorg(depth, transactions).hash);
  },
  /** `{ blocks?, finality? }`: what stands still, and what goes on. */
  dev_stall: ({ chain }, params) => {
    const { blocks, finality } = Stall.parse(params[0]);
    if (finality !== undefined) chain.setFinality({ held: finality });
    if (blocks !== undefined) chain.setPaused(blocks);
    return true;
  },
  /** Blocks that finality stays behind the head. */
  dev_finalityLag: ({ chain }, params) => {
    chain.setFinality({ lagBlocks: block(params) });
    return true;
  },
  /** Makes everything up to a block final, whatever holds it; the final block's hash. */
  dev_finalize: ({ chain }, params) => {
    chain.finalize(block(params));
    return chain.finalized.hash;
  },
  /** States of blocks before this number are gone. */
  dev_discardStates: ({ chain }, params) => {
    controlled(() => chain.discardStates(block(params)));
    return true;
  },
  /** A new runtime with the next block; its version. */
  dev_upgradeRuntime: async (context) => {
    await asRoot(context, ({ state, emit }) => {
      const { spec_version = 0, spec_name = '' } = state.read(system.storage.LastRuntimeUpgrade) ?? {};
      state.write(system.storage.LastRuntimeUpgrade, [], { spec_version: spec_version + 1, spec_name });
      emit(system, 'CodeUpdated');
    });
    return context.chain.specVersionAt(context.chain.head);
  },
  /** `{ name, count }`: the next `count` notifications of that name reach nobody. */
  dev_loseNotifications: ({ notices }, params) => {
    const { name, count } = LosingOf.parse(params[0]);
    notices.lose(name, count);
    return true;
  },
  /** The next notification of that name comes after the one that follows it. */
  dev_swapNotifications: ({ notices }, params) => {
    notices.swap(names.parse(params[0]));
    return true;
  },
  /** `[contract, …]`: calls with a report on one of these are refused; none ends that. */
  dev_refuseReports: ({ chain }, params) => {
    const refusedReports = z.array(z.int().positive()).max(1000).parse(params[0]);
    chain.setBilling({ refusedReports });
    return true;
  },
  dev_endSubscriptions: ({ endSubscriptions }) => endSubscriptions(),
  /** Milliseconds that answers wait; -1: none is given and nothing is notified, though sockets stay. */
  dev_delayAnswers: ({ delayAnswers, notices }, params) => {
    const delay = z.union([z.literal(-1), milliseconds]).parse(params[0]);
    delayAnswers(delay);
    notices.mute = delay === -1;
    return true;
  },
  /** Ends every connection and refuses new ones for so many milliseconds. */
  dev_refuseConnections: ({ refuseConnections, dropSockets }, params) => {
    refuseConnections(milliseconds.parse(params[0]));
    return dropSockets();
  },
};

/** Answers the fault methods of a chain without them. */
export const noFaults: AdminMethod = () => {
  throw new RpcError(-32000, 'this chain was started without --faults');
};
