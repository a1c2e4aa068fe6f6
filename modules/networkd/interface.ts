/** networkd: network resources, taps, addresses. */
import { defineInterface } from '../zbus/definition.ts';
import { HardwareAddr, IP, IPMask, Name, NetID, NetIPNet, NetMetric } from '../zbus/gridtypes.ts';
import { defineInventory } from '../zbus/inventory.ts';
import { bool, bytes, map, named, pointer, slice, str, struct, uint, uint16 } from '../zbus/wire.ts';

export const WorkloadID = named('gridtypes.WorkloadID', str);
export const IPNet = struct('gridtypes.IPNet', {
  IP: IP,
  Mask: IPMask,
});

export const Peer = struct('zos.Peer', {
  Subnet: IPNet,
  WGPublicKey: str,
  AllowedIPs: slice(IPNet),
  Endpoint: str,
});

export const Bytes = named('zos.Bytes', bytes);
export const MyceliumPeer = named('zos.MyceliumPeer', str);
export const Mycelium = struct('zos.Mycelium', {
  Key: Bytes,
  Peers: slice(MyceliumPeer),
});

export const Network = struct('pkg.Network', {
  NetworkIPRange: IPNet,
  Subnet: IPNet,
  WGPrivateKey: str,
  WGListenPort: uint16,
  Peers: slice(Peer),
  Mycelium: pointer(Mycelium),
  NetID: NetID,
});

export const IfaceType = named('pkg.IfaceType', str);
export const PublicConfig = struct('pkg.PublicConfig', {
  Type: IfaceType,
  IPv4: IPNet,
  IPv6: IPNet,
  GW4: IP,
  GW6: IP,
  Domain: str,
});

export const ExitDevice = struct('pkg.ExitDevice', {
  IsSingle: bool,
  IsDual: bool,
  AsDualInterface: str,
});

export const NetInterface = struct('pkg.Interface', {
  Name: str,
  IPs: slice(NetIPNet),
  Mac: str,
});

export const Interfaces = struct('pkg.Interfaces', {
  Interfaces: map(str, NetInterface),
});

export const NetResourceMetrics = map(str, NetMetric, 'pkg.NetResourceMetrics');
export const MyceliumIP = struct('zos.MyceliumIP', {
  Network: Name,
  Seed: Bytes,
});

export const PlanetaryTap = struct('pkg.PlanetaryTap', {
  Name: str,
  HW: HardwareAddr,
  IP: NetIPNet,
  Gateway: NetIPNet,
});

export const NetlinkAddresses = slice(NetIPNet, 'pkg.NetlinkAddresses');
export const OptionPublicConfig = struct('pkg.OptionPublicConfig', {
  Type: IfaceType,
  IPv4: IPNet,
  IPv6: IPNet,
  GW4: IP,
  GW6: IP,
  Domain: str,
  HasPublicConfig: bool,
});

export const network = defineInterface({
  module: 'network',
  object: 'network',
  version: '0.0.1',
  methods: {
    Addrs: { args: { iface: str, netns: str }, returns: [slice(IP), str], fails: true, order: 'read' },
    CreateNR: { args: { wl: WorkloadID, network: Network }, returns: [str], fails: true, order: { by: 'wl' } },
    DeleteNR: { args: { wl: WorkloadID }, returns: [], fails: true, order: { by: 'wl' } },
    DisconnectPubTap: { args: { name: str }, returns: [], fails: true, order: { by: 'name' } },
    EnsureZDBPrepare: { args: { id: str }, returns: [str], fails: true, order: { by: 'id' } },
    GetDefaultGwIP: { args: { networkID: NetID }, returns: [IP, IP], fails: true, order: 'read' },
    GetIPv6From4: { args: { networkID: NetID, ip: IP }, returns: [NetIPNet], fails: true, order: 'read' },
    GetNet: { args: { networkID: NetID }, returns: [NetIPNet], fails: true, order: 'read' },
    GetPublicConfig: { args: {}, returns: [PublicConfig], fails: true, order: 'read' },
    GetPublicExitDevice: { args: {}, returns: [ExitDevice], fails: true, order: 'read' },
    GetPublicIPV6Gateway: { args: {}, returns: [IP], fails: true, order: 'read' },
    GetPublicIPv6Subnet: { args: {}, returns: [NetIPNet], fails: true, order: 'read' },
    GetSubnet: { args: { networkID: NetID }, returns: [NetIPNet], fails: true, order: 'read' },
    Interfaces: { args: { iface: str, netns: str }, returns: [Interfaces], fails: true, order: 'read' },
    Metrics: { args: {}, returns: [NetResourceMetrics], fails: true, order: 'read' },
    MigrateZdbMacvlanToVeth: { args: {}, returns: [], fails: true },
    Namespace: { args: { id: NetID }, returns: [str], fails: false, order: 'read' },
    PubIPFilterExists: { args: { filterName: str }, returns: [bool], fails: false, order: 'read' },
    PubTapExists: { args: { name: str }, returns: [bool], fails: true, order: 'read' },
    PublicIPv4Support: { args: {}, returns: [bool], fails: false, order: 'read' },
    QSFSDestroy: { args: { id: str }, returns: [], fails: true, order: { by: 'id' } },
    QSFSNamespace: { args: { id: str }, returns: [str], fails: false, order: 'read' },
    QSFSPrepare: { args: { id: str }, returns: [str, str], fails: true, order: { by: 'id' } },
    QSFSYggIP: { args: { id: str }, returns: [str], fails: true, order: 'read' },
    Ready: { args: {}, returns: [], fails: true, order: 'read' },
    RemovePubIPFilter: { args: { filterName: str }, returns: [], fails: true, order: { by: 'filterName' } },
    RemovePubTap: { args: { name: str }, returns: [], fails: true, order: { by: 'name' } },
    RemoveTap: { args: { name: str }, returns: [], fails: true, order: { by: 'name' } },
    SetPublicConfig: { args: { cfg: PublicConfig }, returns: [], fails: true },
    SetPublicExitDevice: { args: { iface: str }, returns: [], fails: true, order: { by: 'iface' } },
    SetupMyceliumTap: {
      args: { name: str, netID: NetID, config: MyceliumIP },
      returns: [PlanetaryTap],
      fails: true,
      order: { by: 'name' },
    },
    SetupPrivTap: { args: { networkID: NetID, name: str }, returns: [str], fails: true, order: { by: 'networkID' } },
    SetupPubIPFilter: {
      args: { filterName: str, iface: str, ipv4: IP, ipv6: IP, mac: str },
      returns: [],
      fails: true,
      order: { by: 'filterName' },
    },
    SetupPubTap: { args: { name: str }, returns: [str], fails: true, order: { by: 'name' } },
    SetupYggTap: { args: { name: str }, returns: [PlanetaryTap], fails: true, order: { by: 'name' } },
    TapExists: { args: { name: str }, returns: [bool], fails: true, order: 'read' },
    UnsetPublicConfig: { args: {}, returns: [], fails: true },
    WireguardPorts: { args: {}, returns: [slice(uint)], fails: true, order: 'read' },
    ZDBDestroy: { args: { ns: str }, returns: [], fails: true },
  },
  streams: {
    DMZAddresses: NetlinkAddresses,
    PublicAddresses: OptionPublicConfig,
    YggAddresses: NetlinkAddresses,
    ZOSAddresses: NetlinkAddresses,
  },
});

const inventory = defineInventory('network');

/**
 * Kinds: `network` (bridge, namespace, tunnel and uplink, with its record; once for each workload that holds it),
 * `network-record` (a record alone), `lease` of no network, `tap`, `tap-guard` of no tap.
 */
export const networkInventory = defineInterface({
  ...inventory,
  methods: {
    ...inventory.methods,
    /** Writes on a private tap which workload it was made for: its name does not tell. `name` as `SetupPrivTap` took it. */
    Claim: { args: { name: str, owner: str }, returns: [], fails: true, order: { by: 'name' } },
    /** Of these WireGuard ports the ones nobody may ask for; `WireguardPorts` has all of them. */
    PortsTaken: { args: { ports: slice(uint16) }, returns: [slice(uint16)], fails: true, order: 'read' },
  },
});
