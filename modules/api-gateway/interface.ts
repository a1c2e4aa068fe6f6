/** The chain as the node's daemons see it: what this node's own ask for, beside the standard object. */
import { defineInterface } from '../zbus/definition.ts';
import { bool, bytes, count64, slice, str, struct, uint32, uint64 } from '../zbus/wire.ts';
import { AccountID, Interface, Location, NruConsumption, Resources } from './standard.ts';

export * from './standard.ts';

/** What the node must know of one contract, read at one finalised or best block. */
export const ContractFacts = struct('gridnode.ContractFacts', {
  Found: bool,
  ContractID: uint64,
  TwinID: uint32,
  /** `node`, `name` or `rent`. */
  Kind: str,
  /**
   * `created`, `grace`, `deleted` (where it is not found: it was there and never will be again), or `ending`:
   * gone in the newest block, which is not final yet. Empty for one that may still come.
   */
  State: str,
  /** The node of a node or rent contract, else 0. */
  NodeID: uint32,
  /** The 32 ASCII characters of the deployment's hex MD5; empty for other kinds. */
  DeploymentHash: str,
  PublicIPs: uint32,
  /** Twin that rents the node, 0 when nobody does. */
  RentedBy: uint32,
  /** The block that all of this was read at. */
  BlockNumber: uint32,
  /** 0 for what was read now; else seconds since it was, as the chain cannot be asked. */
  AgeSeconds: uint32,
});

export const TwinFacts = struct('gridnode.TwinFacts', {
  Found: bool,
  TwinID: uint32,
  /** 32-byte public key of the twin's account. */
  Account: AccountID,
  /** Relay domains joined by `_` as the chain stores them; empty when unset. */
  Relay: str,
  /** Compressed secp256k1 key for end-to-end encryption; null when the twin has none. */
  EncryptionKey: bytes,
  /** The block it was read at. */
  BlockNumber: uint32,
  /** 0 for what was read now; else seconds since it was, as the chain cannot be asked. */
  AgeSeconds: uint32,
});

export const NodeFacts = struct('gridnode.NodeFacts', {
  NodeID: uint32,
  TwinID: uint32,
  FarmID: uint32,
  /** Twin that owns the farm. */
  FarmerTwinID: uint32,
  /** The block it was read at. */
  BlockNumber: uint32,
  /** Seconds since it was read: up to ten minutes, longer while the chain cannot be asked. */
  AgeSeconds: uint32,
});

export const ContractEvent = struct('gridnode.ContractEvent', {
  /** `created`, `updated`, `cancelled`, `grace_started` or `grace_ended`; `alive`, of no contract, with every block that has none of these. */
  Kind: str,
  ContractID: uint64,
  TwinID: uint32,
  BlockNumber: uint32,
  /** Differs after each start of the process that tells. */
  Generation: count64,
  /** Counts a generation's events from 1: a listener that sees a gap has missed some and compares. */
  Sequence: count64,
});

export const TwinEvent = struct('gridnode.TwinEvent', {
  /** The twin that was made, changed or removed; 0 with every block that has none. */
  TwinID: uint32,
  BlockNumber: uint32,
  /** Differs after each start of the process that tells. */
  Generation: count64,
  /** Counts a generation's events: a listener that sees a gap has missed some and forgets what it knows. */
  Sequence: count64,
});

/** What the chain holds of a node's reports on one contract, as of a final block. */
export const ReportedContract = struct('gridnode.ReportedContract', {
  ContractID: uint64,
  /** The node of the node contract; 0 where there is none of that id. */
  NodeID: uint32,
  /** Timestamp of the newest report of traffic, seconds since 1970; when the contract was made before the first. */
  TrafficUntil: uint64,
  Used: Resources,
});

export const Reported = struct('gridnode.Reported', {
  /** The final block that all of it is read of. */
  BlockNumber: uint32,
  /** Without contracts that came after that block. */
  Contracts: slice(ReportedContract),
});

/** What a node is, as its record on the chain should have it. */
export const NodeRecord = struct('gridnode.NodeRecord', {
  FarmID: uint32,
  Resources: Resources,
  /** Empty fields leave what the chain has. */
  Location: Location,
  Interfaces: slice(Interface),
  SecureBoot: bool,
  Virtualized: bool,
  /** Empty where the board tells none. */
  BoardSerial: str,
});

export const EnsuredNode = struct('gridnode.EnsuredNode', {
  NodeID: uint32,
  /** `nothing`, `created` or `updated`. */
  Done: str,
  /** Names of what differed. */
  Differences: slice(str),
});

/** Blocks after its `birth` at which a transaction of `ReportTraffic` is void. A power of two, as eras are. */
export const TRAFFIC_LIFE_BLOCKS = 32;

/**
 * The chain in the shape the node needs: one read a question, all of it pinned
 * to one block, and events as a stream. Level-triggered readers must still
 * compare with `Contract` at start and after a gap in the stream.
 */
export const chain = defineInterface({
  module: 'api-gateway',
  object: 'chain',
  version: '0.1.0',
  methods: {
    /**
     * As the chain has it now; fails while that cannot be asked. One that was gone, or at another node, is read
     * of another endpoint when it is asked for again, where there is one that answers.
     */
    Contract: { args: { id: uint64 }, returns: [ContractFacts], fails: true, order: 'read' },
    /**
     * At most 500 contracts as of one final block, in the order asked for. While the chain cannot be asked: those
     * that were read at most `mostAgeSeconds` ago, others are left out; 0 fails then.
     */
    ContractBatch: {
      args: { ids: slice(uint64), mostAgeSeconds: uint32 },
      returns: [slice(ContractFacts)],
      fails: true,
      order: 'read',
    },
    /** What was known last, with its age, while the chain cannot be asked; so are `Node` and `OwnTwin`. */
    Twin: { args: { id: uint32 }, returns: [TwinFacts], fails: true, order: 'read' },
    Node: { args: {}, returns: [NodeFacts], fails: true, order: 'read' },
    /** The twin of the node's key; `Found` is false where there is none. */
    OwnTwin: { args: {}, returns: [TwinFacts], fails: true, order: 'read' },
    /**
     * The twin of the node's key, made with `create`, its relays and key brought up
     * to date with `update`: `never`, `union` (adds what is missing) or `replace`.
     */
    EnsureTwin: { args: { relays: slice(str), create: bool, update: str }, returns: [TwinFacts], fails: true },
    /** Ids of the node's contracts that the chain holds as active. */
    ActiveContracts: { args: {}, returns: [slice(uint64)], fails: true, order: 'read' },
    /** What the newest final block holds of the node's reports on at most 100 contracts. */
    Reported: { args: { ids: slice(uint64) }, returns: [Reported], fails: true, order: 'read' },
    /**
     * Reports traffic in one transaction that is void 32 blocks after `birth`, a final block. Returns when a
     * final block has it. `chain_dispatch`: a final block refused all of it. After any other error it may be on
     * the chain, or come there before it is void.
     */
    ReportTraffic: { args: { consumptions: slice(NruConsumption), birth: uint32 }, returns: [], fails: true },
    /** The node of the key's twin: made where it is absent, brought up to date where its record differs. */
    EnsureNode: { args: { record: NodeRecord }, returns: [EnsuredNode], fails: true },
  },
  streams: { Contracts: ContractEvent, Twins: TwinEvent },
});
