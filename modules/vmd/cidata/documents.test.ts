import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Seed, seedDocuments } from './documents.ts';
import { ShellWordError, splitWords } from './shell.ts';

const seed: Seed = {
  name: '29-1234-vm1',
  hostname: 'vm1',
  interfaces: [
    {
      mac: '52:54:00:12:34:56',
      addresses: ['10.3.1.2/24', 'fd00::2/64'],
      gateway4: '10.3.1.1',
      routes: [{ to: '10.3.0.0/16', via: '10.3.1.1' }, { to: '10.9.0.0/16' }],
    },
    { mac: '52:54:00:00:00:02', addresses: ['2001:db8::2/64'], gateway6: 'fe80::1', routes: [] },
  ],
  nameservers: ['8.8.8.8', '2001:4860:4860::8888'],
  mounts: [
    { source: '/dev/vda', target: '/data', type: 'auto' },
    { source: 'vol', target: '/mnt/v', type: 'virtiofs' },
  ],
  sshKeys: 'ssh-ed25519 AAA a@b,ssh-rsa BBB\n\ncommand="x \\" y" ssh-ed25519 CCC',
  environment: new Map([['A', `it's`]]),
  entrypoint: `/sbin/zinit init 'two words' "$x"`,
};

it('writes meta-data, network-config and user-data as cloud-init reads them', () => {
  const documents = seedDocuments(seed);
  expect([...documents.keys()]).toEqual(['meta-data', 'network-config', 'user-data', 'zosrc']);
  for (const name of ['meta-data', 'network-config', 'user-data']) {
    expect(documents.get(name)).toMatch(/^#cloud-config\n/);
  }
  expect(parse(documents.get('meta-data') ?? '')).toEqual({ 'instance-id': '29-1234-vm1', 'local-hostname': 'vm1' });
  expect(parse(documents.get('network-config') ?? '')).toEqual({
    version: 2,
    ethernets: {
      eth0: {
        match: { macaddress: '52:54:00:12:34:56' },
        dhcp4: false,
        addresses: ['10.3.1.2/24', 'fd00::2/64'],
        gateway4: '10.3.1.1',
        routes: [{ to: '10.3.0.0/16', via: '10.3.1.1' }, { to: '10.9.0.0/16' }],
        nameservers: { addresses: ['8.8.8.8', '2001:4860:4860::8888'] },
      },
      eth1: {
        match: { macaddress: '52:54:00:00:00:02' },
        dhcp4: false,
        addresses: ['2001:db8::2/64'],
        gateway6: 'fe80::1',
      },
    },
  });
  expect(parse(documents.get('user-data') ?? '')).toEqual({
    mounts: [
      ['/dev/vda', '/data', 'auto', 'defaults', '0', '0'],
      ['vol', '/mnt/v', 'virtiofs', 'defaults', '0', '0'],
    ],
    users: [
      {
        name: 'root',
        ssh_authorized_keys: ['ssh-ed25519 AAA a@b', 'ssh-rsa BBB', 'command="x \\" y" ssh-ed25519 CCC'],
      },
    ],
  });
});

it('writes the environment and the entrypoint as the grid does, byte for byte', () => {
  expect(seedDocuments(seed).get('zosrc')).toBe(
    `export A='it'"'"'s'\ninit='/sbin/zinit'\nset -- 'init' 'two words' '$x'\n`,
  );
});

it('W28: keeps any environment and any argument through a real shell', () => {
  const text = fc
    .string({ unit: 'binary', maxLength: 40 })
    .filter((value) => !value.includes('\0') && value.isWellFormed());
  fc.assert(
    fc.property(text, text, (value, argument) => {
      const entrypoint = `/x '${argument.replaceAll("'", `'"'"'`)}'`;
      const zosrc = seedDocuments({ ...seed, environment: new Map([['A', value]]), entrypoint }).get('zosrc') ?? '';
      const script = `${zosrc}\nprintf '%s\\0%s\\0%s' "$A" "$init" "$1"`;
      const out = execFileSync('/bin/sh', ['-c', script]).toString('utf8');
      expect(out.split('\0')).toEqual([value, '/x', argument]);
    }),
    { numRuns: 40 },
  );
});

it('splits words as a shell does and refuses what does not end', () => {
  expect(splitWords(`a  'b c' "d \\" \\n" e\\ f g'h'"i" # note`)).toEqual(['a', 'b c', 'd " \\n', 'e f', 'ghi']);
  expect(splitWords('')).toEqual([]);
  expect(splitWords(`'' ""`)).toEqual(['', '']);
  for (const line of [`'a`, `"a`, 'a\\']) expect(() => splitWords(line)).toThrow(ShellWordError);
});
