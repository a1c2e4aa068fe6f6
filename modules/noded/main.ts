/**
 * noded: what the node is and how it fares.
 *
 *     noded --state DIR [--location longitude=3.7,latitude=51.0,country=BE:Belgium,city=Gent]
 *           [--chain URL,…] [--relay URL,…] [--trial-image URL] [--iperf-peer HOST[:PORT],…]
 *           [--iperf-listen ADDRESS[:PORT]] [--simulated true]
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineDaemon, runDaemon } from '../zbus/daemon.ts';
import { openHost } from './drivers/open.ts';
import { nodeHost, nodeMachine, nodeSystem } from './interface.ts';
import { parseLocation } from './location.ts';
import { Monitor } from './monitor.ts';
import { performanceOptions, startPerformance } from './perf/start.ts';
import { hostService, machineService, systemService } from './service.ts';

const manifest = join(import.meta.dirname, '..', '..', 'package.json');

export const noded = defineDaemon({
  name: 'noded',
  module: 'node',
  options: ['location', ...performanceOptions],
  start: async ({ server, bus, log, root, options }) => {
    const host = openHost();
    const parts = { host, bus, monitor: new Monitor(host) };
    const location = options.location === undefined ? undefined : parseLocation(options.location);
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly version: string };
    server.serve(nodeSystem, systemService(parts));
    server.serve(nodeHost, hostService(parts));
    server.serve(nodeMachine, machineService({ ...parts, location, version, log }));
    return startPerformance({ server, bus, log, root, options });
  },
});

if (import.meta.main) await runDaemon(noded);
