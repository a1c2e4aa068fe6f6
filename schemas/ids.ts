/** Names the grid derives from twins, contracts and workload names; they are part of data on disk. */
import { GridError } from './errors/index.ts';
import { md5 } from './md5.ts';

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const SHORT = 13;
/** Before the name of a machine's own root volume. */
const ROOTFS = 'rootfs:';

export interface WorkloadId {
  readonly twinId: number;
  readonly contractId: bigint;
  readonly name: string;
}

/** `<twin>-<contract>-<name>`. */
export function workloadId(twinId: number, contractId: bigint, name: string): string {
  return `${twinId}-${contractId}-${name}`;
}

/** The parts of a workload id; throws `workload_id_invalid`. */
export function parseWorkloadId(id: string): WorkloadId {
  const match = /^(\d{1,10})-(\d{1,20})-(.+)$/s.exec(id);
  const twinId = Number(match?.[1]);
  const contractId = BigInt(match?.[2] ?? 0);
  if (match === null || twinId > 0xffffffff || contractId > 0xffff_ffff_ffff_ffffn) {
    throw new GridError('workload_id_invalid', { id: id.slice(0, 128) });
  }
  return { twinId, contractId, name: match[3] as string };
}

/** The workload a name of the host tells of: its id, or its id behind `rootfs:`. Empty for any other name. */
export function ownerInName(name: string): string {
  const id = name.startsWith(ROOTFS) ? name.slice(ROOTFS.length) : name;
  return /^\d{1,10}-\d{1,20}-[a-zA-Z0-9_]{1,50}$/.test(id) ? id : '';
}

/** Network id: a twin's network name as 13 characters that fit device names. */
export function networkId(twinId: number, name: string): string {
  return base58(md5(`${twinId}:${name}`)).slice(0, SHORT);
}

/** Short unique name of something that belongs to a workload (tap, filter), 13 characters. */
export function uniqueName(workload: string, part: string): string {
  return base58(md5(`${workload}:${part}`)).slice(0, SHORT);
}

/** Base58 with Bitcoin's alphabet. */
export function base58(bytes: Uint8Array): string {
  let rest = 0n;
  for (const byte of bytes) rest = (rest << 8n) | BigInt(byte);
  let digits = '';
  for (; rest > 0n; rest /= 58n) digits = ALPHABET[Number(rest % 58n)] + digits;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return '1'.repeat(zeros < 0 ? bytes.length : zeros) + digits;
}
