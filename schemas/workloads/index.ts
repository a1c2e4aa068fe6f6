/** Every workload type the grid knows. A new one: its file, its line here, its line out of `OTHER_TYPES`. */
import { GridError } from '../errors/index.ts';
import { network } from './network.ts';
import type { WorkloadType } from './type.ts';
import { volume } from './volume.ts';
import { zmachine } from './zmachine.ts';
import { zmount } from './zmount.ts';

/** Types with a file here, in the order nodes install them. */
export const workloadTypes = [zmount, volume, network, zmachine] as const;

/** Types of the grid that have no file here: their data is opaque and they are never run. */
export const OTHER_TYPES = [
  'network-light',
  'zmachine-light',
  'zdb',
  'qsfs',
  'ip',
  'ipv4',
  'gateway-name-proxy',
  'gateway-fqdn-proxy',
  'zlogs',
] as const;

const byName = new Map<string, WorkloadType>(workloadTypes.map((type) => [type.name, type as WorkloadType]));
const others = new Set<string>(OTHER_TYPES);

export const supportedTypeNames: readonly string[] = [...byName.keys()];

/** Whether the grid has a type of this name, described here or not. */
export function isKnownType(name: string): boolean {
  return byName.has(name) || others.has(name);
}

/** The type if it is described here. */
export function findWorkloadType(name: string): WorkloadType | undefined {
  return byName.get(name);
}

/**
 * The type of that name. Throws `workload_type_unknown` for a name the grid does not have and
 * `workload_type_unsupported` for one that is not described here.
 */
export function workloadType(name: string, workload = ''): WorkloadType {
  const type = byName.get(name);
  if (type !== undefined) return type;
  if (!others.has(name)) throw new GridError('workload_type_unknown', { workload, type: name });
  throw new GridError('workload_type_unsupported', { workload, type: name, runs: [...supportedTypeNames] });
}
