/** qsfsd: quantum safe file systems. */
import { defineInterface } from '../zbus/definition.ts';
import { NetMetric, Unit } from '../zbus/gridtypes.ts';
import { bytes, map, named, slice, str, struct, uint32 } from '../zbus/wire.ts';

export const EncryptionAlgorithm = named('zos.EncryptionAlgorithm', str);
export const EncryptionKey = named('zos.EncryptionKey', bytes);
export const Encryption = struct('zos.Encryption', { Algorithm: EncryptionAlgorithm, Key: EncryptionKey });
export const ZdbBackend = struct('zos.ZdbBackend', { Address: str, Namespace: str, Password: str });
export const ZdbGroup = struct('zos.ZdbGroup', { Backends: slice(ZdbBackend) });

export const QuantumSafeConfig = struct('zos.QuantumSafeConfig', {
  Prefix: str,
  Encryption: Encryption,
  Backends: slice(ZdbBackend),
});

export const QuantumSafeMeta = struct('zos.QuantumSafeMeta', { Type: str, Config: QuantumSafeConfig });
export const QuantumCompression = struct('zos.QuantumCompression', { Algorithm: str });

export const QuantumSafeFSConfig = struct('zos.QuantumSafeFSConfig', {
  MinimalShards: uint32,
  ExpectedShards: uint32,
  RedundantGroups: uint32,
  RedundantNodes: uint32,
  MaxZDBDataDirSize: uint32,
  Encryption: Encryption,
  Meta: QuantumSafeMeta,
  Groups: slice(ZdbGroup),
  Compression: QuantumCompression,
});

export const QuantumSafeFS = struct('zos.QuantumSafeFS', { Cache: Unit, Config: QuantumSafeFSConfig });
export const QSFSInfo = struct('pkg.QSFSInfo', { Path: str, MetricsEndpoint: str });
export const QSFSMetrics = struct('pkg.QSFSMetrics', { Consumption: map(str, NetMetric) });

export const qsfs = defineInterface({
  module: 'qsfsd',
  object: 'manager',
  version: '0.0.1',
  methods: {
    Metrics: { args: {}, returns: [QSFSMetrics], fails: true, order: 'read' },
    Mount: { args: { wlID: str, cfg: QuantumSafeFS }, returns: [QSFSInfo], fails: true, order: { by: 'wlID' } },
    SignalDelete: { args: { wlID: str }, returns: [], fails: true, order: { by: 'wlID' } },
    UpdateMount: { args: { wlID: str, cfg: QuantumSafeFS }, returns: [QSFSInfo], fails: true, order: { by: 'wlID' } },
  },
  streams: {},
});
