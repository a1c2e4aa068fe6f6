/** What the node can do and what the contract pays for, beside how much of the node is left. */
import type { Holdings } from './holdings.ts';
import type { Refusal } from './refusal.ts';
import type { DeploymentRequest } from './request.ts';

export interface NodeAbilities {
  readonly types: ReadonlySet<string>;
  readonly features: ReadonlySet<string>;
  /** WireGuard ports taken on the host, by whomever. */
  readonly wireguardPorts: Pick<ReadonlySet<number>, 'has'>;
  /** Public addresses that the contract reserves. */
  readonly contractPublicIps: number;
  /** Ids of the host's GPUs; none when left out. */
  readonly gpus?: ReadonlySet<string>;
  /** The twin that rents the node, 0 when it is shared. */
  readonly rentedBy?: number;
}

export function* checkAbilities(request: DeploymentRequest, abilities: NodeAbilities): Generator<Refusal> {
  for (const workload of request.workloads) {
    if (!abilities.types.has(workload.type)) {
      const supported = [...abilities.types].sort();
      yield { code: 'workload_unsupported', details: { workload: workload.name, type: workload.type, supported } };
    }
    for (const feature of workload.features) {
      if (abilities.features.has(feature)) continue;
      yield { code: 'feature_unsupported', details: { workload: workload.name, feature } };
    }
  }
}

/** A GPU is there, has no other owner, and only who rents the whole node gets one. */
export function* checkGpus(
  { twin, workloads }: DeploymentRequest,
  holdings: Holdings,
  { gpus: present = new Set(), rentedBy = 0 }: NodeAbilities,
): Generator<Refusal> {
  const asked = new Map<string, string>();
  for (const { name: workload, gpus = [] } of workloads) {
    if (gpus.length > 0 && rentedBy !== twin) {
      yield { code: 'gpu_not_rented', details: { workload, twin, rentedBy } };
    }
    for (const gpu of gpus) {
      if (!present.has(gpu)) {
        yield { code: 'gpu_unknown', details: { workload, gpu, present: [...present].sort() } };
        continue;
      }
      const held = holdings.gpus(gpu).at(-1);
      const holder = held === undefined ? asked.get(gpu) : `${held.contract}/${held.workload}`;
      if (holder !== undefined) yield { code: 'gpu_taken', details: { workload, gpu, holder } };
      asked.set(gpu, workload);
    }
  }
}

export function* checkPublicIps({ workloads }: DeploymentRequest, abilities: NodeAbilities): Generator<Refusal> {
  const requested = workloads.reduce((sum, one) => sum + one.publicIps, 0);
  const reserved = abilities.contractPublicIps;
  if (requested > reserved) yield { code: 'capacity_public_ip', details: { requested, reserved } };
}
