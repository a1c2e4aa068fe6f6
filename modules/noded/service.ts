/** What noded answers on the bus, beside its measurements. */
import type { Logger } from 'pino';
import { planner } from '../../provision/interface.ts';
import { GridError } from '../../schemas/errors/index.ts';
import { chain, substrateGateway } from '../api-gateway/interface.ts';
import type { ZbusClient } from '../zbus/client.ts';
import type { Service } from '../zbus/definition.ts';
import type { Infer } from '../zbus/wire.ts';
import { parseDmi } from './dmi.ts';
import type { Host } from './drivers/host.ts';
import type { DmiTable, nodeHost, nodeMachine, nodeSystem } from './interface.ts';
import { type Location, locationOfRecord } from './location.ts';
import type { Monitor } from './monitor.ts';
import { Remembered } from './remembered.ts';

/** Milliseconds that another daemon may take. */
const ASK_DEADLINE_MS = 10_000;
/** The table cannot change while the machine runs; one that could not be read may be readable later. */
const DMI_VALID_MS = { found: Number.POSITIVE_INFINITY, failed: 10_000 };
/** Cards come and go with their drivers. */
const GPUS_VALID_MS = { found: 10_000, failed: 1_000 };
const LOCATION_VALID_MS = { found: 60_000, failed: 5_000 };

export interface NodeServiceOptions {
  readonly host: Host;
  readonly bus: ZbusClient;
  readonly monitor: Monitor;
}

/** The standard objects `system` and `host`. */
export function systemService({ bus, monitor }: NodeServiceOptions): Service<typeof nodeSystem> {
  const chainClient = bus.of(chain);
  const plannerClient = bus.of(planner);
  return {
    NodeID: async (_args, { signal }) => (await chainClient.Node({}, { deadlineMs: ASK_DEADLINE_MS, signal })).NodeID,
    GetNodeFeatures: (_args, { signal }) => plannerClient.Features({}, { deadlineMs: ASK_DEADLINE_MS, signal }),
    CPU$: (signal) => monitor.cpu(signal),
    Disks$: (signal) => monitor.disks(signal),
    Memory$: (signal) => monitor.memory(signal),
    Nics$: (signal) => monitor.nics(signal),
  };
}

export function hostService({ monitor }: NodeServiceOptions): Service<typeof nodeHost> {
  return { Uptime$: (signal) => monitor.uptime(signal) };
}

export interface MachineServiceOptions extends NodeServiceOptions {
  /** The operator's; the chain's record of the node where absent. */
  readonly location: Location | undefined;
  /** Version of this software, for the table's sake. */
  readonly version: string;
  readonly log: Pick<Logger, 'warn'>;
}

/** The object `machine`. Whoever asks how often, the host is read seldom. */
export function machineService(options: MachineServiceOptions): Service<typeof nodeMachine> {
  const { host, bus, location, version, log } = options;
  const [chainClient, gateway] = [bus.of(chain), bus.of(substrateGateway)];
  const dmi = new Remembered(DMI_VALID_MS, async (): Promise<Infer<typeof DmiTable>> => {
    const { program, sections } = parseDmi(await host.dmidecode());
    if (sections.length === 0) throw new GridError('host_dmi_unreadable', { reason: `${program} found none` });
    return { Aggregator: program, Decoder: `gridnode v${version}`, Sections: [...sections] };
  });
  const gpus = new Remembered(GPUS_VALID_MS, () => host.gpus());
  const place = new Remembered(LOCATION_VALID_MS, async (): Promise<Location> => {
    if (location !== undefined) return location;
    const asking = { deadlineMs: ASK_DEADLINE_MS };
    const record = await chainClient
      .Node({}, asking)
      .then(({ NodeID }) => gateway.GetNode({ id: NodeID }, asking))
      .catch((error: Error) => {
        log.warn({ reason: error.message }, 'the chain does not tell where the node stands');
        return undefined;
      });
    const found = record === undefined ? undefined : locationOfRecord(record.Location);
    if (found === undefined) throw new GridError('host_location_unknown', {});
    return found;
  });
  return {
    Dmi: () => dmi.get(),
    Gpus: async () => [...(await gpus.get())],
    Hypervisor: () => host.hypervisor(),
    Location: () => place.get(),
  };
}
