import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Identity } from '../../gateway/rmb/index.ts';
import { CliError } from '../command.ts';
import type { NodeConfig } from './config.ts';
import { ensureKey, keepNodeKey, keyPath } from './keys.ts';
import { checkout, type Layout, makeLayout } from './layout.ts';
import { unitFiles } from './units.ts';

const secret = randomBytes(32).toString('hex');
let layout: Layout;

beforeEach(async () => {
  layout = makeLayout(await mkdtemp(join(tmpdir(), 'gn-keys-')));
});
afterEach(() => rm(layout.state, { recursive: true, force: true }));

const config: NodeConfig = {
  development: false,
  isolated: false,
  address: '127.0.0.1',
  hostAddress: '127.0.0.1',
  chain: ['wss://chain.example'],
  relay: ['wss://relay.example', 'wss://other.example'],
  relayDomain: 'relay.example',
  keyFile: null,
  updateTwin: 'never',
  createTwin: false,
  farm: null,
  adminTwins: [],
  poolSize: 2 ** 30,
  cacheSize: 2 ** 30,
  devices: [],
  accel: 'auto',
  flistFolder: null,
  flistAllow: [],
  flistDenyPrivate: false,
  limitsFile: null,
  requireEncryption: false,
  local: null,
  location: null,
  iperf: { peers: [], listen: null },
  simulated: null,
  logLevel: 'info',
};

describe("a node's key", () => {
  it('is kept in a private file, and stays the same', async () => {
    const key = { keyType: 'sr25519', secret } as const;
    await keepNodeKey(layout, key);
    await keepNodeKey(layout, { ...key, secret: `0x${secret}` });
    expect((await stat(keyPath(layout, 'node'))).mode & 0o777).toBe(0o600);
    expect((await stat(layout.keys)).mode & 0o777).toBe(0o700);
    const { publicKey } = await Identity.fromSecret(secret, 'sr25519');
    expect((await ensureKey(layout, 'node')).publicKey).toEqual(publicKey);
    for (const other of [
      { keyType: 'ed25519', secret },
      { keyType: 'sr25519', secret: randomBytes(32).toString('hex') },
    ] as const) {
      const error: unknown = await keepNodeKey(layout, other).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(CliError);
      expect((error as Error).message).toContain('holds another key');
      expect((error as Error).message).not.toContain(other.secret);
    }
    expect((await ensureKey(layout, 'node')).publicKey).toEqual(publicKey);
  });

  it('is given to daemons as a path, with what may be written of its twin', () => {
    const [own, elsewhere] = [keyPath(layout, 'node'), '/run/keys/node.json'];
    const execs = (change: Partial<NodeConfig>): string[] => {
      const units = unitFiles(layout, { ...config, ...change });
      return [units.chaind?.exec ?? '', units.gateway?.exec ?? ''];
    };
    for (const exec of execs({})) {
      expect(exec).toContain(`--key-file ${own}`);
      expect(exec).not.toContain('twin');
    }
    for (const exec of execs({ keyFile: elsewhere })) expect(exec).toContain(`--key-file ${elsewhere}`);
    expect(execs({ updateTwin: 'replace', createTwin: true })[1]).toMatch(/--update-twin replace --create-twin true/);
  });

  it('is refused by up as an argument, and taken from a variable before anything is started', async () => {
    const up = async (args: readonly string[], env: Record<string, string> = {}): Promise<string> => {
      const all = ['up', '--state', layout.state, ...args];
      const options = { env: { ...process.env, ...env } };
      const error = await promisify(execFile)(process.execPath, [join(checkout, 'cli/main.ts'), ...all], options).then(
        () => undefined,
        (reason: { stderr: string }) => reason.stderr,
      );
      expect(error).not.toContain(secret);
      return error ?? '';
    };
    const grid = ['--chain', 'ws://127.0.0.1:9', '--relay', 'ws://127.0.0.1:9'];
    expect(await up([...grid, '--key-file', secret])).toContain('no place for a secret');
    expect(await up(['--key-env', 'GN_KEY'], { GN_KEY: secret })).toContain('--key-env goes with --chain');
    await ensureKey(layout, 'node');
    const other = `ed25519:${randomBytes(32).toString('hex')}`;
    expect(await up([...grid, '--key-env', 'GN_KEY'], { GN_KEY: other })).toContain('holds another key');
    expect(await readFile(keyPath(layout, 'node'), 'utf8')).not.toContain(other.slice(8));
  });
});
