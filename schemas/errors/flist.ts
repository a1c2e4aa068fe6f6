/** Refusals and failures of flistd: reading, fetching, unpacking and mounting flists. Numbers 4200 to 4399. */
import { z } from 'zod';
import { entry } from './table.ts';

const bytes = z.int();
const url = z.string();
const reason = z.string();
/** Block id, 64 hex digits. */
const block = z.string();

export const flistErrors = {
  flist_invalid_name: entry({
    number: 4200,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ name: z.string(), reason }),
    message: (d) => `invalid mountpoint: invalid mount name '${d.name}': ${d.reason}`,
  }),
  flist_unknown_extension: entry({
    number: 4201,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ url, extension: z.string() }),
    message: (d) => `unknown extension: '${d.extension}' of flist '${d.url}'`,
    remedy: 'give the address of a .fl file',
  }),
  flist_version_unsupported: entry({
    number: 4202,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ url, version: z.int(), required: z.int() }),
    message: (d) => `flist '${d.url}' is of version ${d.version}, version ${d.required} is required`,
    remedy: 'convert it to a .fl file',
  }),
  flist_url_refused: entry({
    number: 4203,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ url, reason }),
    message: (d) => `flist address '${d.url}' is refused: ${d.reason}`,
  }),
  flist_unreachable: entry({
    number: 4204,
    stage: 'flist',
    fault: 'caller',
    retryable: true,
    details: z.object({ url, attempts: z.int(), reason }),
    message: (d) => `fail to download flist: ${d.reason} ('${d.url}', ${d.attempts} attempts)`,
  }),
  flist_not_found: entry({
    number: 4205,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ url, status: z.string() }),
    message: (d) => `fail to download flist: ${d.status} ('${d.url}')`,
  }),
  flist_too_large: entry({
    number: 4206,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    /** `what` names the bound: file bytes, entries, blocks, tree bytes. */
    details: z.object({ url, what: z.string(), size: bytes, limit: bytes }),
    message: (d) => `flist '${d.url}' is too large: ${d.what} ${d.size}, limit ${d.limit}`,
  }),
  flist_malformed: entry({
    number: 4207,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ url, reason }),
    message: (d) => `flist '${d.url}' is malformed: ${d.reason}`,
  }),
  /**
   * Final, as `flist_block_missing`: flistd asked every store that may hold the
   * block, and asked again. Where one of them did not answer it is
   * `flist_store_unreachable` instead, which may mend itself.
   */
  flist_block_corrupt: entry({
    number: 4208,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ block, route: z.string(), reason }),
    message: (d) => `block ${d.block} from '${d.route}' is corrupt: ${d.reason}`,
    remedy: 'upload the block again, or pack the flist anew',
  }),
  flist_block_missing: entry({
    number: 4209,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ block, routes: z.array(z.string()) }),
    message: (d) => `block ${d.block} does not exist at ${d.routes.map((route) => `'${route}'`).join(', ')}`,
    remedy: 'upload the block, or pack the flist anew',
  }),
  flist_store_unreachable: entry({
    number: 4210,
    stage: 'flist',
    fault: 'caller',
    retryable: true,
    details: z.object({ block, route: z.string(), attempts: z.int(), reason }),
    message: (d) =>
      `store is not available: '${d.route}' for block ${d.block} after ${d.attempts} attempts: ${d.reason}`,
  }),
  flist_not_routable: entry({
    number: 4211,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ block, reasons: z.array(z.string()) }),
    message: (d) =>
      `key is not routable: no usable store for block ${d.block}${d.reasons.length === 0 ? '' : ` (${d.reasons.join('; ')})`}`,
  }),
  flist_not_mounted: entry({
    number: 4212,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ name: z.string() }),
    message: (d) => `flist not mounted: '${d.name}'`,
  }),
  flist_mounted_otherwise: entry({
    number: 4213,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ name: z.string(), mounted: z.string(), requested: z.string() }),
    message: (d) => `'${d.name}' is mounted already as ${d.mounted}, requested ${d.requested}`,
    remedy: 'unmount it first or use another name',
  }),
  flist_option_refused: entry({
    number: 4214,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ name: z.string(), reason }),
    message: (d) => `invalid mount option, ${d.reason} ('${d.name}')`,
  }),
  flist_cache_full: entry({
    number: 4215,
    stage: 'flist',
    fault: 'operator',
    retryable: true,
    /** `limit` bounds the cache, `occupied` is held by mounted trees, `hostFree` is the disk's. */
    details: z.object({ url, requested: bytes, limit: bytes, occupied: bytes, hostFree: bytes }),
    message: (d) =>
      `flist '${d.url}' needs ${d.requested} bytes in the cache: limit ${d.limit}, held by mounted flists ${d.occupied}, free on the host ${d.hostFree}`,
    remedy: 'unmount flists or give a larger --cache-size',
  }),
  flist_hash_invalid: entry({
    number: 4216,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ url, length: z.int() }),
    message: (d) => `invalid hash length: ${d.length} characters from '${d.url}', expected 32`,
  }),
  flist_pack_refused: entry({
    number: 4217,
    stage: 'flist',
    fault: 'caller',
    retryable: false,
    details: z.object({ path: z.string(), reason }),
    message: (d) => `cannot pack '${d.path}': ${d.reason}`,
  }),
  flist_unpack_failed: entry({
    number: 4218,
    stage: 'flist',
    fault: 'node',
    retryable: true,
    details: z.object({ url, reason }),
    message: (d) => `unpacking flist '${d.url}' failed: ${d.reason}`,
  }),
} as const;
