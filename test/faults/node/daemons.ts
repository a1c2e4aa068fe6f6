/**
 * The four daemons as they serve a simulated node, each with its own folder of books. A dead one's
 * folder is renamed away under it, so that nothing it still writes is found by the next.
 */
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { Records } from '../../../modules/flistd/drivers/records.ts';
import { SimulatedMounts, SimulatedTrees } from '../../../modules/flistd/drivers/simulated.ts';
import { flist, flistInventory } from '../../../modules/flistd/interface.ts';
import { flistInventoryService } from '../../../modules/flistd/inventory.ts';
import { flistService } from '../../../modules/flistd/service.ts';
import type { SimulatedHost } from '../../../modules/host/simulation.ts';
import { openSimulatedLinks } from '../../../modules/networkd/drivers/simulated.ts';
import { network, networkInventory } from '../../../modules/networkd/interface.ts';
import { networkInventoryService } from '../../../modules/networkd/inventory.ts';
import { Networks } from '../../../modules/networkd/networks.ts';
import { WireguardPorts } from '../../../modules/networkd/ports.ts';
import { networkService } from '../../../modules/networkd/service.ts';
import { NetworkStore } from '../../../modules/networkd/store.ts';
import { openSimulatedPools } from '../../../modules/storaged/drivers/simulated.ts';
import { storage } from '../../../modules/storaged/interface.ts';
import { startStorage } from '../../../modules/storaged/start.ts';
import { openSimulatedMachines } from '../../../modules/vmd/drivers/simulated.ts';
import { vmd, vmdInventory } from '../../../modules/vmd/interface.ts';
import { vmdInventoryService } from '../../../modules/vmd/inventory.ts';
import { Machines } from '../../../modules/vmd/machines.ts';
import { vmdService } from '../../../modules/vmd/service.ts';
import { GridError } from '../../../schemas/errors/index.ts';
import type { Bus } from './bus.ts';
import type { Fault, Faults } from './faults.ts';
import { Life } from './life.ts';

const GIB = 1024 ** 3;
const log = pino({ level: 'silent' });
export const POOL_BYTES = 100 * GIB;
export const CPUS = 8;
const ASKING = { deadlineMs: 5_000 };
/** How long a change goes on after its caller's deadline has passed. */
const LATE_MS = [6, 40] as const;
const STARTS = 3;
/** Milliseconds between two looks of networkd for lost parts of networks. */
const MEND_MS = 25;

const CHANGE_FAULTS: readonly Fault[] = [
  ...['kill-provisiond', 'kill-server', 'kill-redis', 'power', 'late', 'refused', 'no-space', 'cancel', 'grace'],
] as Fault[];

export const MODULES = ['storage', 'network', 'flist', 'vmd'] as const;
export type DaemonModule = (typeof MODULES)[number];
export const DAEMON_NAMES = { storage: 'storaged', network: 'networkd', flist: 'flistd', vmd: 'vmd' } as const;

export interface DaemonsOptions {
  readonly folder: string;
  readonly bus: Bus;
  readonly faults: Faults;
  /** Hears of every change of the host that is made, as `storaged createDisk 7-1-disk1`. */
  readonly changed: (call: string) => void;
}

type Server = ReturnType<Bus['server']>['server'];

export class Daemons {
  readonly #options: DaemonsOptions;
  readonly #lives = new Map<DaemonModule, Life>();
  readonly #ends = new Map<DaemonModule, () => void>();
  readonly #deaths = new Map<DaemonModule, number>();
  /** WireGuard ports that networkd has given away. */
  ports: WireguardPorts | undefined;

  constructor(options: DaemonsOptions) {
    this.#options = options;
    for (const folder of ['pools', 'tree', 'mnt']) mkdirSync(join(options.folder, folder), { recursive: true });
  }

  /** Where a daemon has its books now. */
  root(module: DaemonModule): string {
    return join(this.#options.folder, `${DAEMON_NAMES[module]}-${this.#deaths.get(module) ?? 0}`);
  }

  /** Starts it, again where that fails, as a supervisor does. */
  async start(module: DaemonModule): Promise<void> {
    for (let left = STARTS; ; left--) {
      try {
        await this.#begin(module);
        return;
      } catch (error) {
        if (left === 1) throw error;
      }
    }
  }

  async #begin(module: DaemonModule): Promise<void> {
    const { bus } = this.#options;
    const life = new Life(DAEMON_NAMES[module]);
    this.#lives.set(module, life);
    const root = this.root(module);
    mkdirSync(root, { recursive: true });
    const { server, open } = bus.server(life);
    const over = new Promise<undefined>((resolve) => {
      life.ended.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    const opening = this.#open(module, life, root, server).then(
      (end) => {
        if (life.isOver) end();
        else this.#ends.set(module, end);
        open(module);
      },
      (error: unknown) => {
        if (!life.isOver) throw error;
      },
    );
    await Promise.race([opening, over]);
  }

  /** The daemon is gone, and all it does from now on goes nowhere. False where none lives. */
  kill(module: DaemonModule): boolean {
    const life = this.#lives.get(module);
    if (life === undefined || life.isOver) return false;
    life.end();
    this.#ends.get(module)?.();
    this.#ends.delete(module);
    const root = this.root(module);
    this.#deaths.set(module, (this.#deaths.get(module) ?? 0) + 1);
    renameSync(root, this.root(module));
    return true;
  }

  /** What a kernel knows is gone with it. */
  forgetKernel(): void {
    rmSync(join(this.root('vmd'), 'machines.json'), { force: true });
    rmSync(join(this.root('network'), 'links.json'), { force: true });
    rmSync(join(this.root('flist'), 'mounts.json'), { force: true });
  }

  stop(): void {
    for (const module of MODULES) this.#lives.get(module)?.end();
    for (const end of this.#ends.values()) end();
  }

  async #open(module: DaemonModule, life: Life, root: string, server: Server): Promise<() => void> {
    const { folder, bus } = this.#options;
    const host = this.#host(module, life);
    const client = bus.client(life);
    if (module === 'storage') {
      const bytes = { ssd: POOL_BYTES, hdd: 0 };
      const opened = await openSimulatedPools({ root, pools: join(folder, 'pools'), bytes, host });
      const end = await startStorage({ server, log, opened, cacheBytes: undefined });
      return () => void end().catch(() => undefined);
    } else if (module === 'network') {
      const links = openSimulatedLinks(join(root, 'links.json'), host, 'node');
      const { store, damaged } = await NetworkStore.open(root);
      if (damaged.length > 0) throw new Error(`records of networks can not be read: ${damaged.join(', ')}`);
      const ports = new WireguardPorts(async () => new Set());
      const networks = new Networks({ store, ports, fabric: links.fabric, taps: links.taps, log });
      await networks.adopt();
      this.ports = ports;
      server.serve(network, networkService({ networks, taps: links.taps, ports, host: links.host, log }));
      server.serve(networkInventory, networkInventoryService({ networks, taps: links.taps }));
      const mending = setInterval(() => void networks.mend().catch(() => undefined), MEND_MS);
      return () => clearInterval(mending);
    } else if (module === 'flist') {
      const trees = new SimulatedTrees(join(folder, 'tree'), host);
      const mounts = new SimulatedMounts(join(folder, 'mnt'), join(root, 'mounts.json'), host);
      const records = await Records.open(join(root, 'mounts'));
      server.serve(flist, flistService({ trees, mounts, records, bus: client, log }));
      server.serve(flistInventory, flistInventoryService({ mounts, records, bus: client }));
    } else {
      const [disks, links] = [client.of(storage), client.of(network)];
      const attachments = {
        disk: async (path: string) => (await disks.DiskList({}, ASKING)).some((disk) => disk.Path === path),
        tap: (name: string) => links.TapExists({ name: name.replace(/^t-/, '') }, ASKING),
      };
      const driver = openSimulatedMachines({ root, host, attachments });
      const machines = await Machines.open({ driver, log });
      server.serve(vmd, vmdService(machines, log, CPUS));
      server.serve(vmdInventory, vmdInventoryService(machines));
      return () => void machines.close().catch(() => undefined);
    }
    return () => undefined;
  }

  #host(module: DaemonModule, life: Life): SimulatedHost {
    const { bus, faults, changed } = this.#options;
    const never = (): Promise<never> => new Promise(() => undefined);
    return {
      act: async (call) => {
        if (life.isOver) return await never();
        const fault = faults.at({
          name: `change ${call}`,
          faults: CHANGE_FAULTS,
          server: module,
        });
        if (life.isOver) return await never();
        if (fault === 'refused') throw new GridError('simulation_told_to_fail', { call, pattern: 'fault' });
        if (fault === 'no-space') {
          throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
        }
        if (fault === 'late') {
          bus.expire();
          // Some end before the next that is asked, some long after it.
          await sleep(LATE_MS[call.length % LATE_MS.length]);
          if (life.isOver) return await never();
        }
        changed(call);
      },
    };
  }
}
