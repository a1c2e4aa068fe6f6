/** A running development chain: state, blocks, JSON-RPC. */

import type { Logger } from 'pino';
import { waitReady } from '../../rmb/wasm-crypto.ts';
import { type ChainTiming, DevChain } from './chain.ts';
import type { BillingTerms } from './pallets/billing-terms.ts';
import { RpcServer } from './rpc/server.ts';
import { Runtimes } from './runtime.ts';
import { loadSnapshot, SnapshotWriter } from './snapshot.ts';

export interface DevChainOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Folder that keeps the chain across restarts; none keeps nothing. */
  readonly state?: string;
  readonly timing?: Partial<ChainTiming>;
  readonly billing?: Partial<BillingTerms>;
  /** Serves the `dev_*` methods that break things; off unless told. */
  readonly faults?: boolean;
  readonly log: Logger;
}

export interface RunningDevChain {
  readonly url: string;
  readonly chain: DevChain;
  readonly stop: () => Promise<void>;
}

/** Blocks come at once for transactions; these are the times for the rest. */
const TIMING: ChainTiming = { idleBlockMs: 6000, finalityMs: 1000 };

export async function startDevChain(options: DevChainOptions): Promise<RunningDevChain> {
  const { host, port, log, state } = options;
  await waitReady();
  const snapshot = state === undefined ? undefined : await loadSnapshot(state);
  const chain = new DevChain({ ...TIMING, ...options.timing }, snapshot);
  chain.setBilling(options.billing ?? {});
  const writer =
    state === undefined
      ? undefined
      : new SnapshotWriter(chain, state, (error) => log.error({ err: error }, 'chain could not be stored'));
  const server = new RpcServer({ chain, runtimes: new Runtimes(), faults: options.faults ?? false, host, port, log });
  const actual = await server.listening();
  chain.start();
  log.info({ host, port: actual, block: chain.head.number }, 'development chain listens');
  return {
    url: `ws://${host.includes(':') ? `[${host}]` : host}:${actual}`,
    chain,
    stop: async () => {
      chain.stop();
      await server.close();
      await writer?.close();
    },
  };
}
