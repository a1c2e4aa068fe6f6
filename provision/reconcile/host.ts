/** What the daemons say is on the host, one list for all of them; a daemon that is away is told. */
import type { flistInventory } from '../../modules/flistd/interface.ts';
import type { networkInventory } from '../../modules/networkd/interface.ts';
import type { storageInventory } from '../../modules/storaged/interface.ts';
import type { vmdInventory } from '../../modules/vmd/interface.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import type { Calling } from '../workloads/workload.ts';
import { Turns } from './turns.ts';

export interface Inventories {
  readonly vmd: Client<typeof vmdInventory>;
  readonly flist: Client<typeof flistInventory>;
  readonly network: Client<typeof networkInventory>;
  readonly storage: Client<typeof storageInventory>;
}

export type Module = keyof Inventories;

/** Machines use what the others made, so they are asked first: what is used is there when it is looked for. */
export const MODULES: readonly Module[] = ['vmd', 'flist', 'network', 'storage'];

export interface HostItem {
  readonly module: Module;
  readonly kind: string;
  readonly name: string;
  /** Id of a workload, as the host tells; empty where it does not. */
  readonly owner: string;
  readonly bytes: number;
  /** Nothing of a tenant is in it. */
  readonly residue: boolean;
}

export interface HostReading {
  readonly items: readonly HostItem[];
  /** Why each daemon that did not answer did not. */
  readonly away: ReadonlyMap<Module, string>;
}

/** Throws the signal's reason only. */
export async function readHost(inventories: Inventories, calling: Calling): Promise<HostReading> {
  const items: HostItem[] = [];
  const away = new Map<Module, string>();
  // One list after another: each is decoded in one turn, and several of a full node at once would keep others waiting.
  for (const module of MODULES) {
    try {
      const found = await inventories[module].Owned({}, calling);
      const turns = new Turns();
      await turns.next();
      for (const { Kind, Name, Owner, Bytes, Residue } of found) {
        if (turns.isOver) await turns.next();
        items.push({ module, kind: Kind, name: Name, owner: Owner, bytes: Bytes, residue: Residue });
      }
    } catch (error) {
      away.set(module, error instanceof Error ? error.message : String(error));
    }
    calling.signal.throwIfAborted();
  }
  return { items, away };
}

/** Of the thing on the host, whoever owns it. */
export function keyOf({ module, kind, name }: Pick<HostItem, 'module' | 'kind' | 'name'>): string {
  return `${module} ${kind} ${name}`;
}

/** What has to be gone before: machines, then what they are attached to, then where their data lies. */
const RANKS: Readonly<Record<Module, number>> = { vmd: 0, flist: 1, network: 1, storage: 2 };

/** Lower goes first. */
export function rankOf({ module, kind }: Pick<HostItem, 'module' | 'kind'>): number {
  const isMade = kind === 'machine' || kind === 'process' || kind === 'tap';
  return RANKS[module] * 2 + (isMade ? 0 : 1);
}

/** The daemons that have to have answered before something may be removed: what they have may be using it. */
export function usersOf(module: Module): readonly Module[] {
  return MODULES.filter((other) => RANKS[other] < RANKS[module]);
}
