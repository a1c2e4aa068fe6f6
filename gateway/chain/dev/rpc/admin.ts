/** Methods that play time, governance and a bad network. Served to loopback clients only. */
import { z } from 'zod';
import { tfgrid } from '../description/tfgrid.ts';
import { billAfter, billAllAfter } from '../pallets/billing.ts';
import { refuse } from '../pallets/context.ts';
import { findContract, setGrace } from '../pallets/grace.ts';
import { asRoot } from './as-root.ts';
import type { RpcContext } from './methods.ts';

export interface AdminContext extends RpcContext {
  /** Ends every connection without a word. */
  readonly dropSockets: () => number;
}

export type AdminMethod = (context: AdminContext, params: readonly unknown[]) => unknown;

const Timing = z.object({
  idleBlockMs: z.int().min(100).max(3_600_000).optional(),
  finalityMs: z.int().min(500).max(3_600_000).optional(),
});

const Billing = z.strictObject({
  everySeconds: z.int().min(0).max(31_536_000).optional(),
  graceBlocks: z.int().positive().max(10_000_000).optional(),
});
const Bill = z.strictObject({
  contract: z.int().positive().optional(),
  /** Seconds that pass for the bill besides those that did. */
  seconds: z.int().min(0).max(31_536_000).default(0),
});

const contractId = (params: readonly unknown[]): bigint => BigInt(z.int().positive().parse(params[0]));

const setGraceOf = (context: AdminContext, id: bigint, inGrace: boolean): Promise<string> =>
  asRoot(context, (execution) => setGrace(execution, findContract(execution, id), inGrace));

export const adminMethods: { readonly [name: string]: AdminMethod } = {
  /** `{ idleBlockMs?, finalityMs? }` */
  dev_setTiming: ({ chain }, params) => {
    const { idleBlockMs, finalityMs } = Timing.parse(params[0]);
    chain.setTiming({
      ...(idleBlockMs === undefined ? {} : { idleBlockMs }),
      ...(finalityMs === undefined ? {} : { finalityMs }),
    });
    return true;
  },
  /** Makes a block now. */
  dev_seal: (context) => asRoot(context, () => undefined),
  dev_graceStart: (context, params) => setGraceOf(context, contractId(params), true),
  dev_graceEnd: (context, params) => setGraceOf(context, contractId(params), false),
  /** `{ everySeconds?, graceBlocks? }`: 0 seconds bill nobody, as at the start. */
  dev_setBilling: ({ chain }, params) => {
    const { everySeconds, graceBlocks } = Billing.parse(params[0]);
    chain.setBilling({
      ...(everySeconds === undefined ? {} : { everySeconds }),
      ...(graceBlocks === undefined ? {} : { graceBlocks }),
    });
    return chain.billing;
  },
  /** `{ contract?, seconds? }`: bills one contract, or all, as if so much time had passed; the block's hash. */
  dev_bill: (context, params) => {
    const { contract, seconds } = Bill.parse(params[0] ?? {});
    return asRoot(context, (execution) => {
      if (contract === undefined) billAllAfter(execution, seconds);
      else billAfter(execution, findContract(execution, BigInt(contract)), seconds);
    });
  },
  dev_setZosVersion: (context, params) => {
    const version = new TextEncoder().encode(z.string().max(1024).parse(params[0]));
    return asRoot(context, (execution) => {
      execution.state.write(tfgrid.storage.ZosVersion, [], version);
      execution.emit(tfgrid, 'ZosVersionUpdated', [version]);
    });
  },
  /** Removes a twin, as governance may. */
  dev_deleteTwin: (context, params) => {
    const id = z.int().positive().parse(params[0]);
    return asRoot(context, ({ state, emit }) => {
      const twin = state.read(tfgrid.storage.Twins, id) ?? refuse(tfgrid, 'TwinNotExists');
      state.remove(tfgrid.storage.Twins, id);
      state.remove(tfgrid.storage.TwinIdByAccountID, twin.account_id);
      emit(tfgrid, 'TwinDeleted', [id]);
    });
  },
  dev_dropSockets: ({ dropSockets }) => dropSockets(),
};
