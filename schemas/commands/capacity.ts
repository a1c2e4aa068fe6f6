/** gridnode.capacity.*: where the node's capacity is, for its farmer. */
import type { z } from 'zod';
import { Capacity } from '../capacity.ts';
import { list, struct } from '../gojson/codec.ts';
import { count, text, unit } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const CapacityReport = struct('gridnode.CapacityReport', {
  /** total = system + committed + pending + free */
  total: Capacity,
  system: Capacity,
  /** Workloads that run. */
  committed: Capacity,
  /** Workloads that were accepted and do not run yet. */
  pending: Capacity,
  free: Capacity,
  /** Logical CPUs of the host; `cru` above counts vCPUs, which may be sold several times over. */
  logical_cpus: count,
  /** Bytes of the largest single disk that still fits. */
  largest_disk: unit,
  pools: list(
    struct('gridnode.PoolCapacity', {
      name: text,
      /** `ssd` or `hdd`. */
      type: text,
      total: unit,
      /** System reserve, accepted workloads and what else occupies the pool. */
      reserved: unit,
      free: unit,
    }),
  ),
});
export type CapacityReport = z.output<typeof CapacityReport>;

export const capacityGet = defineCommand({
  name: 'gridnode.capacity.get',
  summary: "The node's capacity: total, reserved by the system, committed, pending, free, largest single disk.",
  caller: 'any',
  input: nothing,
  output: CapacityReport,
});
