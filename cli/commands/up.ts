import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { readLimits } from '../../gateway/door/limits-file.ts';
import { readLocalOptions } from '../../gateway/local/options.ts';
import { type IdentityOptions, identityOptions, readKey, refuseSecretArguments } from '../../gateway/rmb/index.ts';
import { parseLocation } from '../../modules/noded/location.ts';
import { parsePeer } from '../../modules/noded/perf/peer.ts';
import { commands } from '../../schemas/index.ts';
import { CliError, type Command, readFlags } from '../command.ts';
import { Stages } from '../demo/stages.ts';
import { checkedLevel } from '../log-level.ts';
import type { NodeConfig } from '../node/config.ts';
import { keepNodeKey } from '../node/keys.ts';
import { type Layout, makeLayout } from '../node/layout.ts';
import { isSimulated, startCommand } from '../node/lifecycle.ts';
import { webPort } from '../node/ports.ts';
import { startNode, type Wishes } from '../node/start.ts';
import { parseSize } from '../table.ts';
import { checkedTwin } from '../twin-option.ts';

const usage = `usage: gridnode up [options]

Starts a node and returns when it answers. Without --chain it runs a development
chain and a relay of its own, and makes a farmer, a node and a user on them.

  --state DIR         where the node lives (default /var/lib/gridnode/node)
  --isolated          in network and mount namespaces of its own
  --pool-size SIZE    size of the loop file that stands in for a disk (default 10G)
  --device PATH       a whole empty disk instead; may be given more than once
  --chain URL,...     chain of the grid
  --relay URL,...     relays of the grid, at most 4
  --key-file FILE     the node's key, mode 0600; it stays there (default: made in keys/node.json)
  --key-env NAME      a variable that holds it; kept in keys/node.json
  --key-fd NUMBER     a descriptor to read it from; kept in keys/node.json
  --update-twin MODE  union: add these relays and the key to the node's twin on the chain;
                      replace: make its relays exactly these. Default: only say what differs
  --create-twin       make the twin where there is none; accepts the grid's terms, the account pays
  --farm ID           register the node with this farm: its record on the chain is made where
                      there is none, and brought up to date at each start where it differs
  --flists DIR        folder that file:// flists may come from
  --allow-address CIDR,...  ranges that flists may come from although they are reserved
  --deny-private      no flists from private ranges
  --limits FILE       what the node accepts of twins, see docs/door.md
  --require-encryption  no requests in clear of twins that have a key on the chain
  --admin-twin ID     twin that may look at every twin's deployments (zos.debug.*);
                      may be given more than once
  --local-redis URL   lets programs that speak to rmb-peer work beside the node, over
                      this Redis, see docs/local-services.md
  --local-commands NAME,...  what they answer
  --local-send        they may call others as the node
  --location longitude=DEG,latitude=DEG[,continent=NAME][,country=CODE:NAME][,city=NAME]
                      where the node stands (default: what the chain says of the node)
  --iperf-peer HOST[:PORT],...  whom this node's throughput is measured against, by iperf3
                      (default: the nodes of its farm that have a public address)
  --iperf-listen ADDRESS[:PORT]  lets others measure against this node, on port 300 of the grid
  --accel auto|kvm|tcg
  --log-level LEVEL   trace, debug, info, warn, error

A node that ran before starts with the options of then when none are given.`;

const options = {
  state: { type: 'string' },
  isolated: { type: 'boolean', default: false },
  'pool-size': { type: 'string', default: '10G' },
  device: { type: 'string', multiple: true },
  chain: { type: 'string' },
  relay: { type: 'string' },
  'key-file': { type: 'string' },
  'key-env': { type: 'string' },
  'key-fd': { type: 'string' },
  'update-twin': { type: 'string' },
  'create-twin': { type: 'boolean', default: false },
  farm: { type: 'string' },
  flists: { type: 'string' },
  'allow-address': { type: 'string' },
  'deny-private': { type: 'boolean', default: false },
  limits: { type: 'string' },
  'require-encryption': { type: 'boolean', default: false },
  'admin-twin': { type: 'string', multiple: true },
  'local-redis': { type: 'string' },
  'local-commands': { type: 'string', default: '' },
  'local-send': { type: 'boolean', default: false },
  location: { type: 'string' },
  'iperf-peer': { type: 'string' },
  'iperf-listen': { type: 'string' },
  accel: { type: 'string', default: 'auto' },
  'log-level': { type: 'string', default: 'info' },
} as const;

export const command: Command = {
  usage,
  goesOnUnheard: true,
  async run(args) {
    try {
      refuseSecretArguments(args);
    } catch (error) {
      throw new CliError((error as Error).message);
    }
    const values = readFlags(args, options, usage);
    const poolSize = parseSize(values['pool-size']);
    if (poolSize === undefined)
      throw new CliError(`--pool-size ${values['pool-size']} is not a size; write 10G or 500M`);
    const { accel } = values;
    if (accel !== 'auto' && accel !== 'kvm' && accel !== 'tcg')
      throw new CliError(`--accel ${accel}: use auto, kvm or tcg`);
    if ((values.chain === undefined) !== (values.relay === undefined))
      throw new CliError('--chain and --relay go together');
    const ofGrid = ['key-file', 'key-env', 'key-fd', 'update-twin', 'farm'] as const;
    const alone = values.chain === undefined ? ofGrid.find((name) => values[name] !== undefined) : undefined;
    if (alone !== undefined) throw new CliError(`--${alone} goes with --chain: a development node makes its own`);
    const updateTwin = values['update-twin'];
    if (updateTwin !== undefined && updateTwin !== 'union' && updateTwin !== 'replace')
      throw new CliError(`--update-twin ${updateTwin}: use union or replace`);
    const limitsFile = values.limits === undefined ? null : await checkedLimits(resolve(values.limits));
    const logLevel = checkedLevel(values['log-level']);
    const layout = makeLayout(values.state);
    if (await isSimulated(layout))
      throw new CliError(`${layout.state} holds a simulated node; start it with: ${await startCommand(layout)}`);
    const keyFile = await takeKey(layout, values);
    const wishes: Wishes = {
      isolated: values.isolated,
      poolSize,
      devices: values.device ?? [],
      accel,
      flistFolder: values.flists === undefined ? null : resolve(values.flists),
      flistAllow: values['allow-address']?.split(',') ?? [],
      flistDenyPrivate: values['deny-private'],
      limitsFile,
      requireEncryption: values['require-encryption'],
      adminTwins: (values['admin-twin'] ?? []).map(checkedTwin),
      local: checkedLocal(layout, values),
      location: values.location === undefined ? null : checkedLocation(values.location),
      iperf: {
        peers: (values['iperf-peer']?.split(',') ?? []).map(checkedPeer),
        listen: values['iperf-listen'] === undefined ? null : checkedPeer(values['iperf-listen']),
      },
      logLevel,
      ...(values.chain === undefined ? {} : { chain: values.chain.split(',') }),
      ...(values.relay === undefined ? {} : { relay: values.relay.split(',') }),
      ...(keyFile === undefined ? {} : { keyFile }),
      ...(updateTwin === undefined ? {} : { updateTwin }),
      createTwin: values['create-twin'],
      farm: values.farm === undefined ? null : checkedFarm(values.farm),
    };
    const again =
      existsSync(layout.config) && args.every((arg, i) => arg.startsWith('--state') || args[i - 1] === '--state');
    const stages = new Stages({ quiet: false });
    const stopping = new AbortController();
    process.once('SIGINT', () => stopping.abort(new CliError('interrupted; stop what runs with: gridnode down')));
    const config = await startNode(
      layout,
      again ? undefined : wishes,
      (name, work) => stages.run(name, work),
      stopping.signal,
    );
    process.stdout.write(`node in ${layout.state} answers on ${config.relay.join(', ')}\n`);
    if (config.development) {
      process.stdout.write(
        `chain ${config.chain[0]}, grid proxy http://${config.address}:${webPort}, GraphQL below it at /graphql\n`,
      );
    }
    return 0;
  },
};

/** Keeps a key that comes once; the path of one that stays in its file. */
async function takeKey(layout: Layout, options: IdentityOptions): Promise<string | undefined> {
  if (identityOptions.every((name) => options[name] === undefined)) return undefined;
  try {
    const key = await readKey(options);
    const file = options['key-file'];
    if (file === undefined) await keepNodeKey(layout, key);
    return file === undefined ? undefined : resolve(file);
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** Refused here, and not by a daemon that would start again and again. */
function checkedPeer(text: string): string {
  try {
    parsePeer(text);
    return text;
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** What the gateway will accept of programs beside it. */
function checkedLocal(
  layout: Layout,
  wanted: { readonly 'local-redis'?: string; readonly 'local-commands': string; readonly 'local-send': boolean },
): NodeConfig['local'] {
  const { 'local-redis': redis, 'local-commands': names, 'local-send': send } = wanted;
  if (redis === undefined) {
    if (names !== '' || send) throw new CliError('--local-commands and --local-send go with --local-redis');
    return null;
  }
  const own = new Set(commands.map(({ name }) => name));
  const node = { broker: layout.broker, answers: (command: string) => own.has(command) };
  try {
    const checked = readLocalOptions({ 'local-redis': redis, 'local-commands': names }, node);
    return { redis, commands: [...(checked?.commands ?? [])], send };
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** A place that noded will accept. */
function checkedFarm(text: string): number {
  const id = Number(text);
  if (Number.isInteger(id) && id > 0 && id <= 0xffffffff) return id;
  throw new CliError(`--farm ${text}: give the farm's number on the chain`);
}

function checkedLocation(text: string): string {
  try {
    parseLocation(text);
  } catch (error) {
    throw new CliError((error as Error).message);
  }
  return text;
}

/** The path of a file that the gateway will accept. */
async function checkedLimits(path: string): Promise<string> {
  try {
    await readLimits(path);
  } catch (error) {
    throw new CliError((error as Error).message);
  }
  return path;
}
