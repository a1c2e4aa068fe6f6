import type { Infer } from '../../modules/zbus/wire.ts';
import type { Capacity as WireCapacity } from '../../provision/interface.ts';
import { type Capacity, capacityGet, statisticsGet } from '../../schemas/index.ts';
import { handle } from './handler.ts';

function fromWire(value: Infer<typeof WireCapacity>): Capacity {
  return { cru: value.CRU, sru: value.SRU, hru: value.HRU, mru: value.MRU, ipv4u: value.IPV4U };
}

export const capacityHandlers = [
  handle(statisticsGet, async (_input, { node, signal, deadlineMs }) => {
    const counters = await node.statistics.GetCounters({}, { signal, deadlineMs });
    return {
      total: fromWire(counters.Total),
      used: fromWire(counters.Used),
      system: fromWire(counters.System),
      users: {
        deployments: counters.Users.Deployments,
        workloads: counters.Users.Workloads,
        last_deployment_timestamp: counters.Users.LastDeploymentTimestamp,
      },
      // The Go field is spelled so.
      open_connections: counters.OpenConnecions,
    };
  }),
  handle(capacityGet, async (_input, { node, signal, deadlineMs }) => {
    const report = await node.planner.Capacity({}, { signal, deadlineMs });
    return {
      total: fromWire(report.Total),
      system: fromWire(report.System),
      committed: fromWire(report.Committed),
      pending: fromWire(report.Pending),
      free: fromWire(report.Free),
      logical_cpus: report.LogicalCPUs,
      largest_disk: report.LargestDisk,
      pools: report.Pools.map((pool) => ({
        name: pool.Name,
        type: pool.Type,
        total: pool.Total,
        reserved: pool.Reserved,
        free: pool.Free,
      })),
    };
  }),
];
