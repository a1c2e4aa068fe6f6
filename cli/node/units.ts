/** The units of a node, in zinit's format. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { writeFileAtomic } from '../../modules/host/files.ts';
import type { NodeConfig } from './config.ts';
import { keyPath } from './keys.ts';
import { checkout, type Layout } from './layout.ts';
import { httpPort, webPort } from './ports.ts';
import { simulatedUnits } from './simulated-units.ts';
import {
  answersTest,
  compileCache,
  gatewayOptions,
  nodeOptions,
  redisUnit,
  type UnitFile,
  words,
} from './unit-file.ts';

/** Port and host of a ws:// URL. */
function listenAddress(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port}`;
}

function localFlags(local: NodeConfig['local']): string[] {
  if (local === null) return [];
  const flags = ['--local-redis', local.redis, '--local-commands', local.commands.join(',')];
  return local.send ? [...flags, '--local-send', 'true'] : flags;
}

/** Every unit that the node's configuration asks for. */
export function unitFiles(layout: Layout, config: NodeConfig): Record<string, UnitFile> {
  if (config.simulated !== null) return simulatedUnits(layout, config, config.simulated);
  const { state, broker } = layout;
  const daemon = (file: string, ...flags: readonly string[]): string =>
    words(
      process.execPath,
      join(checkout, file),
      '--broker',
      broker,
      '--state',
      state,
      '--log-level',
      config.logLevel,
      ...flags,
    );
  const answers = (module: string): string => answersTest(layout, module);
  const listens = (url: string): string => {
    const [host = '', port = ''] = listenAddress(url).split(':');
    return words('bash', '-c', 'exec 3<>/dev/tcp/$0/$1', host, port);
  };
  const env = { NODE_COMPILE_CACHE: compileCache, NODE_OPTIONS: nodeOptions };
  const [chainUrl = ''] = config.chain;
  const [relayUrl = ''] = config.relay;
  const development: Record<string, UnitFile> = config.development
    ? {
        chain: {
          exec: words(
            process.execPath,
            join(checkout, 'gateway/chain/dev/main.ts'),
            '--listen',
            listenAddress(chainUrl),
            '--state',
            state,
          ),
          test: listens(chainUrl),
          env,
        },
        relay: {
          exec: daemon('gateway/relay/main.ts', '--listen', listenAddress(relayUrl), '--domain', config.relayDomain),
          test: listens(relayUrl),
          after: ['redis', 'chaind'],
          env,
        },
        web: {
          exec: words(
            process.execPath,
            join(checkout, 'gateway/chain/dev/web/main.ts'),
            ...['--listen', `${config.address}:${webPort}`, '--chain', chainUrl, '--relay', relayUrl],
            ...['--key-file', keyPath(layout, 'farmer'), '--log-level', config.logLevel],
          ),
          test: listens(`http://${config.address}:${webPort}`),
          after: ['chain'],
          env,
        },
      }
    : {};
  const key = ['--key-file', config.keyFile ?? keyPath(layout, 'node')];
  const storage =
    config.devices.length > 0 ? ['--device', config.devices.join(',')] : ['--pool-size', `${config.poolSize}`];
  return {
    redis: redisUnit(layout),
    ...development,
    chaind: {
      exec: daemon('gateway/chain/main.ts', '--chain', config.chain.join(','), ...key),
      test: answers('api-gateway'),
      after: config.development ? ['redis', 'chain'] : ['redis'],
      env,
    },
    storaged: {
      exec: daemon('modules/storaged/main.ts', ...storage, '--cache-size', `${config.cacheSize}`),
      test: answers('storage'),
      after: ['redis'],
      env,
    },
    networkd: {
      exec: daemon('modules/networkd/main.ts', ...(config.isolated ? ['--uplink', 'uplink'] : [])),
      test: answers('network'),
      after: ['redis'],
      env,
    },
    flistd: {
      exec: daemon(
        'modules/flistd/main.ts',
        ...(config.flistFolder === null ? [] : ['--allow-file', config.flistFolder]),
        ...(config.flistAllow.length === 0 ? [] : ['--allow-address', config.flistAllow.join(',')]),
        ...(config.flistDenyPrivate ? ['--deny-private', 'true'] : []),
      ),
      test: answers('flist'),
      after: ['redis', 'storaged'],
      env,
    },
    vmd: {
      exec: daemon('modules/vmd/main.ts', '--accel', config.accel),
      test: answers('vmd'),
      after: ['redis', 'networkd', 'flistd'],
      env,
    },
    noded: {
      exec: daemon(
        'modules/noded/main.ts',
        ...['--chain', config.chain.join(','), '--relay', config.relay.join(',')],
        ...(config.location === null ? [] : ['--location', config.location]),
        ...(config.farm === null ? [] : ['--farm', `${config.farm}`]),
        ...(config.iperf.peers.length === 0 ? [] : ['--iperf-peer', config.iperf.peers.join(',')]),
        ...(config.iperf.listen === null ? [] : ['--iperf-listen', config.iperf.listen]),
      ),
      test: answers('node'),
      after: ['redis'],
      env,
    },
    provisiond: {
      exec: daemon(
        'provision/main.ts',
        ...['--kernel', join(state, 'guest', 'kernel'), '--initrd', join(state, 'guest', 'initrd.img')],
      ),
      test: answers('provision'),
      after: ['storaged', 'networkd', 'flistd', 'vmd', 'chaind'],
      env,
      shutdown_timeout: 20,
    },
    gateway: {
      exec: daemon(
        'gateway/main.ts',
        ...['--relay', config.relay.join(','), ...key],
        ...(config.updateTwin === 'never' ? [] : ['--update-twin', config.updateTwin]),
        ...(config.createTwin ? ['--create-twin', 'true'] : []),
        ...['--http', `${config.address}:${httpPort}`],
        ...(config.limitsFile === null ? [] : ['--limits', config.limitsFile]),
        ...(config.requireEncryption ? ['--require-encryption', 'true'] : []),
        ...(config.adminTwins.length === 0 ? [] : ['--admin-twins', config.adminTwins.join(',')]),
        ...localFlags(config.local),
      ),
      test: answers('rmb-gateway'),
      after: config.development ? ['provisiond', 'relay'] : ['provisiond'],
      env: { ...env, NODE_OPTIONS: gatewayOptions },
    },
  };
}

/** Writes the unit files, and removes those of an earlier configuration. */
export async function writeUnits(layout: Layout, config: NodeConfig): Promise<void> {
  await mkdir(layout.units, { recursive: true, mode: 0o700 });
  await mkdir(join(layout.state, 'run'), { recursive: true, mode: 0o700 });
  const files = unitFiles(layout, config);
  for (const old of await readdir(layout.units)) {
    if (old.endsWith('.yaml') && !(old.slice(0, -5) in files)) await rm(join(layout.units, old));
  }
  for (const [name, unit] of Object.entries(files)) {
    await writeFileAtomic(join(layout.units, `${name}.yaml`), stringify(unit, { lineWidth: 0 }), 0o600);
  }
}

/** Names of the units that were written, in no particular order. */
export async function unitNames(layout: Layout): Promise<string[]> {
  const files = await readdir(layout.units).catch(() => []);
  return files.filter((file) => file.endsWith('.yaml')).map((file) => file.slice(0, -5));
}
