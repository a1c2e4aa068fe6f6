/** zos.storage.*: the node's disks. */
import { described, list, struct } from '../gojson/codec.ts';
import { text, unit } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const PoolMetrics = struct(
  'pkg.PoolMetrics',
  {
    name: described(text, 'id of the pool'),
    type: described(text, '`ssd` or `hdd`'),
    size: described(unit, 'bytes of the device'),
    used: described(unit, 'bytes promised to workloads and the system'),
  },
  'A storage pool.',
);

export const storagePools = defineCommand({
  name: 'zos.storage.pools',
  summary: 'Storage pools with size and use in bytes.',
  caller: 'any',
  input: nothing,
  output: list(PoolMetrics),
});
