/** The standard object of the grid's nodes: the chain's own records, as their daemons ask for them. */
import { defineInterface } from '../zbus/definition.ts';
import {
  any,
  bool,
  bytes,
  count64,
  fixedBytes,
  int,
  named,
  opaque,
  pointer,
  slice,
  str,
  struct,
  time,
  uint32,
  uint64,
} from '../zbus/wire.ts';

export const U32 = named('types.U32', uint32);
export const U64 = named('types.U64', uint64);
export const Resources = struct('substrate.Resources', {
  HRU: U64,
  SRU: U64,
  CRU: U64,
  MRU: U64,
});

export const Location = struct('substrate.Location', {
  City: str,
  Country: str,
  Latitude: str,
  Longitude: str,
});

export const ChainIP = struct('substrate.IP', {
  IP: str,
  GW: str,
});

export const OptionChainIP = struct('substrate.OptionIP', {
  HasValue: bool,
  AsValue: ChainIP,
});

export const OptionDomain = struct('substrate.OptionDomain', {
  HasValue: bool,
  AsValue: str,
});

export const ChainPublicConfig = struct('substrate.PublicConfig', {
  IP4: ChainIP,
  IP6: OptionChainIP,
  Domain: OptionDomain,
});

export const OptionChainPublicConfig = struct('substrate.OptionPublicConfig', {
  HasValue: bool,
  AsValue: ChainPublicConfig,
});

export const Interface = struct('substrate.Interface', {
  Name: str,
  Mac: str,
  IPs: slice(str),
});

export const NodeCertification = struct('substrate.NodeCertification', {
  IsDiy: bool,
  IsCertified: bool,
});

export const OptionBoardSerial = struct('substrate.OptionBoardSerial', {
  HasValue: bool,
  AsValue: str,
});

export const Node = struct('substrate.Node', {
  Version: uint32,
  ID: U32,
  FarmID: U32,
  TwinID: U32,
  Resources: Resources,
  Location: Location,
  PublicConfig: OptionChainPublicConfig,
  Created: U64,
  FarmingPolicy: U32,
  Interfaces: slice(Interface),
  Certification: NodeCertification,
  SecureBoot: bool,
  Virtualized: bool,
  BoardSerial: OptionBoardSerial,
  ConnectionPrice: U32,
});

export const U128 = opaque('types.U128');

export const Balance = struct('substrate.Balance', {
  Free: U128,
  Reserved: U128,
  MiscFrozen: U128,
  FreeFrozen: U128,
});

export const AccountInfo = struct('substrate.AccountInfo', {
  Nonce: U32,
  Consumers: U32,
  Providers: U32,
  Sufficients: U32,
  Data: Balance,
});

export const DeletedState = struct('substrate.DeletedState', {
  IsCanceledByUser: bool,
  IsOutOfFunds: bool,
  IsCanceledByCollective: bool,
});

export const ContractState = struct('substrate.ContractState', {
  IsCreated: bool,
  IsDeleted: bool,
  AsDeleted: DeletedState,
  IsGracePeriod: bool,
  AsGracePeriodBlockNumber: U64,
});

export const HexHash = fixedBytes(32, 'substrate.HexHash');
export const PublicIP = struct('substrate.PublicIP', {
  IP: str,
  Gateway: str,
  ContractID: U64,
});

export const NodeContract = struct('substrate.NodeContract', {
  Node: U32,
  DeploymentHash: HexHash,
  DeploymentData: str,
  PublicIPsCount: U32,
  PublicIPs: slice(PublicIP),
});

export const NameContract = struct('substrate.NameContract', {
  Name: str,
});

export const RentContract = struct('substrate.RentContract', {
  Node: U32,
});

export const ContractType = struct('substrate.ContractType', {
  IsNodeContract: bool,
  NodeContract: NodeContract,
  IsNameContract: bool,
  NameContract: NameContract,
  IsRentContract: bool,
  RentContract: RentContract,
});

export const OptionU64 = opaque('types.OptionU64');

export const Contract = struct('substrate.Contract', {
  Version: uint32,
  State: ContractState,
  ContractID: U64,
  TwinID: U32,
  ContractType: ContractType,
  SolutionProviderID: OptionU64,
});

export const SubstrateError = struct('pkg.SubstrateError', {
  Err: pointer(str, 'error'),
  Code: int,
});

export const FarmCertification = struct('substrate.FarmCertification', {
  IsNotCertified: bool,
  IsGold: bool,
});

export const OptionU32 = opaque('types.OptionU32');

export const FarmingPolicyLimit = struct('substrate.FarmingPolicyLimit', {
  FarmingPolicyID: U32,
  Cu: OptionU64,
  Su: OptionU64,
  End: OptionU64,
  NodeCount: OptionU32,
  NodeCertification: bool,
});

export const OptionFarmingPolicyLimit = struct('substrate.OptionFarmingPolicyLimit', {
  HasValue: bool,
  AsValue: FarmingPolicyLimit,
});

export const Farm = struct('substrate.Farm', {
  Version: uint32,
  ID: U32,
  Name: str,
  TwinID: U32,
  PricingPolicyID: U32,
  CertificationType: FarmCertification,
  PublicIPs: slice(PublicIP),
  DedicatedFarm: bool,
  FarmingPoliciesLimit: OptionFarmingPolicyLimit,
});

export const BlockNumber = named('substrate.BlockNumber', uint32);
export const PowerState = struct('substrate.PowerState', {
  IsUp: bool,
  IsDown: bool,
  AsDownBlockNumber: BlockNumber,
});

export const Power = struct('substrate.Power', {
  IsUp: bool,
  IsDown: bool,
});

export const NodePower = struct('substrate.NodePower', {
  State: PowerState,
  Target: Power,
});

export const AccountID = fixedBytes(32, 'substrate.AccountID');
export const OptionRelay = struct('substrate.OptionRelay', {
  HasValue: bool,
  AsValue: str,
});

export const EntityProof = struct('substrate.EntityProof', {
  EntityID: U32,
  Signature: str,
});

export const OptionBytes = opaque('types.OptionBytes');

export const Twin = struct('substrate.Twin', {
  ID: U32,
  Account: AccountID,
  Relay: OptionRelay,
  Entities: slice(EntityProof),
  Pk: OptionBytes,
});

export const NruConsumption = struct('substrate.NruConsumption', {
  ContractID: U64,
  Timestamp: U64,
  Window: U64,
  NRU: U64,
});

export const Hash = fixedBytes(32, 'types.Hash');
export const ContractResources = struct('substrate.ContractResources', {
  ContractID: U64,
  Used: Resources,
});

export const Manager = named('substrate.Manager', any);

export const substrateGateway = defineInterface({
  module: 'api-gateway',
  object: 'api-gateway',
  version: '0.0.1',
  methods: {
    CreateNode: { args: { node: Node }, returns: [uint32], fails: true },
    CreateTwin: { args: { relay: str, pk: bytes }, returns: [uint32], fails: true },
    EnsureAccount: {
      args: { activationURL: slice(str), termsAndConditionsLink: str, termsAndConditionsHash: str },
      returns: [AccountInfo],
      fails: true,
    },
    GetContract: { args: { id: uint64 }, returns: [Contract, SubstrateError], fails: false, order: 'read' },
    GetContractIDByNameRegistration: {
      args: { name: str },
      returns: [uint64, SubstrateError],
      fails: false,
      order: 'read',
    },
    GetFarm: { args: { id: uint32 }, returns: [Farm], fails: true, order: 'read' },
    GetNode: { args: { id: uint32 }, returns: [Node], fails: true, order: 'read' },
    GetNodeByTwinID: { args: { twin: uint32 }, returns: [uint32, SubstrateError], fails: false, order: 'read' },
    GetNodeContracts: { args: { node: uint32 }, returns: [slice(U64)], fails: true, order: 'read' },
    GetNodeRentContract: { args: { node: uint32 }, returns: [uint64, SubstrateError], fails: false, order: 'read' },
    GetNodes: { args: { farmID: uint32 }, returns: [slice(uint32)], fails: true, order: 'read' },
    GetPowerTarget: { args: { nodeID: uint32 }, returns: [NodePower], fails: true, order: 'read' },
    GetTime: { args: {}, returns: [time], fails: true, order: 'read' },
    GetTwin: { args: { id: uint32 }, returns: [Twin], fails: true, order: 'read' },
    GetTwinByPubKey: { args: { pk: bytes }, returns: [uint32, SubstrateError], fails: false, order: 'read' },
    GetZosVersion: { args: {}, returns: [str], fails: true, order: 'read' },
    Report: { args: { consumptions: slice(NruConsumption) }, returns: [Hash], fails: true },
    SetContractConsumption: { args: { resources: ContractResources }, returns: [], fails: true, variadic: 'resources' },
    SetNodePowerState: { args: { up: bool }, returns: [Hash], fails: true },
    UpdateNode: { args: { node: Node }, returns: [uint32], fails: true },
    UpdateNodeUptimeV2: { args: { uptime: count64, timestampHint: uint64 }, returns: [Hash], fails: true },
    UpdateSubstrateGatewayConnection: { args: { manager: Manager }, returns: [], fails: true },
  },
  streams: {},
});
