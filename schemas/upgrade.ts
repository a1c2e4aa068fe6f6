/** What an update may change, in the order and words of nodes, and what it comes to. */
import type { Deployment, Workload } from './deployment.ts';
import { GridError } from './errors/index.ts';
import { contexts, loadData, validateDeployment } from './validate.ts';
import { workloadType } from './workloads/index.ts';
import type { Change } from './workloads/type.ts';

/** What nodes put behind the reason when they refuse an update. */
export const UPGRADE_REFUSED = ': upgrade validation error';

export interface Operation {
  readonly kind: 'add' | 'remove' | 'update';
  readonly workload: string;
}

/**
 * Holds a deployment against the one it is to replace. Throws the `GridError` of the first rule
 * broken, those of `validateDeployment` included. Operations come as the new deployment orders its
 * workloads, removals after them; a workload whose version is not the new deployment's is left as it
 * is, even if its data differ.
 */
export function planUpgrade(from: Deployment, to: Deployment): Operation[] {
  validateDeployment(to);
  if (to.twin_id !== from.twin_id || to.contract_id !== from.contract_id) {
    throw new GridError('upgrade_identity', { twin: to.twin_id, contract: to.contract_id.toString() });
  }
  const { version } = to;
  if (version !== from.version + 1) {
    throw new GridError('upgrade_version', { expected: from.version + 1, actual: version });
  }
  const known = byName(from);
  const operations = to.workloads.flatMap((workload) => {
    const kind = operationOf(known.get(workload.name), workload, version);
    return kind === undefined ? [] : [{ kind, workload: workload.name }];
  });
  const kept = byName(to);
  for (const { name } of from.workloads) if (!kept.has(name)) operations.push({ kind: 'remove', workload: name });
  for (const { kind, workload: name } of operations) {
    if (kind !== 'update') continue;
    const { type } = kept.get(name) as Workload;
    if (workloadType(type, name).change === undefined) {
      throw new GridError('upgrade_unsupported', { workload: name, type });
    }
  }
  return operations;
}

function operationOf(before: Workload | undefined, after: Workload, version: number): Operation['kind'] | undefined {
  const { name: workload, version: actual } = after;
  if (before === undefined) {
    if (actual !== version) throw new GridError('upgrade_workload_version', { workload, expected: version, actual });
    return 'add';
  }
  if (before.type !== after.type) {
    throw new GridError('upgrade_workload_type', { workload, from: before.type, to: after.type });
  }
  return actual === version ? 'update' : undefined;
}

/**
 * What a node does with a workload's new data; `running` is the deployment as it runs, with its
 * results. `undefined` if no workload of that name runs or its type can not change.
 */
export function changeOf(running: Deployment, to: Workload): Change | undefined {
  const from = byName(running).get(to.name);
  if (from === undefined || from.type !== to.type) return undefined;
  const type = workloadType(to.type, to.name);
  return type.change?.(loadData(type, from), loadData(type, to), contexts(running)(from));
}

function byName({ workloads }: Deployment): Map<string, Workload> {
  return new Map(workloads.toReversed().map((workload) => [workload.name, workload]));
}
