/** zos.capacity.*: where the node's capacity is, for its farmer. */
import type { z } from 'zod';
import { Capacity } from '../capacity.ts';
import { described, list, struct } from '../gojson/codec.ts';
import { count, text, timestamp, unit } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const PoolCapacity = struct(
  'gridnode.PoolCapacity',
  {
    name: described(text, 'name of the pool'),
    type: described(text, '`ssd` or `hdd`'),
    total: described(unit, 'bytes of the pool'),
    reserved: described(unit, 'bytes of the system reserve, accepted workloads and what else occupies the pool'),
    free: described(unit, 'bytes still to be had'),
    largest_disk: described(unit, 'bytes of the largest single disk that still fits on it; 0 where disks do not lie'),
  },
  'A storage pool as capacity sees it.',
);

export const Waiting = struct(
  'gridnode.Waiting',
  {
    deployments: described(count, 'deployments that were accepted and have a workload that is not settled'),
    workloads: described(count, 'workloads that were accepted and are not settled: to be made or changed'),
    leaving: described(count, 'workloads that are to go away and still hold something'),
    oldest: described(timestamp, 'Unix seconds since when the oldest of what was accepted waits; 0 when nothing does'),
  },
  'What a node was asked for and has not done yet.',
);

/** Each byte and core counted once: total = system + committed + pending + free. */
export const CapacityReport = struct(
  'gridnode.CapacityReport',
  {
    total: described(Capacity, 'all there is'),
    system: described(Capacity, 'kept for the node itself'),
    committed: described(Capacity, 'of workloads that run'),
    pending: described(Capacity, 'of workloads that were accepted and do not run yet'),
    free: described(Capacity, 'still to be had'),
    logical_cpus: described(
      count,
      'logical CPUs of the host; `cru` counts vCPUs, which may be sold several times over',
    ),
    largest_disk: described(unit, 'bytes of the largest single disk that still fits on any pool'),
    pools: described(list(PoolCapacity), 'every storage pool'),
    waiting: described(Waiting, 'what was asked for and is not done yet'),
  },
  'Where the capacity of a node is; each byte and core is counted once.',
);
export type CapacityReport = z.output<typeof CapacityReport>;

export const capacityGet = defineCommand({
  name: 'zos.capacity.get',
  summary:
    "The node's capacity: total, reserved by the system, committed, pending, free, largest single disk, what waits.",
  caller: 'any',
  input: nothing,
  output: CapacityReport,
});
