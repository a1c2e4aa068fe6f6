/** vmd: virtual machines. */
import { defineInterface } from '../zbus/definition.ts';
import { IP, NetID, NetIPNet, NetMetric, Unit } from '../zbus/gridtypes.ts';
import { defineInventory } from '../zbus/inventory.ts';
import { bool, map, named, signed64, slice, str, struct, uint8 } from '../zbus/wire.ts';

export const VMInfo = struct('pkg.VMInfo', {
  HtEnabled: bool,
  Memory: signed64,
  CPU: signed64,
});

export const MachineMetric = struct('pkg.MachineMetric', {
  Private: NetMetric,
  Public: NetMetric,
});

export const MachineMetrics = map(str, MachineMetric, 'pkg.MachineMetrics');
export const Route = struct('pkg.Route', {
  Net: NetIPNet,
  Gateway: IP,
});

export const VMIface = struct('pkg.VMIface', {
  Tap: str,
  MAC: str,
  IPs: slice(NetIPNet),
  Routes: slice(Route),
  IP4DefaultGateway: IP,
  IP6DefaultGateway: IP,
  PublicIPv4: bool,
  PublicIPv6: bool,
  NetID: NetID,
});

export const VMNetworkInfo = struct('pkg.VMNetworkInfo', {
  Ifaces: slice(VMIface),
  Nameservers: slice(IP),
});

export const KernelArgs = map(str, str, 'pkg.KernelArgs');
export const VMDisk = struct('pkg.VMDisk', {
  Path: str,
  Target: str,
});

export const SharedDir = struct('pkg.SharedDir', {
  ID: str,
  Path: str,
  Target: str,
});

export const BootType = named('pkg.BootType', uint8);
export const Boot = struct('pkg.Boot', {
  Type: BootType,
  Path: str,
});

export const VM = struct('pkg.VM', {
  Name: str,
  CPU: uint8,
  Memory: Unit,
  Network: VMNetworkInfo,
  KernelImage: str,
  InitrdImage: str,
  KernelArgs: KernelArgs,
  Entrypoint: str,
  Disks: slice(VMDisk),
  Shared: slice(SharedDir),
  Boot: Boot,
  Environment: map(str, str),
  NoKeepAlive: bool,
  Hostname: str,
  Devices: slice(str),
});

export const MachineInfo = struct('pkg.MachineInfo', {
  ConsoleURL: str,
});

export const Stream = struct('pkg.Stream', {
  ID: str,
  Namespace: str,
  Output: str,
});

export const vmd = defineInterface({
  module: 'vmd',
  object: 'manager',
  version: '0.0.1',
  methods: {
    Delete: { args: { name: str }, returns: [], fails: true, order: { by: 'name' } },
    Exists: { args: { name: str }, returns: [bool], fails: false, order: 'read' },
    Inspect: { args: { name: str }, returns: [VMInfo], fails: true, order: 'read' },
    List: { args: {}, returns: [slice(str)], fails: true, order: 'read' },
    Lock: { args: { name: str, lock: bool }, returns: [], fails: true, order: { by: 'name' } },
    Logs: { args: { name: str }, returns: [str], fails: true, order: 'read' },
    LogsFull: { args: { name: str }, returns: [str], fails: true, order: 'read' },
    Metrics: { args: {}, returns: [MachineMetrics], fails: true, order: 'read' },
    Run: { args: { vm: VM }, returns: [MachineInfo], fails: true, order: { by: 'vm.Name' } },
    StreamCreate: { args: { name: str, stream: Stream }, returns: [], fails: true, order: { by: 'name' } },
    StreamDelete: { args: { id: str }, returns: [], fails: true, order: { by: 'id' } },
  },
  streams: {},
});

/**
 * Kinds: `machine` with all that belongs to it, and what is there of a machine that vmd has no record of: `process`,
 * `run-folder`, `control-group`, `share-lock`, `console-log`.
 */
export const vmdInventory = defineInventory('vmd');
