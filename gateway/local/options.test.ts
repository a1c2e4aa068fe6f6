import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { allowList, problemOfReturn } from './names.ts';
import { parsePeerOptions, readLocalOptions } from './options.ts';
import { parseRedisUrl } from './redis.ts';

const words = 'abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about';
const key = ['--key-env', 'X'];

describe('the command line', () => {
  it('is that of rmb-peer where it says nothing else', () => {
    expect(parsePeerOptions(key, { HOME: '/nowhere', XDG_STATE_HOME: '/state' })).toMatchObject({
      redis: { address: { host: 'localhost', port: 6379 }, db: 0 },
      chain: ['wss://tfchain.grid.tf:443'],
      relays: ['wss://relay.grid.tf:443'],
      relayHosts: ['relay.grid.tf'],
      update: 'never',
      create: false,
      commands: new Set(),
      state: '/state/gridnode-peer',
      logLevel: 'info',
    });
  });

  it('takes the short and repeated flags of rmb-peer', () => {
    const args = [...key, '-k', 'ed25519', '-r', 'unix:///run/r.sock', '-s', 'ws://a', '-s', 'ws://b', '-d', '-d'];
    const relays = ['--relay', 'ws://r1', '--relay', 'ws://r2', '--no-update', '--serve', 'a.b,c', '--serve', 'd'];
    expect(parsePeerOptions([...args, ...relays], { GRIDNODE_LOCAL_REDIS_PASSWORD: 'hush' })).toMatchObject({
      redis: { address: { path: '/run/r.sock' }, password: 'hush' },
      keyType: 'ed25519',
      chain: ['ws://a', 'ws://b'],
      relayHosts: ['r1', 'r2'],
      commands: new Set(['a.b', 'c', 'd']),
      logLevel: 'trace',
    });
  });

  it('reads commands from a file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'gn-peer-'));
    try {
      const file = join(folder, 'commands');
      writeFileSync(file, '# the calculator\ncalculator.add\n\n  calculator.sub  \n');
      const { commands } = parsePeerOptions([...key, '--serve-file', file], {});
      expect(commands).toEqual(new Set(['calculator.add', 'calculator.sub']));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    ['words', ['-m', words], /-m is no place for a secret/],
    ['words by the long name', ['--mnemonic', words], /--mnemonic is no place for a secret/],
    ['words by an old name', [`--mnemonics=${words}`], /--mnemonics is no place for a secret/],
    ['a seed by an old name', [`--seed=0x${'ab'.repeat(32)}`], /--seed is no place for a secret/],
    [
      'five relays',
      [1, 2, 3, 4, 5].flatMap((n) => ['--relay', `ws://r${n}`]),
      /^the number of relays should not exceed 4$/,
    ],
    ['a relay that is none', ['--relay', 'r1'], /'r1' is not a URL/],
    ['a reserved command', ['--serve', 'system.local'], /'system.local' begins with 'system.'/],
    ['a command with a star', ['--serve', 'a.*'], /'a\.\*' is not a command/],
    ['a password in the URL', ['-r', 'redis://:hush@localhost'], /^no password in the Redis URL/],
    ['a URL of something else', ['-r', 'http://localhost'], /is no Redis URL/],
    ['an unknown key type', ['-k', 'ecdsa'], /sr25519 or ed25519/],
    ['an unknown way to update', ['--update-twin', 'yes'], /never, union, replace/],
    ['two ways to update', ['--update-twin', 'union', '--no-update'], /contradict/],
    ['an unknown flag', ['--uplods'], /uplods/],
  ])('is refused: %s', (_name, args, reason) => {
    expect(() => parsePeerOptions([...key, ...args], {})).toThrow(reason);
  });
});

describe('the flags of the gateway', () => {
  const node = { broker: 'unix:///state/redis.sock', answers: (command: string) => command === 'zos.system.version' };

  it('open nothing by themselves', () => {
    expect(readLocalOptions({}, node, {})).toBeUndefined();
    const local = readLocalOptions({ 'local-redis': 'redis://localhost' }, node, {});
    expect(local).toMatchObject({ commands: new Set(), mayAsk: false });
  });

  it("keep to another Redis than the node's own, unless told", () => {
    const flags = { 'local-redis': 'unix:///state/redis.sock' };
    expect(() => readLocalOptions(flags, node, {})).toThrow("--local-redis is the node's own bus");
    expect(readLocalOptions({ ...flags, 'local-on-bus': 'true' }, node, {})).toBeDefined();
  });

  it("leave the node's own commands to the node", () => {
    const flags = { 'local-redis': 'redis://localhost', 'local-commands': 'a.b,zos.system.version' };
    expect(() => readLocalOptions(flags, node, {})).toThrow("'zos.system.version' is answered by the node itself");
  });
});

describe('names', () => {
  it.each([
    ['calculator.add', true],
    ['a', true],
    ['system.local', false],
    ['system', false],
    ['backlog.x', false],
    ['rmb.version', false],
    ['a..b', false],
    ['.a', false],
    ['a b', false],
    ['', false],
    ['a*', false],
    ['a'.repeat(129), false],
  ])('of a command: %j is one: %s', (name, allowed) => {
    if (allowed) expect(allowList([name])).toEqual(new Set([name]));
    else expect(() => allowList([name])).toThrow(RangeError);
  });

  it.each([
    ['9d0d7cbe-0000-4000-8000-000000000001', true],
    ['my.replies:1', true],
    ['msgbus.system.reply', false],
    ['msgbus.anything', false],
    ['msgbusses', true],
    ['gridnode.peer.x', false],
    ['*', false],
    ['a\nb', false],
  ])('of a list for answers: %j is one: %s', (name, allowed) => {
    expect(problemOfReturn(name) === undefined).toBe(allowed);
  });

  it('of places of Redis', () => {
    expect(parseRedisUrl('redis://[::1]:7000/3')).toEqual({ address: { host: '::1', port: 7000 }, db: 3 });
    expect(parseRedisUrl('tcp://host:1')).toEqual({ address: { host: 'host', port: 1 }, db: 0 });
    for (const url of ['redis://', 'redis://h/x', 'x', 'redis://user@h']) expect(() => parseRedisUrl(url)).toThrow();
  });
});
