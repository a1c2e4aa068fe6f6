/** A mounted pool's numbers, as the kernel has them. */
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Infer } from '../../zbus/wire.ts';
import type { IOCountersStat, PoolStats } from '../interface.ts';

const SECTOR_BYTES = 512;

/** Fields of `/sys/class/block/<name>/stat`, kernel documentation block/stat. */
function ioCounters(name: string, label: string, stat: string): Infer<typeof IOCountersStat> {
  const fields = stat.trim().split(/\s+/).map(Number);
  const at = (index: number): number => fields[index] ?? 0;
  return {
    ReadCount: at(0),
    MergedReadCount: at(1),
    WriteCount: at(4),
    MergedWriteCount: at(5),
    ReadBytes: at(2) * SECTOR_BYTES,
    WriteBytes: at(6) * SECTOR_BYTES,
    ReadTime: at(3),
    WriteTime: at(7),
    IopsInProgress: at(8),
    IoTime: at(9),
    WeightedIO: at(10),
    Name: name,
    SerialNumber: '',
    Label: label,
  };
}

export async function mountedStats(pool: {
  readonly mountPoint: string;
  readonly device: string;
  readonly label: string;
}): Promise<Infer<typeof PoolStats>> {
  const fs = await statfs(pool.mountPoint);
  const used = (fs.blocks - fs.bfree) * fs.bsize;
  const free = fs.bavail * fs.bsize;
  const inodesUsed = fs.files - fs.ffree;
  const name = basename(pool.device);
  const counters = ioCounters(name, pool.label, readFileSync(`/sys/class/block/${name}/stat`, 'utf8'));
  return {
    Path: pool.mountPoint,
    Fstype: 'btrfs',
    Total: fs.blocks * fs.bsize,
    Free: free,
    Used: used,
    UsedPercent: used + free === 0 ? 0 : (used / (used + free)) * 100,
    InodesTotal: fs.files,
    InodesUsed: inodesUsed,
    InodesFree: fs.ffree,
    InodesUsedPercent: fs.files === 0 ? 0 : (inodesUsed / fs.files) * 100,
    Counters: new Map([[name, counters]]),
  };
}
