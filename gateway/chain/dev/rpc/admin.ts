/** Methods that play time, governance and a bad network. Served to loopback clients only. */
import { z } from 'zod';
import { tfgrid } from '../description/tfgrid.ts';
import { DispatchFailure, type Execution, refuse } from '../pallets/context.ts';
import { setGrace } from '../pallets/contracts.ts';
import type { RpcContext } from './methods.ts';
import { RpcError } from './session.ts';

export interface AdminContext extends RpcContext {
  /** Ends every connection without a word. */
  readonly dropSockets: () => number;
}

export type AdminMethod = (context: AdminContext, params: readonly unknown[]) => unknown;

const Timing = z.object({
  idleBlockMs: z.int().min(100).max(3_600_000).optional(),
  finalityMs: z.int().min(500).max(3_600_000).optional(),
});

async function asRoot(context: AdminContext, action: (execution: Execution) => void): Promise<string> {
  try {
    return (await context.chain.asRoot(action)).hash;
  } catch (error) {
    if (error instanceof DispatchFailure) throw new RpcError(-32000, error.message);
    throw error;
  }
}

const contractId = (params: readonly unknown[]): bigint => BigInt(z.int().positive().parse(params[0]));

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
  dev_graceStart: (context, params) => asRoot(context, (execution) => setGrace(execution, contractId(params), true)),
  dev_graceEnd: (context, params) => asRoot(context, (execution) => setGrace(execution, contractId(params), false)),
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
