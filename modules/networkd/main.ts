/** networkd: networks, their gateways, tunnels and taps. */
import { join, resolve } from 'node:path';
import { openWireguard } from '../wireguard/index.ts';
import { runDaemon } from '../zbus/daemon.ts';
import { kernelHost } from './drivers/kernel-host.ts';
import { Namespaces } from './drivers/namespaces.ts';
import { HostSettings } from './drivers/settings.ts';
import { Fabric } from './fabric.ts';
import { rememberHome } from './home.ts';
import { Inspection } from './inspection.ts';
import { network, networkInventory } from './interface.ts';
import { networkInventoryService } from './inventory.ts';
import { Networks } from './networks.ts';
import { WireguardPorts } from './ports.ts';
import { Router } from './router.ts';
import { networkService } from './service.ts';
import { NetworkStore } from './store.ts';
import { Taps } from './taps.ts';

/** How often lost parts are looked for. */
const MEND_PERIOD_MS = 30_000;
/** How often tunnels are asked for their processes; a user's packets are lost that long. */
const TUNNEL_PERIOD_MS = 1_500;

await runDaemon({
  name: 'networkd',
  module: 'network',
  options: ['uplink', 'tap-user'],
  start: async ({ server, log, metrics, root, options }) => {
    const namespaces = await Namespaces.open();
    await rememberHome(root, namespaces);
    const settings = new HostSettings(root);
    const wireguard = await openWireguard({ folder: join(root, 'wireguard') });
    const { store, damaged } = await NetworkStore.open(root);
    if (damaged.length > 0) log.error({ files: damaged }, 'network records that cannot be read are left alone');
    const uplink = options.uplink;
    const router = new Router({
      namespaces,
      settings,
      log,
      owner: resolve(root),
      ...(uplink === undefined ? {} : { uplink }),
    });
    const taps = metrics.driver('taps', new Taps(tapOwner(options['tap-user'])));
    const ports = new WireguardPorts();
    const fabric = metrics.driver('fabric', new Fabric({ namespaces, wireguard }));
    const networks = new Networks({ store, ports, fabric, taps, log });

    await router.ensure();
    await networks.adopt();
    log.info({ wireguard: wireguard.kind, scope: namespaces.scope, networks: networks.all().length }, 'networks ready');

    let mending: Promise<void> = Promise.resolve();
    let mendedAt = performance.now();
    const mend = async (): Promise<void> => {
      try {
        await networks.mendTunnels();
        if (performance.now() - mendedAt < MEND_PERIOD_MS) return;
        mendedAt = performance.now();
        await router.ensure();
        await networks.mend();
      } catch (error) {
        log.error({ err: error }, 'networks could not be mended');
      }
    };
    let isMending = false;
    const timer = setInterval(() => {
      if (isMending) return;
      isMending = true;
      mending = mend().finally(() => {
        isMending = false;
      });
    }, TUNNEL_PERIOD_MS);

    const inspection = new Inspection({ namespaces, uplink: () => router.uplink });
    server.serve(
      network,
      networkService({ networks, taps, ports, host: kernelHost({ router, inspection, namespaces }), log }),
    );
    server.serve(networkInventory, networkInventoryService({ networks, taps }));
    // Networks go on without networkd; only purge takes them away.
    return async () => {
      clearInterval(timer);
      await mending;
    };
  },
});

function tapOwner(text: string | undefined): { owner?: number } {
  if (text === undefined) return {};
  if (!/^\d{1,9}$/.test(text))
    throw new Error(`networkd: --tap-user takes a numeric user id, not ${JSON.stringify(text)}`);
  return { owner: Number(text) };
}
