/** Serves storaged's inventory: volumes and disks of tenants by pool, each with its workload. */
import { ownerInName } from '../../schemas/ids.ts';
import type { Service } from '../zbus/definition.ts';
import type { OpenedPools, PoolItem } from './drivers/driver.ts';
import type { storageInventory } from './interface.ts';
import { checkDiskName, checkVolumeName, finishedName } from './names.ts';
import type { Serial } from './serial.ts';

export function storageInventoryService(opened: OpenedPools, serial: Serial): Service<typeof storageInventory> {
  return {
    Owned: async () => {
      const found = await Promise.all(opened.pools.map((pool) => pool.items()));
      return found.flat().map(({ kind, name, bytes, since }) => ({
        Kind: kind,
        Name: name,
        Owner: ownerInName(finishedName(name)),
        Bytes: bytes,
        Since: since,
        Residue: kind === 'quota',
      }));
    },
    Remove: ({ kind, name }) =>
      serial.run(async () => {
        const checked = checkedKind(kind, name);
        for (const pool of opened.pools) await pool.removeItem(checked, name);
      }),
  };
}

function checkedKind(kind: string, name: string): PoolItem['kind'] {
  if (kind === 'volume') checkVolumeName(finishedName(name));
  else if (kind === 'disk') checkDiskName(finishedName(name));
  else if (kind !== 'quota') throw new Error(`storaged has nothing of the kind '${kind.slice(0, 32)}'`);
  return kind;
}
