/** The structure of a deployment: rules a node checks before anything else, in its order and words. */
import type { z } from 'zod';
import { add, type Capacity } from './capacity.ts';
import { loadData } from './data.ts';
import { type Deployment, MAX_WORKLOADS, type Workload } from './deployment.ts';
import { GridError } from './errors/index.ts';
import { workloadType, workloadTypeNames } from './workloads/index.ts';
import type { Context, Member, Reference, WorkloadType } from './workloads/type.ts';

export { loadData } from './data.ts';

const MAX_NAME = 36;

/** A network takes no capacity, but a process and a namespace. */
const MAX_AMOUNTS = { workloads: MAX_WORKLOADS, networks: 16 } as const;

export interface ValidateOptions {
  /** Workload types the node runs; all types of the grid when left out. */
  readonly runs?: readonly string[];
}

/**
 * Checks a deployment's structure; throws the `GridError` of the first rule broken. A type the node
 * does not run is refused after all structure is checked.
 */
export function validateDeployment(deployment: Deployment, { runs = workloadTypeNames }: ValidateOptions = {}): void {
  const names = new Set<string>();
  const inDeployment = contexts(deployment);
  for (const workload of deployment.workloads) {
    if (workload.version > deployment.version) {
      throw new GridError('workload_version_too_high', {
        workload: workload.name.slice(0, 256),
        version: workload.version,
        deployment: deployment.version,
      });
    }
    validateName(workload.name);
    if (names.has(workload.name)) throw new GridError('workload_name_duplicate', { name: workload.name });
    names.add(workload.name);
    const type = workloadType(workload.type, workload.name);
    type.validate(loadData(type, workload), inDeployment(workload));
  }
  for (const { name, type } of deployment.workloads) {
    if (!runs.includes(type)) {
      throw new GridError('workload_type_unsupported', { workload: name, type, runs: [...runs] });
    }
  }
  checkAmounts(deployment);
}

function checkAmounts({ workloads }: Deployment): void {
  const networks = workloads.filter(({ type }) => type === 'network' || type === 'network-light').length;
  const amounts = { workloads: workloads.length, networks };
  for (const what of ['networks', 'workloads'] as const) {
    const [amount, limit] = [amounts[what], MAX_AMOUNTS[what]];
    if (amount > limit) throw new GridError('deployment_amount', { what, amount, limit });
  }
}

/** Checks a workload's name; throws `workload_name_invalid`. */
export function validateName(name: string): void {
  const refuse = (reason: string) => {
    throw new GridError('workload_name_invalid', { name: name.slice(0, 256), reason });
  };
  if (name === '') refuse('name cannot be empty');
  const plain = /^[a-zA-Z0-9_]+$/.test(name);
  // Go counts bytes.
  const bytes = plain ? name.length : new TextEncoder().encode(name).length;
  if (bytes > MAX_NAME) refuse(`name cannot exceed ${MAX_NAME} characters`);
  if (!plain) refuse('unsupported character in workload name');
  if (name === 'ygg') refuse(`invalid name '${name}' is reserved`);
}

/** What one workload takes; throws for data that is not its type's. */
export function workloadNeeds(workload: Workload): Capacity {
  const type = workloadType(workload.type, workload.name);
  return type.needs(loadData(type, workload));
}

/** What all workloads of a deployment take together. */
export function deploymentNeeds(deployment: Deployment): Capacity {
  return add(...deployment.workloads.map(workloadNeeds));
}

/** What a workload refers to: its networks, its disks, its public address. */
export function workloadReferences(workload: Workload): Reference[] {
  const type = workloadType(workload.type, workload.name);
  return type.references(loadData(type, workload));
}

/** Contexts that share what was decoded and found, so that each workload is looked at once. */
export function contexts(deployment: Deployment): (workload: Workload) => Context {
  const found = new Map<unknown, unknown>();
  const dataOf: Context['dataOf'] = (type, workload) =>
    workload.type === type.name ? readable(type, workload) : undefined;
  return (workload) => {
    const context: Context = {
      deployment,
      workload,
      dataOf,
      once: (compute) => {
        if (!found.has(compute)) found.set(compute, compute(context));
        return found.get(compute) as ReturnType<typeof compute>;
      },
    };
    return context;
  };
}

function readable<S extends z.ZodType>(type: WorkloadType<S>, workload: Member): z.output<S> | undefined {
  try {
    return loadData(type, workload);
  } catch (error) {
    if (error instanceof GridError) return undefined;
    throw error;
  }
}
