/** The node's daemons over a host that is only books: everything above the drivers is what a real node runs. */
import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { Records } from '../../modules/flistd/drivers/records.ts';
import { SimulatedMounts, SimulatedTrees } from '../../modules/flistd/drivers/simulated.ts';
import { flist, flistInventory } from '../../modules/flistd/interface.ts';
import { flistInventoryService } from '../../modules/flistd/inventory.ts';
import { flistService } from '../../modules/flistd/service.ts';
import type { SimulatedHost } from '../../modules/host/simulation.ts';
import { openSimulatedLinks } from '../../modules/networkd/drivers/simulated.ts';
import { network, networkInventory } from '../../modules/networkd/interface.ts';
import { networkInventoryService } from '../../modules/networkd/inventory.ts';
import { Networks } from '../../modules/networkd/networks.ts';
import { WireguardPorts } from '../../modules/networkd/ports.ts';
import { networkService } from '../../modules/networkd/service.ts';
import { NetworkStore } from '../../modules/networkd/store.ts';
import { openSimulatedPools } from '../../modules/storaged/drivers/simulated.ts';
import { storage } from '../../modules/storaged/interface.ts';
import { startStorage } from '../../modules/storaged/start.ts';
import { measuredMachines, registerMachineCount } from '../../modules/vmd/drivers/measured.ts';
import { openSimulatedMachines } from '../../modules/vmd/drivers/simulated.ts';
import { vmd, vmdInventory } from '../../modules/vmd/interface.ts';
import { vmdInventoryService } from '../../modules/vmd/inventory.ts';
import { Machines } from '../../modules/vmd/machines.ts';
import { vmdService } from '../../modules/vmd/service.ts';
import { type DaemonDefinition, defineDaemon } from '../../modules/zbus/daemon.ts';
import type { SimulatedMachineSize } from '../options.ts';
import { publicConfig } from './public-config.ts';

type Daemon = DaemonDefinition<readonly []>;

const ASK_DEADLINE_MS = 5_000;
/** How often networks that could not be made at the start are tried again. */
const MEND_PERIOD_MS = 30_000;

export function simulatedStoraged(size: SimulatedMachineSize, host: SimulatedHost): Daemon {
  return defineDaemon({
    name: 'storaged',
    module: 'storage',
    start: async ({ server, log, metrics, root, state }) => {
      const pools = join(await realpath(state), 'pools');
      const opened = await openSimulatedPools({ root, pools, bytes: { ssd: size.sru, hdd: size.hru }, host });
      return startStorage({ server, log, metrics, opened, cacheBytes: undefined });
    },
  });
}

export function simulatedNetworkd(host: SimulatedHost): Daemon {
  return defineDaemon({
    name: 'networkd',
    module: 'network',
    start: async ({ server, bus, log, metrics, root }) => {
      const opened = openSimulatedLinks(join(root, 'links.json'), host, root);
      const fabric = metrics.driver('fabric', opened.fabric);
      const links = { ...opened, fabric, taps: metrics.driver('taps', opened.taps) };
      const { store, damaged } = await NetworkStore.open(root);
      if (damaged.length > 0) log.error({ files: damaged }, 'network records that cannot be read are left alone');
      // No socket is opened for a tunnel here, so the host's own stand in nobody's way.
      const ports = new WireguardPorts(async () => new Set());
      const networks = new Networks({ store, ports, fabric: links.fabric, taps: links.taps, log });
      await networks.adopt();
      server.serve(network, {
        ...networkService({ networks, taps: links.taps, ports, host: links.host, log }),
        GetPublicConfig: (_args, { signal }) => publicConfig(bus, { signal, deadlineMs: ASK_DEADLINE_MS }),
      });
      server.serve(networkInventory, networkInventoryService({ networks, taps: links.taps }));
      // A change that the operator had refused at the start is not refused for ever.
      let mending: Promise<void> = Promise.resolve();
      const timer = setInterval(() => {
        mending = networks.mend().catch((error: unknown) => log.error({ err: error }, 'networks could not be mended'));
      }, MEND_PERIOD_MS);
      return async () => {
        clearInterval(timer);
        await mending;
      };
    },
  });
}

export function simulatedFlistd(host: SimulatedHost): Daemon {
  return defineDaemon({
    name: 'flistd',
    module: 'flist',
    start: async ({ server, bus, log, metrics, root }) => {
      const folder = await realpath(root);
      const [tree, mounts] = [join(folder, 'tree'), join(folder, 'mnt')];
      for (const made of [tree, mounts]) await mkdir(made, { recursive: true, mode: 0o755 });
      const parts = {
        mounts: metrics.driver('mounts', new SimulatedMounts(mounts, join(folder, 'mounts.json'), host), [
          'path',
          'find',
        ]),
        records: await Records.open(join(folder, 'mounts')),
        bus,
      };
      server.serve(
        flist,
        flistService({
          ...parts,
          trees: metrics.driver('trees', new SimulatedTrees(tree, host), ['check', 'md5']),
          log,
        }),
      );
      server.serve(flistInventory, flistInventoryService(parts));
      return undefined;
    },
  });
}

export function simulatedVmd(size: SimulatedMachineSize, host: SimulatedHost): Daemon {
  return defineDaemon({
    name: 'vmd',
    module: 'vmd',
    start: async ({ server, bus, log, metrics, root }) => {
      const [disks, links] = [bus.of(storage), bus.of(network)];
      const asking = { deadlineMs: ASK_DEADLINE_MS };
      const driver = openSimulatedMachines({
        root,
        host,
        attachments: {
          disk: async (path) => (await disks.DiskList({}, asking)).some((disk) => disk.Path === path),
          tap: (name) => links.TapExists({ name: name.replace(/^t-/, '') }, asking),
        },
      });
      const machines = await Machines.open({ driver: measuredMachines(metrics, driver), log });
      registerMachineCount(metrics, () => machines.list().length);
      server.serve(vmd, vmdService(machines, log, size.cru));
      server.serve(vmdInventory, vmdInventoryService(machines));
      return () => machines.close();
    },
  });
}
