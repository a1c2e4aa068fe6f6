/** What `state_call` and the runtime version answer. */
import { blake2b } from '../../../rmb/wasm-crypto.ts';
import type { DevChain } from '../chain.ts';
import { runtimeVersion } from '../description/system.ts';
import { DispatchClass, Weight } from '../description/types.ts';
import { TRANSACTION_FEE } from '../dispatch.ts';
import { bytes, encode, option, struct, u32, u128, vec } from '../scale/codec.ts';
import { toHex } from '../scale/hashing.ts';
import { RpcError } from './session.ts';

const METADATA_VERSION = 14;

const apiId = (name: string): string => toHex(blake2b(new TextEncoder().encode(name), new Uint8Array(0), 8));

/** The runtime version in the JSON form of `state_getRuntimeVersion`. */
export function runtimeVersionJson(specVersion: number): object {
  return {
    specName: runtimeVersion.spec_name,
    implName: runtimeVersion.impl_name,
    authoringVersion: runtimeVersion.authoring_version,
    specVersion,
    implVersion: runtimeVersion.impl_version,
    apis: [
      [apiId('Core'), 4],
      [apiId('Metadata'), 2],
      [apiId('AccountNonceApi'), 1],
      [apiId('TransactionPaymentApi'), 4],
    ],
    transactionVersion: runtimeVersion.transaction_version,
    stateVersion: runtimeVersion.state_version,
  };
}

const FeeInfo = struct('RuntimeDispatchInfo', { weight: Weight, class: DispatchClass, partial_fee: u128 });

/** Answers one runtime API call; `input` is its SCALE arguments. */
export function callRuntime(chain: DevChain, metadata: Uint8Array, name: string, input: Uint8Array): Uint8Array {
  switch (name) {
    case 'Metadata_metadata':
      return encode(bytes, metadata);
    case 'Metadata_metadata_versions':
      return encode(vec(u32), [METADATA_VERSION]);
    case 'Metadata_metadata_at_version': {
      const wanted = new DataView(input.buffer, input.byteOffset).getUint32(0, true);
      return encode(option(bytes), wanted === METADATA_VERSION ? metadata : null);
    }
    case 'AccountNonceApi_account_nonce':
      return encode(u32, chain.pool.nextNonce(input.slice(0, 32), chain.view()));
    case 'TransactionPaymentApi_query_info':
      return encode(FeeInfo, {
        weight: { ref_time: 100_000_000n, proof_size: 0n },
        class: { kind: 'Normal' },
        partial_fee: TRANSACTION_FEE,
      });
    default:
      throw new RpcError(-32000, `Client error: runtime API function ${name} is not exported`);
  }
}
