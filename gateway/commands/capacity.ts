import type { Infer } from '../../modules/zbus/wire.ts';
import type { Capacity as WireCapacity, CapacityReport as WireReport } from '../../provision/interface.ts';
import { type Capacity, type CapacityReport, capacityGet, statisticsGet } from '../../schemas/index.ts';
import { handle } from './handler.ts';

export function capacityFromWire(value: Infer<typeof WireCapacity>): Capacity {
  return { cru: value.CRU, sru: value.SRU, hru: value.HRU, mru: value.MRU, ipv4u: value.IPV4U };
}

export function reportFromWire(report: Infer<typeof WireReport>): CapacityReport {
  return {
    total: capacityFromWire(report.Total),
    system: capacityFromWire(report.System),
    committed: capacityFromWire(report.Committed),
    pending: capacityFromWire(report.Pending),
    free: capacityFromWire(report.Free),
    logical_cpus: report.LogicalCPUs,
    largest_disk: report.LargestDisk,
    pools: report.Pools.map((pool) => ({
      name: pool.Name,
      type: pool.Type,
      total: pool.Total,
      reserved: pool.Reserved,
      free: pool.Free,
      largest_disk: pool.LargestDisk,
    })),
    waiting: {
      deployments: report.Waiting.Deployments,
      workloads: report.Waiting.Workloads,
      leaving: report.Waiting.Leaving,
      oldest: report.Waiting.Oldest,
    },
  };
}

export const capacityHandlers = [
  handle(statisticsGet, async (_input, { node, signal, deadlineMs }) => {
    const counters = await node.statistics.GetCounters({}, { signal, deadlineMs });
    return {
      total: capacityFromWire(counters.Total),
      used: capacityFromWire(counters.Used),
      system: capacityFromWire(counters.System),
      users: {
        deployments: counters.Users.Deployments,
        workloads: counters.Users.Workloads,
        last_deployment_timestamp: counters.Users.LastDeploymentTimestamp,
      },
      // The Go field is spelled so.
      open_connections: counters.OpenConnecions,
    };
  }),
  handle(capacityGet, async (_input, { node, signal, deadlineMs }) =>
    reportFromWire(await node.planner.Capacity({}, { signal, deadlineMs })),
  ),
];
