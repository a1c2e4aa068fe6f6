/** The JSON-RPC methods that Substrate clients call. */
import { z } from 'zod';
import { accountFromAddress } from '../../ss58.ts';
import type { Block } from '../block.ts';
import { type DevChain, StateDiscarded } from '../chain.ts';
import { runtimeVersion } from '../description/system.ts';
import { DigestItem } from '../description/types.ts';
import { TRANSACTION_FEE } from '../dispatch.ts';
import { PoolError } from '../pool.ts';
import type { Runtimes } from '../runtime.ts';
import { encode } from '../scale/codec.ts';
import { blake2_256, fromHex, toHex } from '../scale/hashing.ts';
import { callRuntime, runtimeVersionJson } from './runtime-api.ts';
import { RpcError, type Session } from './session.ts';

export interface RpcContext {
  readonly chain: DevChain;
  readonly runtimes: Runtimes;
  /** Names of all methods, for `rpc_methods`. */
  readonly names: () => readonly string[];
}

export type Method = (context: RpcContext, session: Session, params: readonly unknown[]) => unknown;

const hex = z.string().regex(/^0x([0-9a-fA-F]{2})*$/);
const hash = hex.length(66).nullish();
const keys = z.array(hex).max(10_000);

/** Checks one positional parameter. */
function param<T extends z.ZodType>(type: T, params: readonly unknown[], at: number): z.infer<T> {
  const parsed = type.safeParse(params[at]);
  if (parsed.success) return parsed.data;
  throw new RpcError(-32602, 'Invalid params', `parameter ${at}: ${parsed.error.issues[0]?.message ?? 'not valid'}`);
}

function headerJson(block: Block): object {
  const { header } = block;
  return {
    parentHash: toHex(header.parent_hash),
    number: `0x${header.number.toString(16)}`,
    stateRoot: toHex(header.state_root),
    extrinsicsRoot: toHex(header.extrinsics_root),
    digest: { logs: header.digest.logs.map((item) => toHex(encode(DigestItem, item))) },
  };
}

/** The block of an optional hash; the head without one. */
function blockAt({ chain }: RpcContext, at: string | null | undefined): Block {
  if (at === undefined || at === null) return chain.head;
  const found = chain.block(at.toLowerCase());
  if (found === undefined) throw new RpcError(-32000, `Client error: UnknownBlock: State already discarded for ${at}`);
  return found;
}

/** State that is gone is told as a node tells it. */
function kept<T>(look: () => T): T {
  try {
    return look();
  } catch (error) {
    if (error instanceof StateDiscarded) throw new RpcError(-32000, `Client error: UnknownBlock: ${error.message}`);
    throw error;
  }
}

/** Version of the runtime that a block left behind. */
function specVersion({ chain }: RpcContext, block: Block): number {
  return kept(() => chain.specVersionAt(block));
}

const runtimeVersionAt: Method = (context, _session, params) =>
  runtimeVersionJson(specVersion(context, blockAt(context, param(hash, params, 0))));

function stored(context: RpcContext, key: string, block: Block): string | null {
  const value = kept(() => context.chain.valueAt(key.toLowerCase(), block));
  return value === null ? null : toHex(value);
}

function changesOf(context: RpcContext, list: readonly string[], block: Block): object {
  return { block: block.hash, changes: list.map((key) => [key, stored(context, key, block)]) };
}

function submit(context: RpcContext, extrinsic: string, notify: (status: unknown) => void): string {
  try {
    return context.chain.submit(fromHex(extrinsic), notify).hash;
  } catch (error) {
    if (error instanceof PoolError) throw new RpcError(error.code, error.message, error.data);
    throw error;
  }
}

const getStorage: Method = (context, _session, params) =>
  stored(context, param(hex, params, 0), blockAt(context, param(hash, params, 1)));

const queryStorageAt: Method = (context, _session, params) => [
  changesOf(context, param(keys, params, 0), blockAt(context, param(hash, params, 1))),
];

const keysPaged: Method = (context, _session, params) => {
  const limit = param(z.int().positive().max(1000), params, 1);
  const start = param(hex.nullish(), params, 2) ?? '';
  const block = blockAt(context, param(hash, params, 3));
  if (context.chain.hashAt(block.number) !== block.hash) {
    throw new RpcError(-32000, `Client error: no listing of block ${block.hash}, which is not on the chain`);
  }
  specVersion(context, block);
  return context.chain.state.keys(param(hex, params, 0).toLowerCase(), block.number, limit, start.toLowerCase());
};

const nextIndex: Method = ({ chain }, _session, params) => {
  const address = param(z.string().max(64), params, 0);
  try {
    return chain.pool.nextNonce(accountFromAddress(address), chain.view());
  } catch (error) {
    if (error instanceof RangeError) throw new RpcError(-32602, 'Invalid params', error.message);
    throw error;
  }
};

const blockHash: Method = ({ chain }, _session, params) => {
  const number = z.union([
    z.int().nonnegative(),
    z
      .string()
      .regex(/^0x[0-9a-f]{1,8}$/)
      .transform(Number),
  ]);
  const wanted = param(z.union([number, z.array(number).max(1000)]).nullish(), params, 0);
  if (wanted === undefined || wanted === null) return chain.head.hash;
  const find = (at: number): string | null => chain.hashAt(at) ?? null;
  return Array.isArray(wanted) ? wanted.map(find) : find(wanted);
};

/** Pushes headers of new or finalised blocks, the current one first. */
function headers(event: 'block' | 'finalized', notification: string): Method {
  return ({ chain }, session) =>
    session.subscribe(notification, (push) => {
      const tell = (block: Block): void => push(headerJson(block));
      tell(event === 'block' ? chain.head : chain.finalized);
      chain.on(event, tell);
      return () => chain.off(event, tell);
    });
}

const subscribeStorage: Method = (context, session, params) => {
  const list = param(keys, params, 0);
  const watched = new Set(list.map((key) => key.toLowerCase()));
  return session.subscribe('state_storage', (push) => {
    push(changesOf(context, list, context.chain.head));
    const tell = (block: Block, keysChanged: readonly string[]): void => {
      const changed = keysChanged.filter((key) => watched.has(key));
      if (changed.length > 0) push(changesOf(context, changed, block));
    };
    context.chain.on('block', tell);
    return () => context.chain.off('block', tell);
  });
};

const watchExtrinsic: Method = (context, session, params) => {
  const extrinsic = param(hex, params, 0);
  return session.subscribe('author_extrinsicUpdate', (push) => {
    submit(context, extrinsic, push);
    return () => undefined;
  });
};

const unsubscribe: Method = (_context, session, params) => session.unsubscribe(params[0]);

export const methods: { readonly [name: string]: Method } = {
  rpc_methods: ({ names }) => ({ methods: names() }),
  system_chain: () => 'gridnode development chain',
  system_chainType: () => 'Development',
  system_name: () => runtimeVersion.impl_name,
  system_version: () => '0.1.0',
  system_properties: () => ({ ss58Format: 42, tokenDecimals: 7, tokenSymbol: 'TFT' }),
  system_health: () => ({ peers: 0, isSyncing: false, shouldHavePeers: false }),
  system_accountNextIndex: nextIndex,
  account_nextIndex: nextIndex,

  chain_getBlockHash: blockHash,
  chain_getHead: blockHash,
  chain_getHeader: (context, _session, params) => headerJson(blockAt(context, param(hash, params, 0))),
  chain_getBlock: (context, _session, params) => {
    const block = blockAt(context, param(hash, params, 0));
    return { block: { header: headerJson(block), extrinsics: block.extrinsics.map(toHex) }, justifications: null };
  },
  chain_getFinalizedHead: ({ chain }) => chain.finalized.hash,
  chain_subscribeNewHeads: headers('block', 'chain_newHead'),
  chain_subscribeNewHead: headers('block', 'chain_newHead'),
  chain_subscribeAllHeads: headers('block', 'chain_allHead'),
  chain_subscribeFinalizedHeads: headers('finalized', 'chain_finalizedHead'),
  chain_unsubscribeNewHeads: unsubscribe,
  chain_unsubscribeNewHead: unsubscribe,
  chain_unsubscribeAllHeads: unsubscribe,
  chain_unsubscribeFinalizedHeads: unsubscribe,

  state_getMetadata: (context, _session, params) =>
    toHex(context.runtimes.metadata(specVersion(context, blockAt(context, param(hash, params, 0))))),
  state_getRuntimeVersion: runtimeVersionAt,
  chain_getRuntimeVersion: runtimeVersionAt,
  state_subscribeRuntimeVersion: (context, session) =>
    session.subscribe('state_runtimeVersion', (push) => {
      const { chain } = context;
      const tell = (version: number): void => push(runtimeVersionJson(version));
      tell(specVersion(context, chain.head));
      chain.on('runtime', tell);
      return () => chain.off('runtime', tell);
    }),
  state_unsubscribeRuntimeVersion: unsubscribe,
  state_call: (context, _session, params) => {
    const metadata = context.runtimes.metadata(specVersion(context, blockAt(context, param(hash, params, 2))));
    return toHex(callRuntime(context.chain, metadata, param(z.string(), params, 0), fromHex(param(hex, params, 1))));
  },
  state_getStorage: getStorage,
  state_getStorageAt: getStorage,
  state_getStorageHash: (context, _session, params) => {
    const value = stored(context, param(hex, params, 0), blockAt(context, param(hash, params, 1)));
    return value === null ? null : toHex(blake2_256(fromHex(value)));
  },
  state_getStorageSize: (context, _session, params) => {
    const value = stored(context, param(hex, params, 0), blockAt(context, param(hash, params, 1)));
    return value === null ? null : value.length / 2 - 1;
  },
  state_queryStorageAt: queryStorageAt,
  state_getKeysPaged: keysPaged,
  state_getKeysPagedAt: keysPaged,
  state_subscribeStorage: subscribeStorage,
  state_unsubscribeStorage: unsubscribe,

  author_submitExtrinsic: (context, _session, params) => submit(context, param(hex, params, 0), () => undefined),
  author_submitAndWatchExtrinsic: watchExtrinsic,
  author_unwatchExtrinsic: unsubscribe,
  payment_queryInfo: () => ({
    weight: { ref_time: 100_000_000, proof_size: 0 },
    class: 'normal',
    partialFee: String(TRANSACTION_FEE),
  }),
};
