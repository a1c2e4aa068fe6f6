/** zos.statistics.*: capacity in the form existing clients read. */
import { Capacity } from '../capacity.ts';
import { described, struct } from '../gojson/codec.ts';
import { count, timestamp } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const Counters = struct(
  'pkg.Counters',
  {
    total: described(Capacity, 'what the node has; `cru` is its logical CPUs'),
    used: described(
      Capacity,
      'what accepted workloads declare, whether they run yet or not, plus `system`; `cru` is vCPUs and may exceed the logical CPUs of `total`',
    ),
    system: described(Capacity, 'kept for the node itself'),
    users: described(
      struct(
        'pkg.UsersCounters',
        {
          deployments: described(count, 'deployments with at least one running or paused workload'),
          workloads: described(count, 'those workloads'),
          last_deployment_timestamp: described(timestamp, 'when the newest of them was made, Unix seconds'),
        },
        'How much a node hosts.',
      ),
      'how much it hosts',
    ),
    open_connections: described(count, 'established TCP connections of the host'),
  },
  'Capacity and use of a node.',
);

export const statisticsGet = defineCommand({
  name: 'zos.statistics.get',
  summary: 'Total, used and system capacity of the node and how much it hosts.',
  caller: 'any',
  input: nothing,
  output: Counters,
});
