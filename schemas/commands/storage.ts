/** zos.storage.*: the node's disks. */
import { list, struct } from '../gojson/codec.ts';
import { text, unit } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const PoolMetrics = struct('pkg.PoolMetrics', {
  name: text,
  /** `ssd` or `hdd`. */
  type: text,
  /** Bytes of the device. */
  size: unit,
  /** Bytes promised to workloads and the system. */
  used: unit,
});

export const storagePools = defineCommand({
  name: 'zos.storage.pools',
  summary: 'Storage pools with size and use in bytes.',
  caller: 'any',
  input: nothing,
  output: list(PoolMetrics),
});
