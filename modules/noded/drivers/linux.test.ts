/** The driver against trees of its own, against scripts in dmidecode's place, and against this machine. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem, uptime } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { busyPercent } from '../monitor.ts';
import { readCpuTimes, readDisks, readMemory, readNics } from './counters.ts';
import { LINUX_PLACES, linuxHost } from './linux.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'noded-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, text: string, mode = 0o644): string {
  const full = join(folder, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text, { mode });
  return full;
}

const at = (name: string) => ({ ...LINUX_PLACES, proc: join(folder, name, 'proc'), sys: join(folder, name, 'sys') });

describe('counters of the kernel', () => {
  it('reads processor time in seconds, and how busy it was between two readings', () => {
    const first = readCpuTimes('cpu  1000 20 300 8000 100 5 15 60 7 3\ncpu0 1 1 1 1\n');
    expect(first).toEqual({
      User: 10,
      Nice: 0.2,
      System: 3,
      Idle: 80,
      Iowait: 1,
      Irq: 0.05,
      Softirq: 0.15,
      Steal: 0.6,
      Guest: 0.07,
      GuestNice: 0.03,
    });
    const second = readCpuTimes('cpu  1300 20 300 8100 100 5 15 60 7 3\n');
    expect(busyPercent(first, second)).toBeCloseTo(75);
    expect(busyPercent(second, second)).toBe(0);
    expect(busyPercent(undefined, first)).toBeCloseTo((14 / 95) * 100);
    expect(readCpuTimes('').User).toBe(0);
  });

  it('reads memory in bytes and counts huge pages', () => {
    const memory = readMemory(
      'MemTotal: 1000 kB\nMemFree: 200 kB\nMemAvailable: 500 kB\nBuffers: 50 kB\nCached: 150 kB\n' +
        'SReclaimable: 100 kB\nHugePages_Total: 4\nHugepagesize: 2048 kB\nActive(anon): 7 kB\nCommitted_AS: 9 kB\n' +
        'VmallocTotal: 13743895347199 kB\n',
    );
    expect(memory).toMatchObject({
      Total: 1000 * 1024,
      Used: 500 * 1024,
      UsedPercent: 50,
      Cached: 250 * 1024,
      HugePagesTotal: 4,
      HugePageSize: 2048 * 1024,
      CommittedAS: 9 * 1024,
      SwapTotal: 0,
      VMallocTotal: Number.MAX_SAFE_INTEGER,
    });
  });

  it('reads disks that were used', () => {
    const disks = readDisks(
      ' 254 0 vda 100 5 2048 30 200 6 4096 40 1 50 70 0 0 0 0\n   7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n   1 0 ram0 9 0 0 0 0 0 0 0 0 0 0\nshort\n',
    );
    expect(disks).toHaveLength(1);
    expect(disks[0]).toMatchObject({
      Name: 'vda',
      ReadCount: 100,
      MergedReadCount: 5,
      ReadBytes: 2048 * 512,
      ReadTime: 30,
      WriteCount: 200,
      WriteBytes: 4096 * 512,
      WriteTime: 40,
      IopsInProgress: 1,
      IoTime: 50,
      WeightedIO: 70,
    });
  });

  it('reads network interfaces, their names as they are', () => {
    const nics = readNics(
      'Inter-|   Receive\n face |bytes packets\n    lo: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\nveth-a1:500 5 1 2 3 0 0 0 700 7 4 5 6 0 0 0\n',
    );
    expect(nics.map(({ Name }) => Name)).toEqual(['lo', 'veth-a1']);
    expect(nics[1]).toEqual({
      Name: 'veth-a1',
      BytesRecv: 500,
      PacketsRecv: 5,
      Errin: 1,
      Dropin: 2,
      Fifoin: 3,
      BytesSent: 700,
      PacketsSent: 7,
      Errout: 4,
      Dropout: 5,
      Fifoout: 6,
    });
  });
});

describe('GPUs', () => {
  const device = (tree: string, slot: string, files: Record<string, string>, isolated = true): void => {
    const place = `${tree}/sys/bus/pci/devices/${slot}`;
    for (const [name, text] of Object.entries(files)) write(`${place}/${name}`, `${text}\n`);
    if (isolated) write(`${place}/iommu_group/type`, 'DMA\n');
  };
  const ids = () =>
    write(
      'pci.ids',
      '# names\n1002  Advanced Micro Devices, Inc. [AMD/ATI]\n\t731f  Navi 10 [Radeon RX 5600]\n\t\t1002 0b36  Reference\n' +
        '10de  NVIDIA Corporation\n\t2204  GA102\nC 03  Display controller\n\t731f  Not a device\n',
    );

  it('are listed with their names and memory', async () => {
    device('gpus', '0000:28:00.0', {
      class: '0x030000',
      vendor: '0x1002',
      device: '0x731F',
      mem_info_vram_total: `${8192 * 1024 * 1024}`,
    });
    device('gpus', '0000:41:00.0', { class: '0x030200', vendor: '0x10de', device: '0x20b0' });
    const found = await linuxHost({ ...at('gpus'), pciIds: [join(folder, 'missing'), ids()] }).gpus();
    expect(found).toEqual([
      {
        ID: '0000:28:00.0/1002/731f',
        Vendor: 'Advanced Micro Devices, Inc. [AMD/ATI]',
        Device: 'Navi 10 [Radeon RX 5600]',
        Vram: 8192,
      },
      { ID: '0000:41:00.0/10de/20b0', Vendor: 'NVIDIA Corporation', Device: 'unknown', Vram: 0 },
    ]);
    const nameless = await linuxHost({ ...at('gpus'), pciIds: [] }).gpus();
    expect(nameless.map(({ Vendor, Device }) => [Vendor, Device])).toEqual([
      ['unknown', 'unknown'],
      ['unknown', 'unknown'],
    ]);
  });

  it('leaves out what a machine cannot be given', async () => {
    const card = { class: '0x030000', vendor: '0x10de', device: '0x2204' };
    device('others', '0000:00:02.0', card);
    device('others', '0000:03:00.0', card, false);
    device('others', '0000:04:00.0', { ...card, vendor: '0x1a03' });
    device('others', '0000:28:00.1', { ...card, class: '0x040300' });
    device('others', '0000:29:00.0', { class: '0x030000', vendor: 'none' });
    expect(await linuxHost(at('others')).gpus()).toEqual([]);
    expect(await linuxHost(at('absent')).gpus()).toEqual([]);
  });
});

describe('dmidecode', () => {
  const host = (script: string, name: string) =>
    linuxHost({ ...LINUX_PLACES, dmidecode: write(name, `#!/bin/sh\n${script}\n`, 0o755) });

  it('is read whatever language the machine speaks', async () => {
    expect(await host('echo "# dmidecode 3.4 $LC_ALL"', 'speaks').dmidecode()).toBe('# dmidecode 3.4 C\n');
  });

  it('says what to do where it is missing or fails', async () => {
    const missing = linuxHost({ ...LINUX_PLACES, dmidecode: join(folder, 'no-such-program') });
    await expect(missing.dmidecode()).rejects.toMatchObject({
      code: 'host_dmidecode_missing',
      message: 'dmidecode is not installed on this node; install the package dmidecode',
    });
    const failing = host('echo "/dev/mem: Permission denied" >&2; exit 1', 'fails');
    await expect(failing.dmidecode()).rejects.toMatchObject({
      code: 'host_dmi_unreadable',
      details: { reason: '/dev/mem: Permission denied' },
    });
  });
});

describe('the hypervisor', () => {
  it.each([
    ['metal', 'flags\t\t: fpu vme\n', 'Supermicro', ''],
    ['kvm', 'flags\t\t: fpu hypervisor\n', 'QEMU', 'kvm'],
    ['hidden', 'flags\t\t: fpu hypervisor\n', 'Acme', 'unknown'],
  ])('is named: %s', async (name, cpuinfo, vendor, expected) => {
    write(`${name}/proc/cpuinfo`, cpuinfo);
    write(`${name}/sys/class/dmi/id/sys_vendor`, `${vendor}\n`);
    expect(await linuxHost(at(name)).hypervisor()).toBe(expected);
  });
});

describe.skipIf(process.platform !== 'linux')('this machine', () => {
  const host = linuxHost();

  it('tells its counters', async () => {
    const memory = await host.memory();
    expect(memory.Total).toBe(totalmem());
    expect(memory.Available).toBeLessThan(memory.Total);
    expect(Math.abs((await host.uptimeSeconds()) - uptime())).toBeLessThan(10);
    const times = await host.cpuTimes();
    expect(times.Idle + times.User + times.System).toBeGreaterThan(0);
    expect((await host.nics()).map(({ Name }) => Name)).toContain('lo');
    expect((await host.disks()).every(({ Name, ReadBytes }) => Name !== '' && ReadBytes >= 0)).toBe(true);
    for (const { ID } of await host.gpus()) expect(ID).toMatch(/^[0-9a-f:.]+\/[0-9a-f]{4}\/[0-9a-f]{4}$/);
  });
});
