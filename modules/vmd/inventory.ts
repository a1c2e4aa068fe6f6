/** Serves vmd's inventory: machines, and what is there of machines that nobody remembers. */
import { GridError } from '../../schemas/errors/index.ts';
import { ownerInName } from '../../schemas/ids.ts';
import type { Service } from '../zbus/definition.ts';
import type { MachineItem } from './drivers/driver.ts';
import type { vmdInventory } from './interface.ts';
import type { Machines } from './machines.ts';

const KINDS: ReadonlySet<string> = new Set<MachineItem['kind']>([
  'machine',
  'process',
  'run-folder',
  'control-group',
  'share-lock',
  'console-log',
]);

/** Names of files here. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._:@+-]*$/;

export function vmdInventoryService(machines: Machines): Service<typeof vmdInventory> {
  return {
    Owned: async () =>
      (await machines.items()).map(({ kind, name, machine, bytes, since, residue }) => ({
        Kind: kind,
        Name: name,
        Owner: ownerInName(machine),
        Bytes: bytes,
        Since: since,
        Residue: residue,
      })),
    Remove: async ({ kind, name }) => {
      if (!KINDS.has(kind)) throw new GridError('machine_invalid', { field: 'kind', reason: 'there is no such kind' });
      if (!NAME.test(name)) throw new GridError('machine_invalid', { field: 'name', reason: 'must be a plain name' });
      await machines.removeItem(kind as MachineItem['kind'], name);
    },
  };
}
