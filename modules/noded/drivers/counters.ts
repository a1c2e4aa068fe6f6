/** The kernel's counters, from the text of its files in /proc. */
import type { CpuTimes, DiskCounters, MemoryStat, NicCounters } from './host.ts';

/** The kernel tells times in ticks of a hundredth of a second, whatever its own clock. */
const TICKS_A_SECOND = 100;
const SECTOR_BYTES = 512;
const KIB = 1024;

/** `/proc/stat`: the line of all processors together. */
export function readCpuTimes(stat: string): CpuTimes {
  const ticks = /^cpu\s+(.+)$/m.exec(stat)?.[1]?.trim().split(/\s+/).map(Number) ?? [];
  const seconds = (column: number): number => (ticks[column] ?? 0) / TICKS_A_SECOND;
  return {
    User: seconds(0),
    Nice: seconds(1),
    System: seconds(2),
    Idle: seconds(3),
    Iowait: seconds(4),
    Irq: seconds(5),
    Softirq: seconds(6),
    Steal: seconds(7),
    Guest: seconds(8),
    GuestNice: seconds(9),
  };
}

/** `/proc/meminfo` in bytes; huge pages are counted. */
export function readMemory(meminfo: string): MemoryStat {
  const values = new Map<string, number>();
  for (const [, name = '', value = '', unit] of meminfo.matchAll(/^([\w()]+):\s+(\d+)( kB)?$/gm)) {
    values.set(name, Number(value) * (unit === undefined ? 1 : KIB));
  }
  const of = (name: string): number => values.get(name) ?? 0;
  const cached = of('Cached') + of('SReclaimable');
  const used = Math.max(0, of('MemTotal') - of('MemFree') - of('Buffers') - cached);
  return {
    Total: of('MemTotal'),
    Available: of('MemAvailable'),
    Used: used,
    UsedPercent: of('MemTotal') === 0 ? 0 : (used / of('MemTotal')) * 100,
    Free: of('MemFree'),
    Active: of('Active'),
    Inactive: of('Inactive'),
    // Kinds of memory that other systems have.
    Wired: 0,
    Laundry: 0,
    Buffers: of('Buffers'),
    Cached: cached,
    Writeback: of('Writeback'),
    Dirty: of('Dirty'),
    WritebackTmp: of('WritebackTmp'),
    Shared: of('Shmem'),
    Slab: of('Slab'),
    SReclaimable: of('SReclaimable'),
    SUnreclaim: of('SUnreclaim'),
    PageTables: of('PageTables'),
    SwapCached: of('SwapCached'),
    CommitLimit: of('CommitLimit'),
    CommittedAS: of('Committed_AS'),
    HighTotal: of('HighTotal'),
    HighFree: of('HighFree'),
    LowTotal: of('LowTotal'),
    LowFree: of('LowFree'),
    SwapTotal: of('SwapTotal'),
    SwapFree: of('SwapFree'),
    Mapped: of('Mapped'),
    VMallocTotal: carried(of('VmallocTotal')),
    VMallocUsed: of('VmallocUsed'),
    VMallocChunk: of('VmallocChunk'),
    HugePagesTotal: of('HugePages_Total'),
    HugePagesFree: of('HugePages_Free'),
    HugePageSize: of('Hugepagesize'),
  };
}

/** Address space can be larger than the numbers that the bus carries exactly. */
function carried(bytes: number): number {
  return Math.min(bytes, Number.MAX_SAFE_INTEGER);
}

/** `/proc/diskstats`: block devices that were used since boot. */
export function readDisks(diskstats: string): DiskCounters[] {
  return diskstats.split('\n').flatMap((line) => {
    const [, , name, ...columns] = line.trim().split(/\s+/);
    if (name === undefined || columns.length < 11 || /^ram\d/.test(name)) return [];
    const [reads = 0, mergedReads = 0, readSectors = 0, readMs = 0, ...rest] = columns.map(Number);
    const [writes = 0, mergedWrites = 0, writtenSectors = 0, writeMs = 0, underWay = 0, busyMs = 0, weightedMs = 0] =
      rest;
    if (reads === 0 && writes === 0) return [];
    return {
      Name: name,
      ReadCount: reads,
      MergedReadCount: mergedReads,
      WriteCount: writes,
      MergedWriteCount: mergedWrites,
      ReadBytes: readSectors * SECTOR_BYTES,
      WriteBytes: writtenSectors * SECTOR_BYTES,
      ReadTime: readMs,
      WriteTime: writeMs,
      IopsInProgress: underWay,
      IoTime: busyMs,
      WeightedIO: weightedMs,
      SerialNumber: '',
      Label: '',
    };
  });
}

/** `/proc/net/dev`: interfaces of the node's own namespace. */
export function readNics(dev: string): NicCounters[] {
  return [...dev.matchAll(/^\s*(\S+):\s*(\d[\d ]+)$/gm)].map(([, name = '', columns = '']) => {
    const values = columns.trim().split(/\s+/).map(Number);
    const value = (column: number): number => values[column] ?? 0;
    return {
      Name: name,
      BytesRecv: value(0),
      PacketsRecv: value(1),
      Errin: value(2),
      Dropin: value(3),
      Fifoin: value(4),
      BytesSent: value(8),
      PacketsSent: value(9),
      Errout: value(10),
      Dropout: value(11),
      Fifoout: value(12),
    };
  });
}
