import { expect, it } from 'vitest';
import { isGridError } from '../../schemas/errors/index.ts';
import type { Infer } from '../zbus/wire.ts';
import { machineConfig } from './config.ts';
import type { VM, VMIface } from './interface.ts';

const bytes = (...list: number[]): Uint8Array => Uint8Array.from(list);
const iface: Infer<typeof VMIface> = {
  Tap: 't-abc',
  MAC: 'AA:bb:cc:dd:ee:ff',
  IPs: [{ IP: bytes(10, 3, 1, 2), Mask: bytes(255, 255, 255, 0) }],
  Routes: [{ Net: { IP: bytes(10, 3, 0, 0), Mask: bytes(255, 255, 0, 0) }, Gateway: bytes(10, 3, 1, 1) }],
  IP4DefaultGateway: bytes(10, 3, 1, 1),
  IP6DefaultGateway: null,
  PublicIPv4: false,
  PublicIPv6: false,
  NetID: 'net',
};
const vm: Infer<typeof VM> = {
  Name: '1-2-vm',
  CPU: 1,
  Memory: 256 * 1024 * 1024,
  Network: { Ifaces: [iface], Nameservers: [bytes(8, 8, 8, 8)] },
  KernelImage: '/guest/vmlinux',
  InitrdImage: '',
  KernelArgs: new Map(),
  Entrypoint: '/init',
  Disks: [{ Path: '/disk', Target: '/data' }],
  Shared: [{ ID: 'vol', Path: '/vol', Target: '/vol' }],
  Boot: { Type: 1, Path: '/root' },
  Environment: new Map([['A', 'b']]),
  NoKeepAlive: false,
  Hostname: 'vm',
  Devices: ['0000:01:00.0,iommu=on'],
};

function reason(over: Partial<Infer<typeof VM>>, cpus = 2): string {
  try {
    machineConfig({ ...vm, ...over }, cpus);
  } catch (error) {
    expect(isGridError(error, 'machine_invalid')).toBe(true);
    return (error as Error).message;
  }
  throw new Error('not refused');
}

it('makes plain data of a machine', () => {
  const config = machineConfig(vm, 2);
  expect(config.interfaces).toEqual([
    {
      tap: 't-abc',
      mac: 'aa:bb:cc:dd:ee:ff',
      addresses: ['10.3.1.2/24'],
      routes: [{ to: '10.3.0.0/16', via: '10.3.1.1' }],
      gateway4: '10.3.1.1',
      publicIPv4: false,
      publicIPv6: false,
    },
  ]);
  expect(config.devices).toEqual(['0000:01:00.0']);
  expect(config.nameservers).toEqual(['8.8.8.8']);
  expect(JSON.parse(JSON.stringify(config))).toEqual(config);
});

it('refuses with the sentences that existing clients know', () => {
  expect(reason({ Name: '' })).toBe('name is required');
  expect(reason({ KernelImage: '' })).toBe('kernel-image is required');
  expect(reason({ Memory: 250 * 1024 * 1024 - 1 })).toBe('invalid memory must not be less than 250M');
  expect(reason({ CPU: 0 })).toBe('invalid cpu must be between 1 and 2');
  expect(reason({ CPU: 3 })).toBe('invalid cpu must be between 1 and 2');
  expect(reason({ CPU: 2 }, 1)).toBe('invalid cpu must be 1');
  expect(reason({ Disks: [{ Path: '/d', Target: '//' }] })).toBe("validating disk //: mount target can't be /");
  expect(reason({ Shared: [{ ID: 'x', Path: '/d', Target: '/a/..' }] })).toBe(
    "validating virtiofs /a/..: mount target can't be /",
  );
});

it('W28: refuses what would lead out of a file name, a shell word, an option or a YAML string', () => {
  for (const Name of ['../x', 'a/b', '.hidden', 'a b', 'x'.repeat(200), '-S'])
    expect(reason({ Name })).toMatch(/^invalid name/);
  for (const key of ['A B', 'A;reboot', '1A', '']) {
    expect(reason({ Environment: new Map([[key, 'x']]) })).toMatch(/environment variable name/);
  }
  expect(reason({ Environment: new Map([['A', 'x\0y']]) })).toMatch(/zero byte/);
  expect(reason({ KernelArgs: new Map([['a', 'x" init=/bin/sh']]) })).toMatch(/kernel argument/);
  expect(reason({ KernelArgs: new Map([['a b', 'x']]) })).toMatch(/kernel argument/);
  expect(reason({ Hostname: 'a\nb' })).toMatch(/hostname/);
  expect(reason({ Entrypoint: `sh -c 'x` })).toMatch(/entrypoint/);
  for (const Target of ['relative', '/a"b', '/a\nb', '/a/../b']) {
    expect(reason({ Disks: [{ Path: '/d', Target }] })).toMatch(/mount target/);
  }
  expect(reason({ Shared: [{ ID: 'a,b', Path: '/d', Target: '/x' }] })).toMatch(/share id/);
  expect(reason({ Shared: [{ ID: 'a', Path: '/d,source=/', Target: '/x' }] })).toMatch(/share path/);
  expect(reason({ Boot: { Type: 1, Path: '' } })).toMatch(/invalid path/);
  expect(reason({ Boot: { Type: 2, Path: '/x' } })).toMatch(/boot type/);
  expect(reason({ Devices: ['01:00.0'] })).toMatch(/invalid device/);
  const withIface = (over: Partial<typeof iface>) =>
    reason({ Network: { Ifaces: [{ ...iface, ...over }], Nameservers: [] } });
  expect(withIface({ Tap: 'x,script=/bin/sh' })).toMatch(/invalid tap/);
  expect(withIface({ MAC: 'aa' })).toMatch(/invalid mac/);
  expect(withIface({ IPs: [{ IP: bytes(1, 2), Mask: bytes(255) }] })).toMatch(/invalid address/);
  expect(withIface({ IPs: [{ IP: bytes(1, 2, 3, 4), Mask: bytes(255, 0, 255, 0) }] })).toMatch(/invalid address/);
});
