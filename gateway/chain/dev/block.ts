/** A block and what its hash commits to. */
import { Digest, H256 } from './description/types.ts';
import { compact, encode, struct, u32, type ValueOf } from './scale/codec.ts';
import { blake2_256 } from './scale/hashing.ts';
import type { Changes } from './state.ts';

export const Header = struct('Header', {
  parent_hash: H256,
  number: compact(u32),
  state_root: H256,
  extrinsics_root: H256,
  digest: Digest,
});

export interface Block {
  readonly hash: string;
  readonly number: number;
  readonly header: ValueOf<typeof Header>;
  readonly extrinsics: readonly Uint8Array[];
  /** Storage keys that the block changed. */
  readonly changed: readonly string[];
}

export const hashOf = (header: ValueOf<typeof Header>): Uint8Array => blake2_256(encode(Header, header));

/** Commits to the parent's root and to the changes; no trie stands behind it. */
export function rootOf(parent: Uint8Array, changes: Changes): Uint8Array {
  const parts: Uint8Array[] = [parent];
  for (const key of [...changes.keys()].sort()) {
    parts.push(new TextEncoder().encode(key), blake2_256(changes.get(key) ?? new Uint8Array(0)));
  }
  return blake2_256(Buffer.concat(parts));
}
