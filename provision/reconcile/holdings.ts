/** What the host has to have for a workload, told by what the journal says it holds; the names of every node of the grid. */
import { networkId, uniqueName, workloadId } from '../../schemas/ids.ts';
import type { DeploymentRecord, WorkloadRecord } from '../store/journal.ts';
import type { HostItem } from './host.ts';

export type Holding = Pick<HostItem, 'module' | 'kind' | 'name'>;

const known = new WeakMap<WorkloadRecord, readonly Holding[]>();

/** Nothing once every resource is confirmed gone. */
export function holdingsOf({ twin, contract }: DeploymentRecord, workload: WorkloadRecord): readonly Holding[] {
  const found = known.get(workload);
  if (found !== undefined) return found;
  const made = listHoldings(twin, workloadId(twin, contract, workload.name), workload);
  known.set(workload, made);
  return made;
}

function listHoldings(twin: number, id: string, { held, type }: WorkloadRecord): Holding[] {
  if (held === undefined) return [];
  const holdings: Holding[] = held.allocations.map(({ kind, resource }) => ({
    module: 'storage',
    kind,
    name: resource,
  }));
  if (held.network !== undefined) {
    holdings.push({ module: 'network', kind: 'network', name: networkId(twin, held.network.name) });
  }
  if (held.address !== undefined) {
    holdings.push({ module: 'network', kind: 'tap', name: `t-${uniqueName(id, held.address.network)}` });
  }
  if (type === 'zmachine') {
    holdings.push({ module: 'flist', kind: 'mount', name: id }, { module: 'vmd', kind: 'machine', name: id });
  }
  return holdings;
}
