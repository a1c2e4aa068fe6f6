/**
 * The own bus object of every daemon that makes things for tenants: what of them is on the host now, and whose
 * each is. Read from the host and not from the daemon's memory, so that what nobody remembers is found.
 */
import { defineInterface } from './definition.ts';
import { Unit } from './gridtypes.ts';
import { bool, count64, slice, str, struct } from './wire.ts';

export const Owned = struct('gridnode.Owned', {
  /** What it is, in the daemon's words, as `volume`. */
  Kind: str,
  /** Unique in its kind. */
  Name: str,
  /** Id of the workload it was made for, `<twin>-<contract>-<name>`; empty where nothing on the host tells. */
  Owner: str,
  /** Bytes of a pool or the host that it takes; 0 where it takes none. */
  Bytes: Unit,
  /** Milliseconds since 1970 at which it was made; 0 where the host does not say. */
  Since: count64,
  /** Nothing of a tenant is in it and nothing can be using it: without an owner it may go. */
  Residue: bool,
});

const methods = {
  Owned: { args: {}, returns: [slice(Owned)], fails: true, order: 'read' },
  /**
   * Removes one thing of that list for good, whatever the daemon remembers of it, and answers once the host
   * confirms it. What is not there is gone.
   */
  Remove: { args: { kind: str, name: str, owner: str }, returns: [], fails: true, order: { by: 'name' } },
} as const;

/** The object of one daemon; further methods are its own. */
export function defineInventory<const M extends string>(module: M) {
  return defineInterface({ module, object: 'inventory', version: '0.1.0', methods, streams: {} });
}
