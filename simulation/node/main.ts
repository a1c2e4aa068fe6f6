/**
 * The process of a simulated node: relay, daemons over simulated drivers,
 * provisiond and gateway. Flags: `--state DIR --broker URL --log-level LEVEL`,
 * `--relay HOST:PORT --relay-domain NAME --http HOST:PORT --key-file FILE`,
 * `--cru N --mru BYTES --sru BYTES --hru BYTES --delay-ms N --fail PATTERN --admin-twins ID,…`.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gateway } from '../../gateway/main.ts';
import { readRelayFlags } from '../../gateway/relay/flags.ts';
import { startRelay } from '../../gateway/relay/start.ts';
import { noded } from '../../modules/noded/main.ts';
import { beginDaemon, type DaemonDefinition, defineDaemon, stopOnSignal } from '../../modules/zbus/daemon.ts';
import { openLog } from '../../modules/zbus/process-log.ts';
import { finishStartup } from '../../modules/zbus/startup.ts';
import { beginTracing } from '../../modules/zbus/telemetry/tracing.ts';
import { startProvisiond } from '../../provision/provisiond.ts';
import { hostOptions, readHost, readSize, sizeOptions } from '../options.ts';
import { simulatedFlistd, simulatedNetworkd, simulatedStoraged, simulatedVmd } from './daemons.ts';

/** As for real nodes: vCPUs sold for each logical CPU, and how long a contract is waited for. */
const CPU_OVERCOMMIT = 4;
const CONTRACT_WAIT_MS = 9_000;

const { values } = parseArgs({
  options: {
    state: { type: 'string' },
    broker: { type: 'string' },
    'log-level': { type: 'string', default: 'info' },
    relay: { type: 'string' },
    'relay-domain': { type: 'string' },
    http: { type: 'string' },
    'key-file': { type: 'string' },
    'admin-twins': { type: 'string' },
    ...sizeOptions,
    ...hostOptions,
  },
});

function needed(name: 'state' | 'broker' | 'relay' | 'relay-domain' | 'http' | 'key-file'): string {
  const value = values[name];
  if (value === undefined) throw new Error(`simulated node: --${name} is required`);
  return value;
}

process.title = 'gridnode-sim';
const logLevel = values['log-level'];
const log = openLog({ name: 'simulation', level: logLevel });
const place = { state: needed('state'), broker: needed('broker'), logLevel };
// One process is one service, whichever of its daemons begins first.
await beginTracing('node');
const adminTwins = values['admin-twins'];
const size = readSize(values);
const host = readHost(values);

const provisiond = defineDaemon({
  name: 'provisiond',
  module: 'provision',
  start: async ({ server, bus, log: own, metrics, root, state }) => {
    const daemon = startProvisiond({
      server,
      bus,
      log: own,
      metrics,
      root,
      guest: { kernel: join(state, 'guest', 'kernel'), initrd: join(state, 'guest', 'initrd.img') },
      cpuOvercommit: CPU_OVERCOMMIT,
      contractWaitMs: CONTRACT_WAIT_MS,
      host: { cpus: size.cru, memoryBytes: size.mru },
    });
    return () => daemon.stop();
  },
});

const relayFlags = ['--broker', place.broker, '--listen', needed('relay'), '--domain', needed('relay-domain')];
const relay = await startRelay(readRelayFlags(relayFlags), openLog({ name: 'relay', level: logLevel }));
const begin = (
  definition: DaemonDefinition<readonly string[]>,
  options: Record<string, string> = {},
): ReturnType<typeof beginDaemon> => beginDaemon(definition, { ...place, options });
// Stopped in the reverse order: who is asked outlives who asks.
const daemons = [
  begin(simulatedStoraged(size, host)),
  begin(simulatedNetworkd(host)),
  begin(simulatedFlistd(host)),
  begin(simulatedVmd(size, host)),
  begin(noded, { simulated: 'true', relay: `ws://${needed('relay')}` }),
  begin(provisiond),
  begin(gateway, {
    relay: `ws://${needed('relay')}`,
    'key-file': needed('key-file'),
    http: needed('http'),
    traits: 'simulated',
    broker: place.broker,
    ...(adminTwins === undefined ? {} : { 'admin-twins': adminTwins }),
  }),
];
stopOnSignal(log, async () => {
  for (const daemon of daemons.toReversed()) await daemon.stop();
  await relay.stop();
});
await Promise.all(daemons.map((daemon) => daemon.ready));
log.info({ ...size }, 'a simulated node answers: drivers keep books, nothing runs');
finishStartup();
