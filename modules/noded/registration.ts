/** Makes the node's record on the chain, or brings it up to date: where the operator wishes it, once a start. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { statistics } from '../../provision/interface.ts';
import { printCidr } from '../../schemas/addresses.ts';
import { chain, type NodeRecord } from '../api-gateway/interface.ts';
import { network } from '../networkd/interface.ts';
import type { ZbusClient } from '../zbus/client.ts';
import { isZbusError } from '../zbus/errors.ts';
import type { NetIPNet } from '../zbus/gridtypes.ts';
import type { Infer } from '../zbus/wire.ts';
import { parseDmi } from './dmi.ts';
import type { Host } from './drivers/host.ts';
import type { Location } from './location.ts';

export interface RegistrationOptions {
  readonly farmId: number;
  readonly host: Pick<Host, 'hypervisor' | 'dmidecode' | 'secureBoot'>;
  readonly bus: ZbusClient;
  /** The operator's; without it the chain keeps what it has. */
  readonly location: Location | undefined;
  readonly log: Logger;
  readonly retryMs?: readonly [number, number];
}

/** As long as the chain, the twin or a daemon is missing. */
const RETRY_MS = [5_000, 120_000] as const;
const ASK_MS = 10_000;
const WRITE_MS = 90_000;
/** What the chain takes of a board. */
const MOST_SERIAL_CHARACTERS = 128;
const MOST_ADDRESSES = 10;
/** Name by which clients know a node's main interface. */
const MAIN = 'zos';
/** What boards say that were given no number. */
const NO_SERIAL = /^(|not specified|none|default string|to be filled by o\.?e\.?m\.?|0+|unknown|n\/a)$/i;

/** Resolves when the record is as it should be, the chain has refused it, or the signal aborts. */
export async function registerNode(options: RegistrationOptions, signal: AbortSignal): Promise<void> {
  const { bus, log, retryMs = RETRY_MS } = options;
  let delayMs = retryMs[0];
  while (!signal.aborted) {
    try {
      const record = await nodeRecord(options, signal);
      const { NodeID, Done, Differences } = await bus
        .of(chain)
        .EnsureNode({ record }, { deadlineMs: WRITE_MS, signal });
      log.info({ node: NodeID, farm: options.farmId, done: Done, differences: Differences }, 'the node on the chain');
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (isZbusError(error) && error.remote?.code === 'chain_dispatch') {
        // One transaction a start: what was refused is refused again.
        log.error({ err: error, farm: options.farmId }, 'ALARM: the chain refuses the record of this node');
        return;
      }
      log.warn({ err: error, againInMs: delayMs }, 'the node is not registered yet');
    }
    await sleep(delayMs, undefined, { signal }).catch(() => undefined);
    delayMs = Math.min(delayMs * 2, retryMs[1]);
  }
}

/** What the node is now. Throws while a daemon that knows is away. */
async function nodeRecord(
  { farmId, host, bus, location }: RegistrationOptions,
  signal: AbortSignal,
): Promise<Infer<typeof NodeRecord>> {
  const asking = { deadlineMs: ASK_MS, signal };
  const [total, interfaces, secureBoot, hypervisor, serial] = await Promise.all([
    bus.of(statistics).Total({}, asking),
    bus.of(network).Interfaces({ iface: MAIN, netns: '' }, asking),
    host.secureBoot(),
    host.hypervisor(),
    boardSerial(host),
  ]);
  const main = interfaces.Interfaces?.get(MAIN);
  return {
    FarmID: farmId,
    Resources: { HRU: BigInt(total.HRU), SRU: BigInt(total.SRU), CRU: BigInt(total.CRU), MRU: BigInt(total.MRU) },
    Location: {
      City: location?.CityName || 'Unknown',
      Country: location?.CountryName || 'Unknown',
      Latitude: location === undefined ? '' : String(location.Latitude),
      Longitude: location === undefined ? '' : String(location.Longitude),
    },
    Interfaces: main === undefined ? [] : [{ Name: MAIN, Mac: main.Mac, IPs: addressesOf(main.IPs ?? []) }],
    SecureBoot: secureBoot,
    Virtualized: hypervisor !== '',
    BoardSerial: serial,
  };
}

/** `10.1.2.3/24`, as the chain has addresses of nodes; IPv4 first. */
function addressesOf(nets: ReadonlyArray<Infer<typeof NetIPNet>>): string[] {
  return nets
    .flatMap(({ IP, Mask }) =>
      IP === null || Mask === null ? [] : [printCidr({ address: IP, prefix: prefixLength(Mask) })],
    )
    .sort((a, b) => Number(a.includes(':')) - Number(b.includes(':')))
    .slice(0, MOST_ADDRESSES);
}

function prefixLength(mask: Uint8Array): number {
  return [...mask].reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
}

/** Of the board, else of the machine; empty where the firmware tells none. */
async function boardSerial(host: Pick<Host, 'dmidecode'>): Promise<string> {
  const text = await host.dmidecode().catch(() => '');
  const { sections } = parseDmi(text);
  for (const type of ['Baseboard', 'System']) {
    const properties = sections.filter((one) => one.Type === type).flatMap((one) => one.SubSections ?? []);
    const found = properties.flatMap((one) => one.Properties ?? []).find(({ Name }) => Name === 'Serial Number');
    const serial = found?.Value.trim() ?? '';
    if (!NO_SERIAL.test(serial)) return serial.slice(0, MOST_SERIAL_CHARACTERS);
  }
  return '';
}
