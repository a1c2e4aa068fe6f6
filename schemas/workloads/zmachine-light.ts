/** zmachine-light: a virtual machine on a light node, which has no public addresses. */
import type { z } from 'zod';
import { described, list, optional, pointer, struct } from '../gojson/codec.ts';
import { text } from '../gojson/values.ts';
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
import { defineWorkload } from './type.ts';

export const ZMachineLight = struct(
  'zos.ZMachineLight',
  {
    flist: optional(described(text, 'URL of the image')),
    network: struct(
      'zos.MachineNetworkLight',
      {
        mycelium: described(pointer(MyceliumIp), 'not required by the rules, but send it: nodes fail without'),
        interfaces: described(list(MachineInterface), 'exactly one', { minItems: 1, maxItems: 1 }),
      },
      'How a light machine is reached.',
    ),
    ...machineFields,
  },
  'A virtual machine on a light node.',
);
export type ZMachineLight = z.output<typeof ZMachineLight>;

export const zmachineLight = defineWorkload({
  name: 'zmachine-light',
  summary: 'a virtual machine on a light node',
  goType: '*zos.ZMachineLight',
  data: ZMachineLight,
  result: struct(
    'zos.ZMachineLightResult',
    {
      id: described(text, 'workload id of the machine'),
      ip: described(text, 'its address in the private network'),
      mycelium_ip: optional(described(text, 'IPv6 address, or empty')),
      console_url: optional(described(text, '`[address]:port`, over Mycelium')),
    },
    'Where a running light machine is reached.',
  ),
  change: undefined,
  pausable: true,
  validate: (data, { workload }) => {
    validateMachine(data, workload.name);
    validateMachineNetworks(data, workload.name);
  },
  needs: machineNeeds,
  challenge: (data, add) => {
    add('flist', data.flist);
    addMachine(data, add);
  },
  references: machineReferences,
});
