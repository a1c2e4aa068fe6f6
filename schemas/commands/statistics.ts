/** zos.statistics.*: capacity in the form existing clients read. */
import { Capacity } from '../capacity.ts';
import { struct } from '../gojson/codec.ts';
import { count, timestamp } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const Counters = struct('pkg.Counters', {
  total: Capacity,
  /** Workloads that run, plus `system`. */
  used: Capacity,
  system: Capacity,
  users: struct('pkg.UsersCounters', {
    /** Deployments with at least one running or paused workload. */
    deployments: count,
    workloads: count,
    /** Unix seconds of the newest of those workloads. */
    last_deployment_timestamp: timestamp,
  }),
  /** Established TCP connections of the host. */
  open_connections: count,
});

export const statisticsGet = defineCommand({
  name: 'zos.statistics.get',
  summary: 'Total, used and system capacity of the node and how much it hosts.',
  caller: 'any',
  input: nothing,
  output: Counters,
});
