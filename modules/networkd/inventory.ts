/** Serves networkd's inventory: networks with their holders, taps with their machines, and what is left of either. */
import { GridError } from '../../schemas/errors/index.ts';
import { ownerInName } from '../../schemas/ids.ts';
import type { Service } from '../zbus/definition.ts';
import type { Owned } from '../zbus/inventory.ts';
import type { Infer } from '../zbus/wire.ts';
import type { NetworkTaps } from './drivers/driver.ts';
import type { networkInventory } from './interface.ts';
import type { Networks } from './networks.ts';
import { isTapName } from './plan/names.ts';
import { checkNetworkId } from './plan/spec.ts';

type Item = Infer<typeof Owned>;

export interface InventoryParts {
  readonly networks: Networks;
  readonly taps: NetworkTaps;
}

const item = (Kind: string, Name: string, Owner: string, Residue = false): Item => {
  return { Kind, Name, Owner: ownerInName(Owner), Bytes: 0, Since: 0, Residue };
};

export function networkInventoryService({ networks, taps }: InventoryParts): Service<typeof networkInventory> {
  return {
    Owned: async () => {
      const found = (await taps.items()).map(({ tap, owner }) => item('tap', tap, owner));
      for (const tap of await taps.strayGuards()) found.push(item('tap-guard', tap, '', true));
      const { records, host, leases } = await networks.items();
      const there = new Map(host.map((one) => [one.netid, one]));
      for (const { spec, workloads } of records) {
        const kind = there.delete(spec.netid) ? 'network' : 'network-record';
        for (const holder of workloads) found.push(item(kind, spec.netid, holder));
      }
      for (const { netid, owners, hasBridge } of there.values()) {
        for (const owner of owners.length === 0 ? [''] : owners) found.push(item('network', netid, owner, !hasBridge));
      }
      for (const netid of leases) found.push(item('lease', netid, '', true));
      return found;
    },
    Remove: async ({ kind, name, owner }) => {
      if (kind === 'tap' || kind === 'tap-guard') {
        if (!isTapName(name)) throw new GridError('network_invalid', { field: 'tap name', reason: 'begins with t-' });
        if (kind === 'tap') await taps.remove(name.slice(2));
        else await networks.dropStrayGuards();
        return;
      }
      const netid = checkNetworkId(name);
      // A network with a record is its holders'; each gives up its own hold.
      if (owner !== '') await networks.delete(owner);
      await networks.discard(netid);
    },
    Claim: ({ name, owner }) => {
      if (ownerInName(owner) !== owner || owner === '') {
        throw new GridError('network_invalid', { field: 'owner', reason: 'must be the id of a workload' });
      }
      return taps.claim(name, owner);
    },
    PortsTaken: ({ ports }) => networks.portsTaken(ports ?? []),
  };
}
