/** identityd: the node's identity and version. */
import { defineInterface } from '../zbus/definition.ts';
import { bool, bytes, count64, named, slice, str, struct, uint32 } from '../zbus/wire.ts';

export const Address = named('pkg.Address', str);
export const FarmID = named('pkg.FarmID', uint32);
export const StrIdentifier = named('pkg.StrIdentifier', str);
export const PRVersion = struct('semver.PRVersion', {
  VersionStr: str,
  VersionNum: count64,
  IsNum: bool,
});

export const Version = struct('semver.Version', {
  Major: count64,
  Minor: count64,
  Patch: count64,
  Pre: slice(PRVersion),
  Build: slice(str),
});

export const identity = defineInterface({
  module: 'identityd',
  object: 'manager',
  version: '0.0.1',
  methods: {
    Address: { args: {}, returns: [Address], fails: true, order: 'read' },
    Decrypt: { args: { message: bytes }, returns: [bytes], fails: true, order: 'read' },
    DecryptECDH: { args: { msg: bytes, publicKey: bytes }, returns: [bytes], fails: true, order: 'read' },
    Encrypt: { args: { message: bytes }, returns: [bytes], fails: true, order: 'read' },
    EncryptECDH: { args: { msg: bytes, publicKey: bytes }, returns: [bytes], fails: true, order: 'read' },
    Farm: { args: {}, returns: [str], fails: true, order: 'read' },
    FarmID: { args: {}, returns: [FarmID], fails: true, order: 'read' },
    FarmSecret: { args: {}, returns: [str], fails: true, order: 'read' },
    NodeID: { args: {}, returns: [StrIdentifier], fails: false, order: 'read' },
    PrivateKey: { args: {}, returns: [bytes], fails: false, order: 'read' },
    Sign: { args: { message: bytes }, returns: [bytes], fails: true, order: 'read' },
    StoreKind: { args: {}, returns: [str], fails: false, order: 'read' },
    Verify: { args: { message: bytes, sig: bytes }, returns: [], fails: true, order: 'read' },
  },
  streams: {},
});

export const versionMonitor = defineInterface({
  module: 'identityd',
  object: 'monitor',
  version: '0.0.1',
  methods: {
    GetVersion: { args: {}, returns: [Version], fails: false, order: 'read' },
  },
  streams: { Version: Version },
});
