/** Which WireGuard ports are taken on the host: those in question are asked for, all of them where networkd lists only. */
import type { network, networkInventory } from '../modules/networkd/interface.ts';
import type { Client } from '../modules/zbus/definition.ts';
import { isZbusError } from '../modules/zbus/errors.ts';
import type { Calling } from './workloads/workload.ts';

export type PortsAsked = Pick<Client<typeof networkInventory>, 'PortsTaken'>;

/** A node may get another networkd. */
const ASK_AGAIN_MS = 60_000;

export class TakenPorts {
  readonly #listed: Pick<Client<typeof network>, 'WireguardPorts'>;
  readonly #asked: PortsAsked | undefined;
  #isListedUntil = 0;

  /** Without `asked` all are listed. */
  constructor(listed: Pick<Client<typeof network>, 'WireguardPorts'>, asked: PortsAsked | undefined) {
    this.#listed = listed;
    this.#asked = asked;
  }

  /** The taken ones of `ports`, maybe with others. Throws `ZbusError`. */
  async among(ports: readonly number[], calling: Calling): Promise<ReadonlySet<number>> {
    if (this.#asked !== undefined && performance.now() >= this.#isListedUntil) {
      try {
        return new Set(await this.#asked.PortsTaken({ ports: [...ports] }, calling));
      } catch (error) {
        // A networkd of another make, or of before.
        if (!isZbusError(error, 'protocol')) throw error;
        this.#isListedUntil = performance.now() + ASK_AGAIN_MS;
      }
    }
    return new Set(await this.#listed.WireguardPorts({}, calling));
  }
}
