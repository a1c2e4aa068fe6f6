/** The twins of the RMB benchmark. Their secrets are made from their numbers, so that no process has to be told. */
import { createHash } from 'node:crypto';
import { Identity, type KeyType } from '../../../gateway/rmb/keys.ts';
import type { TwinRecord, TwinSource } from '../../../gateway/rmb/twins.ts';

export const DOMAIN = 'bench.example';
export const NODE = 1;
/** The Go SDK's peer. */
export const GO = 3;
/** One twin may ask the node 50 times a second; this many together ask as fast as they can. */
export const CALLERS: readonly number[] = Array.from({ length: 128 }, (_, index) => 10 + index);

export function secretOf(id: number): string {
  return createHash('sha256').update(`benchmark twin ${id}`).digest('hex');
}

export function identityOf(id: number, keyType: KeyType): Promise<Identity> {
  return Identity.fromSecret(secretOf(id), keyType);
}

export async function twinsOf(keyType: KeyType): Promise<TwinSource> {
  const records = new Map<number, TwinRecord>();
  for (const id of [NODE, GO, ...CALLERS]) {
    const { publicKey, encryptionKey } = await identityOf(id, keyType);
    records.set(id, { id, account: publicKey, relay: [DOMAIN], encryptionKey });
  }
  return { twin: async (id) => records.get(id) };
}
