/** storaged: pools, volumes, virtual disks. */
import { defineInterface } from '../zbus/definition.ts';
import { Unit } from '../zbus/gridtypes.ts';
import { defineInventory } from '../zbus/inventory.ts';
import { bool, count64, float64, map, named, pointer, signed64, slice, str, struct } from '../zbus/wire.ts';

export const BrokenDevice = struct('pkg.BrokenDevice', {
  Path: str,
  Err: pointer(str, 'error'),
});

export const BrokenPool = struct('pkg.BrokenPool', {
  Label: str,
  Err: pointer(str, 'error'),
});

export const Usage = struct('pkg.Usage', {
  Size: Unit,
  Used: Unit,
});

export const Volume = struct('pkg.Volume', {
  Name: str,
  Path: str,
  Usage: Usage,
});

export const Device = struct('pkg.Device', {
  Path: str,
  ID: str,
  Usage: Usage,
});

export const VDisk = struct('pkg.VDisk', {
  Path: str,
  Size: signed64,
});

export const DeviceType = named('zos.DeviceType', str);
export const PoolMetrics = struct('pkg.PoolMetrics', {
  Name: str,
  Type: DeviceType,
  Size: Unit,
  Used: Unit,
});

export const IOCountersStat = struct('disk.IOCountersStat', {
  ReadCount: count64,
  MergedReadCount: count64,
  WriteCount: count64,
  MergedWriteCount: count64,
  ReadBytes: count64,
  WriteBytes: count64,
  ReadTime: count64,
  WriteTime: count64,
  IopsInProgress: count64,
  IoTime: count64,
  WeightedIO: count64,
  Name: str,
  SerialNumber: str,
  Label: str,
});

export const PoolStats = struct('pkg.PoolStats', {
  Path: str,
  Fstype: str,
  Total: count64,
  Free: count64,
  Used: count64,
  UsedPercent: float64,
  InodesTotal: count64,
  InodesUsed: count64,
  InodesFree: count64,
  InodesUsedPercent: float64,
  Counters: map(str, IOCountersStat),
});

export const PoolsStats = map(str, PoolStats, 'pkg.PoolsStats');

export const storage = defineInterface({
  module: 'storage',
  object: 'storage',
  version: '0.0.1',
  methods: {
    BrokenDevices: { args: {}, returns: [slice(BrokenDevice)], fails: false, order: 'read' },
    BrokenPools: { args: {}, returns: [slice(BrokenPool)], fails: false, order: 'read' },
    Cache: { args: {}, returns: [Volume], fails: true, order: 'read' },
    DeviceAllocate: { args: { min: Unit }, returns: [Device], fails: true },
    DeviceLookup: { args: { name: str }, returns: [Device], fails: true, order: 'read' },
    Devices: { args: {}, returns: [slice(Device)], fails: true, order: 'read' },
    DiskCreate: { args: { name: str, size: Unit }, returns: [VDisk], fails: true, order: { by: 'name' } },
    DiskDelete: { args: { name: str }, returns: [], fails: true, order: { by: 'name' } },
    DiskExists: { args: { name: str }, returns: [bool], fails: false, order: 'read' },
    DiskFormat: { args: { name: str }, returns: [], fails: true, order: { by: 'name' } },
    DiskList: { args: {}, returns: [slice(VDisk)], fails: true, order: 'read' },
    DiskLookup: { args: { name: str }, returns: [VDisk], fails: true, order: 'read' },
    DiskResize: { args: { name: str, size: Unit }, returns: [VDisk], fails: true, order: { by: 'name' } },
    DiskWrite: { args: { name: str, image: str }, returns: [], fails: true, order: { by: 'name' } },
    Metrics: { args: {}, returns: [slice(PoolMetrics)], fails: true, order: 'read' },
    Total: { args: { kind: DeviceType }, returns: [count64], fails: true, order: 'read' },
    VolumeCreate: { args: { name: str, size: Unit }, returns: [Volume], fails: true, order: { by: 'name' } },
    VolumeDelete: { args: { name: str }, returns: [], fails: true, order: { by: 'name' } },
    VolumeExists: { args: { name: str }, returns: [bool], fails: true, order: 'read' },
    VolumeList: { args: {}, returns: [slice(Volume)], fails: true, order: 'read' },
    VolumeLookup: { args: { name: str }, returns: [Volume], fails: true, order: 'read' },
    VolumeUpdate: { args: { name: str, size: Unit }, returns: [], fails: true, order: { by: 'name' } },
  },
  streams: { Monitor: PoolsStats },
});

/** Kinds: `volume`, `disk`, and `quota` of a volume that is gone. */
export const storageInventory = defineInventory('storage');

/** The node's own: where what is planned goes. Whoever does not say it leaves the choice to storaged. */
export const storagePlacement = defineInterface({
  module: 'storage',
  object: 'placement',
  version: '0.1.0',
  methods: {
    /**
     * The volume or disk of that name goes into that pool once it is made, if it fits there then. False when
     * there are not two pools to choose from.
     */
    Prefer: { args: { name: str, pool: str }, returns: [bool], fails: true, order: { by: 'name' } },
  },
  streams: {},
});
