/** What the node tells the chain of its contracts, put together. */
import { join } from 'node:path';
import { chain, substrateGateway } from '../../modules/api-gateway/interface.ts';
import { vmd } from '../../modules/vmd/interface.ts';
import type { BusLog } from '../../modules/zbus/broker.ts';
import type { ZbusClient } from '../../modules/zbus/client.ts';
import type { DeploymentRecord, Journal } from '../store/journal.ts';
import { CAPACITY_LIMITS, type CapacityLimits, CapacityReporter } from './capacity.ts';
import { type Machines, Meter } from './meter.ts';
import type { ReportNumbers } from './numbers.ts';
import { ReportStore } from './store.ts';
import { TRAFFIC_LIMITS, type TrafficLimits, TrafficReporter } from './traffic.ts';
import type { TrafficSums } from './traffic-table.ts';

export interface ReportsOptions {
  readonly bus: ZbusClient;
  readonly journal: Journal;
  readonly log: BusLog;
  /** The daemon's own folder. */
  readonly root: string;
  readonly capacityLimits?: CapacityLimits;
  readonly trafficLimits?: TrafficLimits;
}

export class Reports {
  /** vmd, with the traffic of each machine counted before it goes. */
  readonly machines: Machines;
  readonly #store: ReportStore;
  readonly #capacity: CapacityReporter;
  readonly #traffic: TrafficReporter;

  constructor({ bus, journal, log, root, capacityLimits, trafficLimits }: ReportsOptions) {
    const { store, damaged } = ReportStore.open(join(root, 'reports.sqlite'));
    if (damaged !== undefined) {
      log.error(
        { ...damaged },
        'ALARM: the file of reports can not be read and is put aside; what it held is not told',
      );
    }
    this.#store = store;
    const chainClient = bus.of(chain);
    this.#capacity = new CapacityReporter({
      journal,
      table: store.capacity,
      gateway: bus.of(substrateGateway),
      chain: chainClient,
      log,
      limits: capacityLimits ?? CAPACITY_LIMITS,
    });
    const machines = bus.of(vmd);
    const meter = new Meter({ machines, table: store.traffic, log });
    this.machines = meter.metered(machines);
    this.#traffic = new TrafficReporter({
      meter,
      table: store.traffic,
      chain: chainClient,
      isAlive: (id) => journal.deployment(id) !== undefined,
      log,
      limits: trafficLimits ?? TRAFFIC_LIMITS,
    });
  }

  /** What contracts use. */
  get capacity(): ReportNumbers {
    return this.#capacity.numbers;
  }

  /** Public traffic: reports. */
  get traffic(): ReportNumbers {
    return this.#traffic.numbers;
  }

  /** Public traffic: bytes. */
  get trafficBytes(): TrafficSums {
    return this.#store.traffic.sums();
  }

  /** What a deployment uses may have changed. */
  changed(record: DeploymentRecord): void {
    this.#capacity.changed(record);
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#capacity.run(signal), this.#traffic.run(signal)]);
  }

  /** After `run` has ended. */
  close(): void {
    this.#store.close();
  }
}
