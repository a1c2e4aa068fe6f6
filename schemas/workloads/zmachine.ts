/** zmachine: a virtual machine. */
import type { z } from 'zod';
import { GridError } from '../errors/index.ts';
import { described, list, optional, pointer, struct } from '../gojson/codec.ts';
import { bool, text } from '../gojson/values.ts';
import {
  addMachine,
  MachineInterface,
  MyceliumIp,
  machineFields,
  machineNeeds,
  machineReferences,
  validateMachine,
  validateMachineNetworks,
} from './machine.ts';
import { type Context, defineWorkload, type Member } from './type.ts';

const PUBLIC_IP_TYPES = ['ip', 'ipv4'];

const MachineNetwork = struct(
  'zos.MachineNetwork',
  {
    public_ip: optional(described(text, 'name of an `ip` workload of this deployment, or empty')),
    planetary: optional(described(bool, 'an address of the Planetary Network')),
    mycelium: described(pointer(MyceliumIp), 'an address of Mycelium; left out: none'),
    interfaces: described(list(MachineInterface), 'exactly one', { minItems: 1, maxItems: 1 }),
  },
  'How a machine is reached.',
);

export const ZMachine = struct(
  'zos.ZMachine',
  {
    flist: optional(described(text, 'URL of the image')),
    network: described(MachineNetwork, 'how it is reached'),
    ...machineFields,
  },
  'A virtual machine.',
);
export type ZMachine = z.output<typeof ZMachine>;

export const zmachine = defineWorkload({
  name: 'zmachine',
  summary: 'a virtual machine',
  goType: '*zos.ZMachine',
  data: ZMachine,
  result: struct(
    'zos.ZMachineResult',
    {
      id: described(text, 'workload id of the machine'),
      ip: described(text, 'its address in the private network'),
      planetary_ip: optional(described(text, 'IPv6 address, or empty')),
      mycelium_ip: optional(described(text, 'IPv6 address, or empty')),
      console_url: optional(described(text, '`address:port`, on the private network')),
    },
    'Where a running machine is reached.',
  ),
  change: undefined,
  pausable: true,
  validate: (data, context) => {
    const { name } = context.workload;
    const { public_ip } = data.network;
    validateMachine(data, name);
    // Nodes end here, with success, when the name belongs to a workload of another type.
    if (public_ip !== '' && !publicIpFound(public_ip, context)) return;
    validateMachineNetworks(data, name);
  },
  needs: machineNeeds,
  challenge: (data, add) => {
    add('flist', data.flist);
    add('network.public_ip', data.network.public_ip);
    add('network.planetary', data.network.planetary);
    addMachine(data, add);
  },
  references: (data) => {
    const { public_ip: name } = data.network;
    return [...machineReferences(data), ...(name === '' ? [] : [{ kind: 'public_ip' as const, name }])];
  },
});

/** Whether the named workload is a public IP; refuses a missing one and one that two machines name. */
function publicIpFound(name: string, context: Context): boolean {
  const { workload } = context;
  const target = context.once(workloadsByName).get(name);
  if (target === undefined) throw new GridError('machine_public_ip_missing', { workload: workload.name, name });
  if (!PUBLIC_IP_TYPES.includes(target.type)) return false;
  const machines = context.once(machinesByPublicIp).get(name) ?? [];
  if (machines.length > 1) {
    throw new GridError('machine_public_ip_shared', { workload: workload.name, name, machines: machines.slice(0, 16) });
  }
  return true;
}

export function workloadsByName({ deployment }: Context): Map<string, Member> {
  // The first of a name counts.
  return new Map(deployment.workloads.toReversed().map((workload) => [workload.name, workload]));
}

function machinesByPublicIp({ deployment, dataOf }: Context): Map<string, string[]> {
  const machines = new Map<string, string[]>();
  for (const workload of deployment.workloads) {
    const name = dataOf(zmachine, workload)?.network.public_ip ?? '';
    if (name === '') continue;
    const users = machines.get(name);
    if (users === undefined) machines.set(name, [workload.name]);
    else users.push(workload.name);
  }
  return machines;
}
