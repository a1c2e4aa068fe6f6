/** The command line of the stand-alone peer: that of rmb-peer, but for what must not be in it. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type BrokerAddress, parseBroker } from '../../modules/zbus/broker.ts';
import { relayHosts, type UpdateMode, updateModes } from '../chain/own-twin.ts';
import { parseListenAddress } from '../http/server.ts';
import { type IdentityOptions, identityOptions, refuseSecretArguments } from '../rmb/identity-source.ts';
import { type KeyType, keyTypes } from '../rmb/keys.ts';
import { allowList } from './names.ts';
import { parseRedisUrl, type RedisPlace } from './redis.ts';

export interface PeerOptions {
  readonly redis: RedisPlace;
  readonly chain: readonly string[];
  readonly genesis: string | undefined;
  readonly relays: readonly string[];
  /** Host names the chain should have. */
  readonly relayHosts: readonly string[];
  readonly update: UpdateMode;
  readonly create: boolean;
  readonly identity: IdentityOptions;
  readonly keyType: KeyType | undefined;
  readonly commands: ReadonlySet<string>;
  readonly state: string;
  readonly requireEncryption: boolean;
  readonly http: { readonly host: string; readonly port: number } | undefined;
  readonly logLevel: string;
}

const PASSWORD_VARIABLE = 'GRIDNODE_LOCAL_REDIS_PASSWORD';
const MAX_RELAYS = 4;

export const usage = `usage: gridnode peer --key-file FILE [options]

Lets programs that speak to rmb-peer over Redis call other twins and serve them.

  --key-file FILE       key of the twin, or --key-env NAME, or --key-fd NUMBER;
                        never as an argument: others on the machine read those
  -k, --key-type TYPE   sr25519 or ed25519; refuses a key of the other type
  -r, --redis URL       redis://HOST:PORT[/DB] or unix:///path (default redis://localhost:6379);
                        a password goes into the variable ${PASSWORD_VARIABLE}
  -s, --substrate URL   endpoint of the chain; more than one are tried in turn
                        (default wss://tfchain.grid.tf:443)
  --genesis HASH        the chain's block 0, where endpoints are not trusted to agree
  --relay URL           relay, at most 4 (default wss://relay.grid.tf:443)
  --serve COMMAND,...   commands that local services answer; others are refused
  --serve-file FILE     the same, one a line
  --update-twin MODE    never (default), union or replace: bring relays and key of
                        the twin on the chain up to date, which costs a fee
  --no-update           the same as --update-twin never
  --create-twin         make the twin where the key has none
  --require-encryption  refuse requests in clear of twins that have a key
  --state DIR           where requests that were let in are remembered
                        (default ~/.local/state/gridnode-peer)
  --http HOST:PORT      metrics and health
  -d, --debug           more in the log`;

/** Throws `RangeError` and `KeyError` with texts for a person. */
export function parsePeerOptions(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): PeerOptions {
  refuseSecretArguments(argv, ['genesis']);
  const { values } = parseArgs({
    args: [...argv],
    options: {
      ...(Object.fromEntries(identityOptions.map((name) => [name, { type: 'string' }])) as Record<
        (typeof identityOptions)[number],
        { type: 'string' }
      >),
      'key-type': { type: 'string', short: 'k' },
      redis: { type: 'string', short: 'r', default: 'redis://localhost:6379' },
      substrate: { type: 'string', short: 's', multiple: true, default: ['wss://tfchain.grid.tf:443'] },
      genesis: { type: 'string' },
      relay: { type: 'string', multiple: true, default: ['wss://relay.grid.tf:443'] },
      serve: { type: 'string', multiple: true, default: [] },
      'serve-file': { type: 'string' },
      'update-twin': { type: 'string', default: 'never' },
      'no-update': { type: 'boolean', default: false },
      'create-twin': { type: 'boolean', default: false },
      'require-encryption': { type: 'boolean', default: false },
      state: { type: 'string' },
      http: { type: 'string' },
      debug: { type: 'boolean', short: 'd', multiple: true, default: [] },
    },
  });
  if (values.relay.length > MAX_RELAYS) throw new RangeError('the number of relays should not exceed 4');
  for (const url of [...values.relay, ...values.substrate]) {
    if (!/^wss?:\/\/[^/]/.test(url) || URL.parse(url) === null) {
      throw new RangeError(`'${url}' is not a URL that begins with ws:// or wss://`);
    }
  }
  const update = updateModes.find((mode) => mode === values['update-twin']);
  if (update === undefined) throw new RangeError(`--update-twin is one of ${updateModes.join(', ')}`);
  if (values['no-update'] && update !== 'never') throw new RangeError('--no-update and --update-twin contradict');
  const wanted = values['key-type'];
  const keyType = keyTypes.find((type) => type === wanted);
  if (wanted !== undefined && keyType === undefined) throw new RangeError('--key-type is sr25519 or ed25519');
  return {
    redis: parseRedisUrl(values.redis, env[PASSWORD_VARIABLE]),
    chain: values.substrate,
    genesis: values.genesis,
    relays: values.relay,
    relayHosts: relayHosts(values.relay),
    update,
    create: values['create-twin'],
    identity: values,
    keyType,
    commands: allowList([...values.serve.flatMap((list) => list.split(',')), ...commandsIn(values['serve-file'])]),
    state: values.state ?? join(env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state'), 'gridnode-peer'),
    requireEncryption: values['require-encryption'],
    http: values.http === undefined ? undefined : parseListenAddress(values.http),
    logLevel: ['info', 'debug', 'trace'][Math.min(2, values.debug.length)] ?? 'info',
  };
}

/** Commands of a file, one a line; lines that begin with `#` say what for. */
function commandsIn(file: string | undefined): string[] {
  if (file === undefined) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
}

export const localOptions = ['local-redis', 'local-commands', 'local-send', 'local-on-bus'] as const;

function samePlace({ address }: RedisPlace, bus: BrokerAddress): boolean {
  if ('path' in address) return 'path' in bus && bus.path === address.path;
  return 'host' in bus && bus.host === address.host && bus.port === address.port;
}

/** The gateway's own flags for the interface. Undefined without `--local-redis`. Throws `RangeError`. */
export function readLocalOptions(
  options: { readonly [K in (typeof localOptions)[number]]?: string },
  node: { readonly broker: string; readonly answers: (command: string) => boolean },
  env: NodeJS.ProcessEnv = process.env,
): { readonly redis: RedisPlace; readonly commands: ReadonlySet<string>; readonly mayAsk: boolean } | undefined {
  const url = options['local-redis'];
  if (url === undefined) return undefined;
  const redis = parseRedisUrl(url, env[PASSWORD_VARIABLE]);
  if (samePlace(redis, parseBroker(node.broker)) && options['local-on-bus'] !== 'true') {
    throw new RangeError(
      "--local-redis is the node's own bus: who writes there commands the node. Give another Redis, or --local-on-bus true",
    );
  }
  const names = options['local-commands']?.split(',').filter((name) => name !== '') ?? [];
  return { redis, commands: allowList(names, node.answers), mayAsk: options['local-send'] === 'true' };
}
