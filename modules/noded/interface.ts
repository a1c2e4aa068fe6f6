/** noded: what the node is. */
import { defineInterface } from '../zbus/definition.ts';
import {
  any,
  bool,
  count64,
  float64,
  int64,
  map,
  named,
  slice,
  str,
  struct,
  time,
  uint32,
  uint64,
} from '../zbus/wire.ts';

export const NodeFeature = named('pkg.NodeFeature', str);
export const TimesStat = struct('pkg.TimesStat', {
  CPU: str,
  User: float64,
  System: float64,
  Idle: float64,
  Nice: float64,
  Iowait: float64,
  Irq: float64,
  Softirq: float64,
  Steal: float64,
  Guest: float64,
  GuestNice: float64,
  Percent: float64,
  Time: time,
});

export const DiskIOCountersStat = struct('pkg.DiskIOCountersStat', {
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
  Time: time,
});

export const DisksIOCountersStat = map(str, DiskIOCountersStat, 'pkg.DisksIOCountersStat');
export const VirtualMemoryStat = struct('pkg.VirtualMemoryStat', {
  Total: count64,
  Available: count64,
  Used: count64,
  UsedPercent: float64,
  Free: count64,
  Active: count64,
  Inactive: count64,
  Wired: count64,
  Laundry: count64,
  Buffers: count64,
  Cached: count64,
  Writeback: count64,
  Dirty: count64,
  WritebackTmp: count64,
  Shared: count64,
  Slab: count64,
  SReclaimable: count64,
  SUnreclaim: count64,
  PageTables: count64,
  SwapCached: count64,
  CommitLimit: count64,
  CommittedAS: count64,
  HighTotal: count64,
  HighFree: count64,
  LowTotal: count64,
  LowFree: count64,
  SwapTotal: count64,
  SwapFree: count64,
  Mapped: count64,
  VMallocTotal: count64,
  VMallocUsed: count64,
  VMallocChunk: count64,
  HugePagesTotal: count64,
  HugePagesFree: count64,
  HugePageSize: count64,
});

export const NicIOCounterStat = struct('pkg.NicIOCounterStat', {
  Name: str,
  BytesSent: count64,
  BytesRecv: count64,
  PacketsSent: count64,
  PacketsRecv: count64,
  Errin: count64,
  Errout: count64,
  Dropin: count64,
  Dropout: count64,
  Fifoin: count64,
  Fifoout: count64,
  RateOut: count64,
  RateIn: count64,
});

export const NicsIOCounterStat = slice(NicIOCounterStat, 'pkg.NicsIOCounterStat');
export const Duration = named('time.Duration', int64);
export const TaskResult = struct('pkg.TaskResult', {
  Name: str,
  Description: str,
  Timestamp: uint64,
  Result: any,
});

export const nodeSystem = defineInterface({
  module: 'node',
  object: 'system',
  version: '0.0.1',
  methods: {
    GetNodeFeatures: { args: {}, returns: [slice(NodeFeature)], fails: false, order: 'read' },
    NodeID: { args: {}, returns: [uint32], fails: false, order: 'read' },
  },
  streams: { CPU: TimesStat, Disks: DisksIOCountersStat, Memory: VirtualMemoryStat, Nics: NicsIOCounterStat },
});

export const nodeHost = defineInterface({
  module: 'node',
  object: 'host',
  version: '0.0.1',
  methods: {},
  streams: { Uptime: Duration },
});

export const performanceMonitor = defineInterface({
  module: 'node',
  object: 'performance-monitor',
  version: '0.0.1',
  methods: {
    Get: { args: { taskName: str }, returns: [TaskResult], fails: true, order: 'read' },
    GetAll: { args: {}, returns: [slice(TaskResult)], fails: true, order: 'read' },
  },
  streams: {},
});

export const DmiProperty = struct('gridnode.DmiProperty', {
  Name: str,
  Value: str,
  /** Lines below the value, and further values of the same name. */
  Items: slice(str),
});

export const DmiSubSection = struct('gridnode.DmiSubSection', {
  Title: str,
  Properties: slice(DmiProperty),
});

export const DmiSection = struct('gridnode.DmiSection', {
  HandleLine: str,
  /** Name of the type; empty for types of a vendor. */
  Type: str,
  TypeNumber: count64,
  SubSections: slice(DmiSubSection),
});

export const DmiTable = struct('gridnode.DmiTable', {
  /** Program that read the table, with version. */
  Aggregator: str,
  /** Program that made this of its output, with version. */
  Decoder: str,
  Sections: slice(DmiSection),
});

export const Gpu = struct('gridnode.Gpu', {
  /** `0000:28:00.0/1002/731f`: PCI slot, vendor, device. */
  ID: str,
  Vendor: str,
  Device: str,
  /** MiB, 0 when unknown. */
  Vram: count64,
});

export const NodeLocation = struct('gridnode.Location', {
  /** Degrees east and north. */
  Longitude: float64,
  Latitude: float64,
  Continent: str,
  CountryName: str,
  /** ISO 3166-1, two letters. */
  CountryCode: str,
  CityName: str,
});

/** What existing interfaces cannot say of the machine that the node runs on. */
export const nodeMachine = defineInterface({
  module: 'node',
  object: 'machine',
  version: '0.1.0',
  methods: {
    Dmi: { args: {}, returns: [DmiTable], fails: true, order: 'read', doc: 'The DMI table as dmidecode reads it.' },
    Gpus: { args: {}, returns: [slice(Gpu)], fails: true, order: 'read', doc: 'GPUs that a machine could be given.' },
    Hypervisor: {
      args: {},
      returns: [str],
      fails: true,
      order: 'read',
      doc: 'Under which hypervisor the node itself runs; empty on bare metal.',
    },
    Location: {
      args: {},
      returns: [NodeLocation],
      fails: true,
      order: 'read',
      doc: "As configured, else as the node's record on the chain has it.",
    },
  },
  streams: {},
});

/** One measurement's schedule and how it fares. */
export const TaskState = struct('gridnode.TaskState', {
  Name: str,
  /** Six fields, seconds first, UTC. */
  Schedule: str,
  /** A scheduled run starts up to so many seconds later. */
  JitterSeconds: uint32,
  Running: bool,
  /** Unix seconds, 0 while none is planned. */
  NextRun: count64,
  /** Why the last run failed; empty when it did not. */
  LastError: str,
});

/** The node's measurements as its operator has them; nothing of it is offered over RMB. */
export const performanceRuns = defineInterface({
  module: 'node',
  object: 'performance-runs',
  version: '0.1.0',
  methods: {
    Run: {
      args: { taskName: str },
      returns: [TaskResult],
      fails: true,
      order: { by: 'taskName' },
      doc: 'Measures now, or waits for the run that is under way.',
    },
    Tasks: { args: {}, returns: [slice(TaskState)], fails: false, order: 'read', doc: 'Every measurement.' },
  },
  streams: {},
});
