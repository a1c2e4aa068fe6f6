/** Wire types that several interfaces share: addresses, sizes, ids. */
import { bytes, count64, named, str, struct } from './wire.ts';

export const Unit = named('gridtypes.Unit', count64);
export const IP = named('net.IP', bytes);
export const IPMask = named('net.IPMask', bytes);
export const NetID = named('zos.NetID', str);
export const NetIPNet = struct('net.IPNet', {
  IP: IP,
  Mask: IPMask,
});

export const NetMetric = struct('pkg.NetMetric', {
  NetRxPackets: count64,
  NetRxBytes: count64,
  NetTxPackets: count64,
  NetTxBytes: count64,
});

export const Name = named('gridtypes.Name', str);
export const HardwareAddr = named('net.HardwareAddr', bytes);
export const RawMessage = named('json.RawMessage', bytes);
