/** Serves flistd's inventory: what is mounted or kept for a name, and unpackings that were cut short. */
import { ownerInName } from '../../schemas/ids.ts';
import type { Service } from '../zbus/definition.ts';
import type { flistInventory } from './interface.ts';
import { checkMountName } from './names.ts';
import { type FlistParts, unmountName } from './service.ts';

/** Folders in which images were being unpacked or removed by somebody who is gone. */
export interface Unpackings {
  remains(): string[];
  removeRemains(name: string): Promise<void>;
}

export interface FlistInventoryParts extends Pick<FlistParts, 'mounts' | 'records' | 'bus'> {
  /** None where images are not unpacked. */
  readonly unpackings?: Unpackings;
}

export function flistInventoryService(parts: FlistInventoryParts): Service<typeof flistInventory> {
  const { mounts, records, unpackings } = parts;
  const item = (Kind: string, Name: string, Residue = false) => {
    return { Kind, Name, Owner: ownerInName(Name), Bytes: 0, Since: 0, Residue };
  };
  return {
    Owned: () => {
      const mounted = new Set(mounts.names());
      return [
        ...[...mounted].map((name) => item('mount', name)),
        ...records.names.filter((name) => !mounted.has(name)).map((name) => item('image-hold', name)),
        ...(unpackings?.remains() ?? []).map((name) => item('unpacking', name, true)),
      ];
    },
    Remove: async ({ kind, name }) => {
      if (kind === 'unpacking') return unpackings?.removeRemains(name);
      checkMountName(name);
      await unmountName(parts, name);
      if (mounts.find(name) !== undefined) throw new Error(`${kind} ${name} is still there after its removal`);
    },
  };
}
