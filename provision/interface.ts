/** provisiond: deployments and the node's capacity. */
import { defineInterface } from '../modules/zbus/definition.ts';
import { Name, RawMessage, Unit } from '../modules/zbus/gridtypes.ts';
import {
  bool,
  bytes,
  count64,
  float64,
  int,
  map,
  named,
  signed64,
  slice,
  str,
  struct,
  uint,
  uint32,
  uint64,
} from '../modules/zbus/wire.ts';

export const WorkloadType = named('gridtypes.WorkloadType', str);
export const Timestamp = named('gridtypes.Timestamp', signed64);
export const ResultState = named('gridtypes.ResultState', str);
export const Result = struct('gridtypes.Result', {
  Created: Timestamp,
  State: ResultState,
  Error: str,
  Data: RawMessage,
});

export const Workload = struct('gridtypes.Workload', {
  Version: uint32,
  Name: Name,
  Type: WorkloadType,
  Data: RawMessage,
  Metadata: str,
  Description: str,
  Result: Result,
});

export const SignatureRequest = struct('gridtypes.SignatureRequest', {
  TwinID: uint32,
  Required: bool,
  Weight: uint,
});

export const Signature = struct('gridtypes.Signature', {
  TwinID: uint32,
  Signature: str,
  SignatureType: str,
});

export const SignatureStyle = named('gridtypes.SignatureStyle', str);
export const SignatureRequirement = struct('gridtypes.SignatureRequirement', {
  Requests: slice(SignatureRequest),
  WeightRequired: uint,
  Signatures: slice(Signature),
  SignatureStyle: SignatureStyle,
});

export const Deployment = struct('gridtypes.Deployment', {
  Version: uint32,
  TwinID: uint32,
  ContractID: uint64,
  Metadata: str,
  Description: str,
  Expiration: Timestamp,
  SignatureRequirement: SignatureRequirement,
  Workloads: slice(Workload),
});

export const Capacity = struct('gridtypes.Capacity', {
  CRU: count64,
  SRU: Unit,
  HRU: Unit,
  MRU: Unit,
  IPV4U: count64,
});

export const UsersCounters = struct('pkg.UsersCounters', {
  Deployments: int,
  Workloads: int,
  LastDeploymentTimestamp: Timestamp,
});

export const Counters = struct('pkg.Counters', {
  Total: Capacity,
  Used: Capacity,
  System: Capacity,
  Users: UsersCounters,
  OpenConnecions: int,
});

export const GPUInfo = struct('pkg.GPUInfo', {
  ID: str,
  Vendor: str,
  Device: str,
  Vram: count64,
  Contract: uint64,
});

export const provision = defineInterface({
  module: 'provision',
  object: 'provision',
  version: '0.0.1',
  methods: {
    Changes: { args: { twin: uint32, contractID: uint64 }, returns: [slice(Workload)], fails: true, order: 'read' },
    CreateOrUpdate: {
      args: { twin: uint32, deployment: Deployment, update: bool },
      returns: [],
      fails: true,
      // A twin's deployments are accepted in the order they came; another twin's never wait for them.
      order: { by: 'twin' },
    },
    DecommissionCached: { args: { id: str, reason: str }, returns: [], fails: true, order: { by: 'id' } },
    Get: { args: { twin: uint32, contractID: uint64 }, returns: [Deployment], fails: true, order: 'read' },
    GetWorkloadStatus: { args: { id: str }, returns: [ResultState, bool], fails: true, order: 'read' },
    List: { args: { twin: uint32 }, returns: [slice(Deployment)], fails: true, order: 'read' },
    ListPrivateIPs: { args: { twin: uint32, network: Name }, returns: [slice(str)], fails: true, order: 'read' },
    ListPublicIPs: { args: {}, returns: [slice(str)], fails: true, order: 'read' },
    ListTwins: { args: {}, returns: [slice(uint32)], fails: true, order: 'read' },
  },
  streams: {},
});

export const statistics = defineInterface({
  module: 'provision',
  object: 'statistics',
  version: '0.0.1',
  methods: {
    Current: { args: {}, returns: [Capacity], fails: true, order: 'read' },
    GetCounters: { args: {}, returns: [Counters], fails: true, order: 'read' },
    ListGPUs: { args: {}, returns: [slice(GPUInfo)], fails: true, order: 'read' },
    Total: { args: {}, returns: [Capacity], fails: false, order: 'read' },
    Workloads: { args: {}, returns: [int], fails: true, order: 'read' },
  },
  streams: { ReservedStream: Capacity },
});

/** One pool as the planner sees it, bytes. */
export const PoolCapacity = struct('gridnode.PoolCapacity', {
  Name: str,
  /** `ssd` or `hdd`. */
  Type: str,
  Total: Unit,
  /** System reserve, accepted workloads and what else occupies the pool. */
  Reserved: Unit,
  Free: Unit,
  /** Largest single disk that still fits on it; 0 where disks do not lie. */
  LargestDisk: Unit,
});

/** What was asked for and is not done yet. */
export const Waiting = struct('gridnode.Waiting', {
  /** With a workload that was accepted and is not settled. */
  Deployments: count64,
  /** To be made or changed. */
  Workloads: count64,
  /** Workloads that are to go away and still hold something. */
  Leaving: count64,
  /** Since when the oldest of what was accepted waits; 0 when nothing does. */
  Oldest: Timestamp,
});

/**
 * The node's capacity, counted once: total = system + committed + pending + free.
 * CRU counts vCPUs that are sold: logical CPUs times `CPUOvercommit`.
 */
export const CapacityReport = struct('gridnode.CapacityReport', {
  Total: Capacity,
  System: Capacity,
  /** Workloads that run. */
  Committed: Capacity,
  /** Workloads that were accepted and do not run yet. */
  Pending: Capacity,
  Free: Capacity,
  /** Largest single disk that still fits, bytes. */
  LargestDisk: Unit,
  Pools: slice(PoolCapacity),
  LogicalCPUs: count64,
  CPUOvercommit: float64,
  Waiting: Waiting,
});

/** Why a deployment would be refused. */
export const Refusal = struct('gridnode.Refusal', {
  /** Code of the error table. */
  Code: str,
  /** Workload it is about; empty for the deployment as a whole. */
  Workload: str,
  /** What happened, without the remedy. */
  Message: str,
  Remedy: str,
  /** Whether the same deployment may be accepted later. */
  Retryable: bool,
  /** The error's details as JSON. */
  Details: bytes,
});

export const PlannedWorkload = struct('gridnode.PlannedWorkload', {
  Name: str,
  Type: str,
  /** `add`, `update`, `remove` or `keep`. */
  Action: str,
  /** What it takes once it runs. */
  Needs: Capacity,
  /** Of its disk or root file system; empty without one, or when the deployment does not fit. */
  Pool: str,
});

/** Answer of the dry run: the decision that deploying would come to now. */
export const PlanReport = struct('gridnode.PlanReport', {
  Fits: bool,
  Version: uint32,
  /** Of all workloads of the version. */
  Needs: Capacity,
  /** In the order in which they would be worked on. */
  Workloads: slice(PlannedWorkload),
  Refusals: slice(Refusal),
  /** Before the deployment. */
  Capacity: CapacityReport,
});

export const WorkloadProgress = struct('gridnode.WorkloadProgress', {
  Name: str,
  Type: WorkloadType,
  /** That the state is of. */
  Version: uint32,
  State: ResultState,
  Message: str,
});

/** How far a deployment got. */
export const Progress = struct('gridnode.Progress', {
  /** Nothing of the awaited version, or of a later one, is left to do. */
  Settled: bool,
  /** Settled, and every workload is as the version wants it. */
  OK: bool,
  Version: uint32,
  /** What the node works on now; empty when settled. */
  Step: str,
  Workloads: slice(WorkloadProgress),
});

/** One change of the engine's state, for people who watch a deployment. */
export const StepEvent = struct('gridnode.StepEvent', {
  TwinID: uint32,
  ContractID: uint64,
  Workload: str,
  Step: str,
  /** `started`, `done`, `failed` or `undone`; `missed`, of no deployment, where events were lost before the stream. */
  State: str,
  Message: str,
  /** Milliseconds since 1970. */
  At: count64,
  Trace: str,
});

/** Something that was asked of the node, from its acceptance to its end. Times are milliseconds since 1970, 0 for what has not come. */
export const Operation = struct('gridnode.Operation', {
  ID: str,
  /** `create`, `update`, `cancel`, `pause`, `resume`, `decommission` or `restore`. */
  Kind: str,
  /** `queued`, `running`, `parked`, `done`, `failed` or `superseded`. */
  State: str,
  TwinID: uint32,
  ContractID: uint64,
  /** Of a decommission; empty otherwise. */
  Workload: str,
  Version: uint32,
  AskedAt: count64,
  StartedAt: count64,
  EndedAt: count64,
  Attempts: uint32,
  /** How often provisiond ended while it was worked on. */
  Crashes: uint32,
  /** Why the last attempt did not succeed; empty when none failed. */
  LastError: str,
  /** Why it was asked; empty where a tenant's document asked. */
  Reason: str,
  Trace: str,
  /** How many are served before it; 0 when it runs or comes next. */
  QueuePosition: uint32,
  /** Steps that are under way or to be tried again; empty unless it runs. */
  Steps: slice(StepEvent),
});

export const planner = defineInterface({
  module: 'provision',
  object: 'planner',
  version: '0.1.0',
  methods: {
    Capacity: { args: {}, returns: [CapacityReport], fails: true, order: 'read' },
    /** Workload types and network features that this node runs. */
    Features: { args: {}, returns: [slice(str)], fails: true, order: 'read' },
    /**
     * What was asked and did not end, and the newest that did; oldest first, 500 at most. Twin 0 stands for
     * all, for callers on this host; contract 0 for all of the twin.
     */
    Operations: { args: { twin: uint32, contractID: uint64 }, returns: [slice(Operation)], fails: true, order: 'read' },
    /** What would be decided on a deployment, or on an update of one, now; changes nothing, asks the chain nothing. */
    Plan: { args: { twin: uint32, deployment: Deployment }, returns: [PlanReport], fails: true, order: 'read' },
    /** Steps of a deployment so far, oldest first. */
    Steps: { args: { twin: uint32, contractID: uint64 }, returns: [slice(StepEvent)], fails: true, order: 'read' },
    /** Answers once a version of a deployment, or a later one, has settled, or after so many milliseconds. */
    Wait: {
      args: { twin: uint32, contractID: uint64, version: uint32, timeoutMs: uint32 },
      returns: [Progress],
      fails: true,
      order: 'read',
    },
  },
  streams: { Steps: StepEvent },
});

/** Of one kind of thing that the node makes for workloads, in the last comparison of the host with the journal. */
export const KindLeaks = struct('gridnode.KindLeaks', {
  Kind: str,
  /** On the host, and needed by nothing. */
  Found: count64,
  FoundBytes: Unit,
  Removed: count64,
  RemovedBytes: Unit,
  /** Found and still there: too young, in use, beyond what one run removes, or not to be removed. */
  Kept: count64,
  KeptBytes: Unit,
  /** Never known to this node's journal, or of a record that is damaged; never removed. */
  Unknown: count64,
  UnknownBytes: Unit,
  /** Wanted, and not on the host. */
  Missing: count64,
});

export const Leaks = struct('gridnode.Leaks', {
  /** Comparisons since provisiond began. */
  Runs: count64,
  /** Milliseconds since 1970 of the last one; 0 before the first. */
  StartedAt: count64,
  DurationMs: count64,
  /** Why the last one did not come to its end. */
  Error: str,
  /** Daemons that did not answer: nothing is said of their kinds. */
  Away: slice(str),
  /** In the order of their names. */
  Kinds: slice(KindLeaks),
  /** Since provisiond began, by kind. */
  RemovedInAll: map(str, count64),
  FailedInAll: map(str, count64),
  RepairsInAll: map(str, count64),
});

/** Comparing the host with the journal: what leaked, what was repaired. */
export const reconciler = defineInterface({
  module: 'provision',
  object: 'reconciler',
  version: '0.1.0',
  methods: {
    /** What the last comparison found. */
    Leaks: { args: {}, returns: [Leaks], fails: false, order: 'read' },
    /** Compares now, and answers what was found; two at once are one. */
    Run: { args: {}, returns: [Leaks], fails: true, order: 'read' },
  },
  streams: {},
});
