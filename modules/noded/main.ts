/**
 * noded: what the node is and how it fares.
 *
 *     noded --state DIR [--location longitude=3.7,latitude=51.0,country=BE:Belgium,city=Gent]
 *           [--farm ID] [--chain URL,…] [--relay URL,…] [--trial-image URL] [--iperf-peer HOST[:PORT],…]
 *           [--iperf-listen ADDRESS[:PORT]] [--simulated true]
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chain, substrateGateway } from '../api-gateway/interface.ts';
import { defineDaemon, runDaemon } from '../zbus/daemon.ts';
import { openHost } from './drivers/open.ts';
import { nodeHost, nodeMachine, nodeSystem } from './interface.ts';
import { parseLocation } from './location.ts';
import { Monitor } from './monitor.ts';
import { performanceOptions, startPerformance } from './perf/start.ts';
import { registerNode } from './registration.ts';
import { hostService, machineService, systemService } from './service.ts';
import { UptimeReporter } from './uptime.ts';
import { registerUptimeNumbers } from './uptime-metrics.ts';

const manifest = join(import.meta.dirname, '..', '..', 'package.json');

function parseFarm(text: string): number {
  const id = Number(text);
  if (!Number.isInteger(id) || id < 1 || id > 0xffffffff)
    throw new Error(`noded: --farm takes a farm's id, not '${text}'`);
  return id;
}

export const noded = defineDaemon({
  name: 'noded',
  module: 'node',
  options: ['location', 'farm', ...performanceOptions],
  start: async ({ server, bus, log, root, options, metrics }) => {
    const host = metrics.driver('host', openHost());
    const parts = { host, bus, monitor: new Monitor(host) };
    const location = options.location === undefined ? undefined : parseLocation(options.location);
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly version: string };
    server.serve(nodeSystem, systemService(parts));
    server.serve(nodeHost, hostService(parts));
    server.serve(nodeMachine, machineService({ ...parts, location, version, log }));
    const farmId = options.farm === undefined ? undefined : parseFarm(options.farm);
    const stopping = new AbortController();
    const uptime = new UptimeReporter({ host, chain: bus.of(chain), gateway: bus.of(substrateGateway), log });
    registerUptimeNumbers(metrics.registry, uptime);
    const register = { host, bus, location, log };
    const telling = [
      uptime.run(stopping.signal),
      ...(farmId === undefined ? [] : [registerNode({ ...register, farmId }, stopping.signal)]),
    ];
    const stopPerformance = await startPerformance({ server, bus, log, root, options });
    return async () => {
      stopping.abort();
      await Promise.all([stopPerformance(), ...telling]);
    };
  },
});

if (import.meta.main) await runDaemon(noded);
