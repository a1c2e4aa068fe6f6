/** netlight: networks of nodes that have no WireGuard, only mycelium and a private range. */
import {
  Interfaces,
  IPNet,
  Mycelium,
  NetlinkAddresses,
  Peer,
  PublicConfig,
  WorkloadID,
} from '../networkd/interface.ts';
import { Route } from '../vmd/interface.ts';
import { defineInterface } from '../zbus/definition.ts';
import { HardwareAddr, IP, NetID, NetIPNet } from '../zbus/gridtypes.ts';
import { bytes, pointer, slice, str, struct, uint, uint16 } from '../zbus/wire.ts';

export const NetworkLight = struct('zos.NetworkLight', {
  Subnet: IPNet,
  Mycelium: Mycelium,
  NetworkIPRange: IPNet,
  WGPrivateKey: str,
  WGListenPort: uint16,
  Peers: slice(Peer),
});

export const TapDevice = struct('pkg.TapDevice', {
  Name: str,
  Mac: HardwareAddr,
  IP: pointer(NetIPNet),
  Routes: slice(Route),
});

export const networkLight = defineInterface({
  module: 'netlight',
  object: 'netlight',
  version: '0.0.1',
  methods: {
    AttachMycelium: { args: { name: str, id: str, seed: bytes }, returns: [TapDevice], fails: true },
    AttachPrivate: { args: { name: str, id: str, vmIp: IP }, returns: [TapDevice], fails: true },
    AttachZDB: { args: { id: str }, returns: [str], fails: true },
    Create: { args: { name: str, wl: WorkloadID, net: NetworkLight }, returns: [], fails: true },
    Delete: { args: { name: str }, returns: [], fails: true },
    Detach: { args: { id: str }, returns: [], fails: true },
    GetDefaultGwIP: { args: { id: NetID }, returns: [IP], fails: true, order: 'read' },
    GetNet: { args: { id: NetID }, returns: [NetIPNet], fails: true, order: 'read' },
    GetSubnet: { args: { id: NetID }, returns: [NetIPNet], fails: true, order: 'read' },
    Interfaces: { args: { iface: str, netns: str }, returns: [Interfaces], fails: true, order: 'read' },
    LoadPublicConfig: { args: {}, returns: [PublicConfig], fails: true, order: 'read' },
    Namespace: { args: { id: str }, returns: [str], fails: false, order: 'read' },
    Ready: { args: {}, returns: [], fails: true, order: 'read' },
    SetPublicConfig: { args: { cfg: PublicConfig }, returns: [], fails: true },
    UnSetPublicConfig: { args: {}, returns: [], fails: true },
    WireguardPorts: { args: {}, returns: [slice(uint)], fails: true, order: 'read' },
    ZDBIPs: { args: { namespace: str }, returns: [slice(IP)], fails: true, order: 'read' },
  },
  streams: { ZOSAddresses: NetlinkAddresses },
});
