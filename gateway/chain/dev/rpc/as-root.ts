/** Actions of governance, asked for over RPC. */
import type { DevChain } from '../chain.ts';
import { DispatchFailure, type Execution } from '../pallets/context.ts';
import { RpcError } from './session.ts';

/** Runs `action` at the start of the next block; the block's hash. */
export async function asRoot(
  { chain }: { readonly chain: DevChain },
  action: (execution: Execution) => void,
): Promise<string> {
  try {
    return (await chain.asRoot(action)).hash;
  } catch (error) {
    if (error instanceof DispatchFailure) throw new RpcError(-32000, error.message);
    throw error;
  }
}
