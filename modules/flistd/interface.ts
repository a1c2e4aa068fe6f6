/** flistd: flists as directory trees. */
import { defineInterface } from '../zbus/definition.ts';
import { Unit } from '../zbus/gridtypes.ts';
import { defineInventory } from '../zbus/inventory.ts';
import { bool, str, struct } from '../zbus/wire.ts';

export const MountOptions = struct('pkg.MountOptions', {
  ReadOnly: bool,
  Limit: Unit,
  Storage: str,
  PersistedVolume: str,
});

export const flist = defineInterface({
  module: 'flist',
  object: 'flist',
  version: '0.0.1',
  methods: {
    Exists: { args: { name: str }, returns: [bool], fails: true, order: 'read' },
    FlistHash: { args: { url: str }, returns: [str], fails: true, order: 'read' },
    HashFromRootPath: { args: { name: str }, returns: [str], fails: true, order: 'read' },
    Mount: { args: { name: str, url: str, opt: MountOptions }, returns: [str], fails: true, order: { by: 'name' } },
    Unmount: { args: { name: str }, returns: [], fails: true, order: { by: 'name' } },
    UpdateMountSize: { args: { name: str, limit: Unit }, returns: [str], fails: true, order: { by: 'name' } },
  },
  streams: {},
});

/** Kinds: `mount`, `image-hold` (a name keeps its image, and is not mounted), `unpacking` (an image half unpacked). */
export const flistInventory = defineInventory('flist');
