import { expect, it } from 'vitest';
import type { MachineConfig } from '../config.ts';
import { qemuArguments } from './arguments.ts';

const config: MachineConfig = {
  name: '1-2-vm',
  cpus: 2,
  memoryBytes: 300 * 1024 * 1024 + 5,
  kernel: '/guest/vmlinux',
  initrd: '/guest/initrd.img',
  kernelArgs: { quiet: '', root: '/dev/sda', mine: 'a b' },
  entrypoint: '',
  hostname: '',
  boot: { type: 'virtiofs', path: '/root' },
  disks: [
    { path: '/pool/a,b', target: '/a' },
    { path: '/pool/c', target: '/c' },
  ],
  shares: [{ tag: 'vol', path: '/vol', target: '/vol' }],
  interfaces: [
    { tap: 't-abc', mac: 'aa:bb:cc:dd:ee:ff', addresses: [], routes: [], publicIPv4: false, publicIPv6: false },
  ],
  nameservers: [],
  environment: { SECRET: 'hunter2' },
  keepAlive: true,
  devices: ['0000:01:00.0'],
};
const plan = {
  config,
  accelerator: 'tcg',
  seed: '/run/seed.img',
  control: '/run/qmp',
  console: '/run/con',
  shareSockets: ['/run/fs0', '/run/fs1'],
  uncached: new Set(['/pool/c']),
  paused: false,
} as const;

/** Values of every use of one option, in order. */
function values(args: readonly string[], option: string): (string | undefined)[] {
  return args.flatMap((word, index) => (word === option ? [args[index + 1]] : []));
}

it('puts shares, disks, the seed and interfaces in the guest’s order, the root share last', () => {
  const args = qemuArguments(plan);
  expect(values(args, '-device')).toEqual([
    'vhost-user-fs-pci,chardev=share0,tag=vol,queue-size=1024',
    'vhost-user-fs-pci,chardev=share1,tag=vroot,queue-size=1024',
    'virtio-blk-pci,drive=disk0',
    'virtio-blk-pci,drive=disk1',
    'virtio-blk-pci,drive=seed',
    'virtio-net-pci,netdev=net0,mac=aa:bb:cc:dd:ee:ff,romfile=',
    'vfio-pci,host=0000:01:00.0',
  ]);
  expect(values(args, '-drive')).toEqual([
    'if=none,id=disk0,format=raw,discard=unmap,cache=writeback,file=/pool/a,,b',
    'if=none,id=disk1,format=raw,discard=unmap,cache=none,aio=threads,file=/pool/c',
    'if=none,id=seed,format=raw,readonly=on,file=/run/seed.img',
  ]);
  expect(values(args, '-netdev')).toEqual(['tap,id=net0,ifname=t-abc,script=no,downscript=no,vhost=off']);
});

it('gives whole mebibytes, the grid’s kernel arguments over equal ones, and no secret', () => {
  const args = qemuArguments(plan);
  expect(values(args, '-m')).toEqual(['300M']);
  expect(values(args, '-object')).toEqual(['memory-backend-memfd,id=memory,size=300M,share=on']);
  expect(values(args, '-append')).toEqual([
    'quiet root=vroot mine="a b" rw console=ttyS0 reboot=k panic=1 boot.shell_on_fail rootfstype=virtiofs rootdelay=30',
  ]);
  expect(args.join(' ')).not.toContain('hunter2');
});

it('closes the sandbox, and opens it only for the change of user', () => {
  expect(values(qemuArguments(plan), '-sandbox')).toEqual([
    'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
  ]);
  const other = qemuArguments({ ...plan, user: 70000, paused: true, accelerator: 'kvm' });
  expect(values(other, '-sandbox')).toEqual([
    'on,obsolete=deny,elevateprivileges=allow,spawn=deny,resourcecontrol=deny',
  ]);
  expect(values(other, '-runas')).toEqual(['70000:70000']);
  expect(values(other, '-accel')).toEqual(['kvm']);
  expect(values(other, '-cpu')).toEqual(['host']);
  expect(other).toContain('-S');
  expect(qemuArguments(plan)).not.toContain('-S');
});
