/** zos.capacity.*: where the node's capacity is, for its farmer. */
import type { z } from 'zod';
import { Capacity } from '../capacity.ts';
import { described, list, struct } from '../gojson/codec.ts';
import { count, text, unit } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const PoolCapacity = struct('gridnode.PoolCapacity', {
  name: described(text, 'name of the pool'),
  type: described(text, '`ssd` or `hdd`'),
  total: described(unit, 'bytes of the pool'),
  reserved: described(unit, 'bytes of the system reserve, accepted workloads and what else occupies the pool'),
  free: described(unit, 'bytes still to be had'),
});

/** Each byte and core counted once: total = system + committed + pending + free. */
export const CapacityReport = struct('gridnode.CapacityReport', {
  total: described(Capacity, 'all there is'),
  system: described(Capacity, 'kept for the node itself'),
  committed: described(Capacity, 'of workloads that run'),
  pending: described(Capacity, 'of workloads that were accepted and do not run yet'),
  free: described(Capacity, 'still to be had'),
  logical_cpus: described(count, 'logical CPUs of the host; `cru` counts vCPUs, which may be sold several times over'),
  largest_disk: described(unit, 'bytes of the largest single disk that still fits on any pool'),
  pools: list(PoolCapacity),
});
export type CapacityReport = z.output<typeof CapacityReport>;

export const capacityGet = defineCommand({
  name: 'zos.capacity.get',
  summary: "The node's capacity: total, reserved by the system, committed, pending, free, largest single disk.",
  caller: 'any',
  input: nothing,
  output: CapacityReport,
});
