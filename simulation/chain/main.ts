/**
 * The process of a simulated node's chain: the development chain, its people,
 * and chaind. Flags: `--state DIR --broker URL --log-level LEVEL --listen HOST:PORT`,
 * `--relay URL --relay-domain NAME --http URL --web HOST:PORT --key-file FILE`, `--cru N --mru BYTES --sru BYTES --hru BYTES`.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ChainClient } from '../../gateway/chain/client.ts';
import { startDevChain } from '../../gateway/chain/dev/start.ts';
import { type RunningWeb, startWeb } from '../../gateway/chain/dev/web/start.ts';
import { chainDaemon } from '../../gateway/chain/main.ts';
import { beginDaemon, type RunningDaemon, stopOnSignal } from '../../modules/zbus/daemon.ts';
import { openLog } from '../../modules/zbus/process-log.ts';
import { finishStartup } from '../../modules/zbus/startup.ts';
import { readSize, sizeOptions } from '../options.ts';
import { readPeople, register, writeClientFile } from './people.ts';

const { values } = parseArgs({
  options: {
    state: { type: 'string' },
    broker: { type: 'string' },
    'log-level': { type: 'string', default: 'info' },
    listen: { type: 'string' },
    relay: { type: 'string' },
    'relay-domain': { type: 'string' },
    http: { type: 'string' },
    web: { type: 'string' },
    'key-file': { type: 'string' },
    ...sizeOptions,
  },
});

function needed(name: 'state' | 'broker' | 'listen' | 'relay' | 'relay-domain' | 'http' | 'web' | 'key-file'): string {
  const value = values[name];
  if (value === undefined) throw new Error(`chain of a simulated node: --${name} is required`);
  return value;
}

process.title = 'gridnode-chain';
const logLevel = values['log-level'];
const log = openLog({ name: 'chain', level: logLevel });
const state = needed('state');
const [host = '', port = ''] = needed('listen').split(':');
const size = readSize(values);

const chain = await startDevChain({ host, port: Number(port), log, state: join(state, 'devchain') });
let daemon: RunningDaemon | undefined;
let web: RunningWeb | undefined;
stopOnSignal(log, async () => {
  await web?.stop();
  await daemon?.stop();
  await chain.stop();
});
const people = await readPeople(state);
// The library loads once and reads the chain's description once: registration and chaind share the connection.
const client = await ChainClient.connect({ endpoints: [chain.url], identity: people.node.identity });
const place = { state, relayDomain: needed('relay-domain'), size };
const registration = await register(people, client, place);
const [webHost = '', webPort = ''] = needed('web').split(':');
await writeClientFile(people, registration, {
  ...place,
  chain: chain.url,
  relay: needed('relay'),
  http: needed('http'),
  web: `http://${needed('web')}`,
});
daemon = beginDaemon(
  chainDaemon(() => client),
  {
    state,
    broker: needed('broker'),
    logLevel,
    options: { chain: chain.url, 'key-file': needed('key-file') },
  },
);
web = await startWeb({
  chain: chain.url,
  relays: [needed('relay')],
  identity: people.farmer.identity,
  host: webHost,
  port: Number(webPort),
  log: openLog({ name: 'web', level: logLevel }),
});
await daemon.ready;
finishStartup();
