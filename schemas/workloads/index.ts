/** Every workload type the grid knows. A new one: its file, its line here. */
import { GridError } from '../errors/index.ts';
import { gatewayFqdnProxy } from './gateway-fqdn-proxy.ts';
import { gatewayNameProxy } from './gateway-name-proxy.ts';
import { ip } from './ip.ts';
import { ipv4 } from './ipv4.ts';
import { network } from './network.ts';
import { networkLight } from './network-light.ts';
import { qsfs } from './qsfs.ts';
import type { WorkloadType } from './type.ts';
import { volume } from './volume.ts';
import { zdb } from './zdb.ts';
import { zlogs } from './zlogs.ts';
import { zmachine } from './zmachine.ts';
import { zmachineLight } from './zmachine-light.ts';
import { zmount } from './zmount.ts';

/** In the order nodes install them; what they leave to chance comes where nothing can depend on it. */
export const workloadTypes = [
  zmount,
  volume,
  qsfs,
  zdb,
  network,
  networkLight,
  ipv4,
  ip,
  zmachine,
  zmachineLight,
  gatewayNameProxy,
  gatewayFqdnProxy,
  zlogs,
] as const;

const byName = new Map<string, WorkloadType>(workloadTypes.map((type) => [type.name, type as unknown as WorkloadType]));

/** Names of all types, whether or not a node runs them. */
export const workloadTypeNames: readonly string[] = [...byName.keys()];

/** The type of that name, if the grid has it. */
export function findWorkloadType(name: string): WorkloadType | undefined {
  return byName.get(name);
}

/** The type of that name; throws `workload_type_unknown` for a name the grid does not have. */
export function workloadType(name: string, workload = ''): WorkloadType {
  const type = byName.get(name);
  if (type === undefined) throw new GridError('workload_type_unknown', { workload, type: name.slice(0, 256) });
  return type;
}
