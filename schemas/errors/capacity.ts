/** Refusals of the planner: what was asked for does not fit this node. Numbers 3000 to 3099. */
import { z } from 'zod';
import { entry } from './table.ts';

const bytes = z.int().nonnegative();
const count = z.int().nonnegative();
/** A part of the capacity may be over-committed after memory or a pool was taken away; free is then 0. */
const account = { total: bytes, system: bytes, committed: bytes, pending: bytes };
const refusal = z.object({ code: z.string(), details: z.unknown(), message: z.string() });

export const capacityErrors = {
  capacity_memory: entry({
    number: 3000,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({ requested: bytes, available: bytes, ...account }),
    // Existing clients know this sentence; the numbers behind it are the whole deployment's.
    message: (d) =>
      `failed to satisfy required capacity: cannot fulfil required memory size ${d.requested} bytes out of usable ${d.available} bytes` +
      ` (total ${d.total}, system ${d.system}, committed ${d.committed}, pending ${d.pending})`,
    remedy: 'ask for less memory or choose another node',
  }),
  capacity_disk: entry({
    number: 3001,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({ media: z.string(), requested: bytes, available: bytes, ...account }),
    message: (d) =>
      `failed to satisfy required capacity: not enough space left in pools of this type ${d.media}: requested ${d.requested} bytes, available ${d.available} bytes` +
      ` (total ${d.total}, system ${d.system}, committed ${d.committed}, pending ${d.pending})`,
    remedy: 'ask for less disk space or choose another node',
  }),
  capacity_single_disk: entry({
    number: 3002,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({ workload: z.string(), media: z.string(), requested: bytes, largest: bytes, pool: z.string() }),
    message: (d) =>
      `failed to satisfy required capacity: workload '${d.workload}' needs ${d.requested} bytes in one pool, not enough space left in pools of this type ${d.media}: the most that fits now is ${d.largest} bytes in pool '${d.pool}'`,
    remedy: 'ask for a smaller disk, or split it; a disk lies in one pool',
  }),
  capacity_cpu: entry({
    number: 3003,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({
      requested: count,
      available: count,
      cores: count,
      overcommit: z.number(),
      committed: count,
      pending: count,
    }),
    message: (d) =>
      `failed to satisfy required capacity: cannot fulfil ${d.requested} vcpus out of ${d.available}` +
      ` (${d.cores} logical cpus shared ${d.overcommit} times, committed ${d.committed}, pending ${d.pending})`,
    remedy: 'ask for fewer vcpus or choose another node',
  }),
  capacity_machine_cpu: entry({
    number: 3004,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), requested: count, cores: count }),
    message: (d) =>
      `machine configuration validation failed: invalid cpu must be between 1 and ${d.cores} (workload '${d.workload}' asks for ${d.requested})`,
  }),
  capacity_public_ip: entry({
    number: 3005,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({ requested: count, reserved: count }),
    message: (d) => `required ${d.requested} ips while contract has ${d.reserved} ip reserved`,
    remedy: 'create the contract with as many public addresses as the deployment asks for',
  }),
  workload_unsupported: entry({
    number: 3010,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), type: z.string(), supported: z.array(z.string()) }),
    message: (d) =>
      `workload '${d.workload}' has type '${d.type}', which this node does not run (it runs ${d.supported.join(', ')})`,
    remedy: 'choose a node whose features list the type',
  }),
  feature_unsupported: entry({
    number: 3011,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), feature: z.string() }),
    message: (d) => `workload '${d.workload}' asks for '${d.feature}', which this node does not offer`,
    remedy: 'leave it out or choose a node whose features list it',
  }),
  gpu_unknown: entry({
    number: 3012,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), gpu: z.string(), present: z.array(z.string()) }),
    message: (d) =>
      `unknown GPU id '${d.gpu}' (workload '${d.workload}'; the node has ${d.present.length === 0 ? 'none' : d.present.join(', ')})`,
    remedy: 'zos.gpu.list lists the GPUs of the node',
  }),
  gpu_taken: entry({
    number: 3013,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({ workload: z.string(), gpu: z.string(), holder: z.string() }),
    message: (d) =>
      `device '${d.gpu}' is already used by another workload: '${d.holder}' has it, '${d.workload}' asks for it`,
    remedy: 'ask for another GPU of the node, or remove the machine that has it',
  }),
  gpu_not_rented: entry({
    number: 3014,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({ workload: z.string(), twin: z.int(), rentedBy: z.int() }),
    message: (d) =>
      `usage of GPU is not allowed unless node is rented: workload '${d.workload}' of twin ${d.twin}, the node is ${d.rentedBy === 0 ? 'not rented' : `rented by twin ${d.rentedBy}`}`,
    remedy: 'rent the whole node before you ask for its GPUs',
  }),
  network_name_taken: entry({
    number: 3020,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ network: z.string(), contract: z.string() }),
    // The sentence of the grid's nodes; which contract holds the name is in the details.
    message: (d) => `global workload with the same name '${d.network}' exists: conflict`,
  }),
  network_missing: entry({
    number: 3021,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({ workload: z.string(), network: z.string() }),
    message: (d) =>
      `could not get network resource subnet: workload '${d.workload}' names network '${d.network}', which this twin has not deployed on this node`,
    remedy: 'deploy the network first or in the same deployment',
  }),
  address_outside_subnet: entry({
    number: 3022,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), address: z.string(), subnet: z.string() }),
    message: (d) => `IP ${d.address} is not part of local nr subnet ${d.subnet} (workload '${d.workload}')`,
  }),
  address_reserved: entry({
    number: 3023,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), address: z.string(), reason: z.string() }),
    message: (d) => `ip ${d.address} is reserved (workload '${d.workload}': ${d.reason})`,
  }),
  address_taken: entry({
    number: 3024,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), address: z.string(), network: z.string(), holder: z.string() }),
    message: (d) =>
      `ip ${d.address} of network '${d.network}' is already used by '${d.holder}' (asked for by workload '${d.workload}')`,
    remedy: 'choose a free address of the network',
  }),
  wireguard_port_taken: entry({
    number: 3025,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), port: z.int() }),
    message: (d) =>
      `wireguard listen port already in use, pick another one: port ${d.port} of workload '${d.workload}' is taken`,
    remedy: 'zos.network.list_wg_ports lists the ports in use',
  }),
  network_leaving: entry({
    number: 3026,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({ workload: z.string(), network: z.string(), contract: z.string() }),
    message: (d) =>
      `workload '${d.workload}' names network '${d.network}' of contract ${d.contract}, which is being removed`,
    remedy: 'deploy the network again once it is gone, then the machine',
  }),
  mount_missing: entry({
    number: 3030,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), mount: z.string() }),
    message: (d) => `workload '${d.workload}' mounts '${d.mount}', which is not a workload of the deployment`,
  }),
  mount_kind: entry({
    number: 3031,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), mount: z.string(), type: z.string() }),
    message: (d) =>
      `expecting a reservation of type 'zmount' or 'qsfs' for disk '${d.mount}' (workload '${d.workload}' mounts a ${d.type})`,
    remedy: 'mount a zmount or a volume',
  }),
  mount_twice: entry({
    number: 3032,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), mount: z.string(), holder: z.string() }),
    message: (d) =>
      `disk '${d.mount}' is mounted by '${d.holder}' and by '${d.workload}'; a zmount belongs to one machine`,
  }),
  mount_too_small: entry({
    number: 3033,
    stage: 'capacity',
    fault: 'caller',
    retryable: false,
    details: z.object({ workload: z.string(), mount: z.string(), requested: bytes, minimum: bytes }),
    message: (d) =>
      `disk '${d.mount}' is too small for the file system with which '${d.workload}' mounts it: requested ${d.requested} bytes, the smallest is ${d.minimum} bytes`,
    remedy: 'ask for a larger disk',
  }),
  /** A daemon that the plan must ask did not answer; nothing was changed. */
  capacity_unknown: entry({
    number: 3040,
    stage: 'capacity',
    fault: 'node',
    retryable: true,
    details: z.object({ daemon: z.string(), kind: z.string(), reason: z.string() }),
    message: (d) => `failed to get the node's capacity from ${d.daemon} (${d.kind}): ${d.reason}`,
    remedy: 'try again; nothing was changed',
  }),
  /** Several reasons at once: the deployment was refused whole, this lists all of them. */
  capacity_refused: entry({
    number: 3099,
    stage: 'capacity',
    fault: 'caller',
    retryable: true,
    details: z.object({ refusals: z.array(refusal) }),
    message: (d) => d.refusals.map((one) => one.message).join('; '),
  }),
} as const;
