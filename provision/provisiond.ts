/** Puts provisiond together: journal, engine, acceptance, chain, and the objects on the bus. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chain } from '../modules/api-gateway/interface.ts';
import { flist, flistInventory } from '../modules/flistd/interface.ts';
import { network, networkInventory } from '../modules/networkd/interface.ts';
import { nodeMachine } from '../modules/noded/interface.ts';
import { storage, storageInventory, storagePlacement } from '../modules/storaged/interface.ts';
import { vmdInventory } from '../modules/vmd/interface.ts';
import type { BusLog } from '../modules/zbus/broker.ts';
import type { ZbusClient } from '../modules/zbus/client.ts';
import type { ZbusServer } from '../modules/zbus/server.ts';
import type { DaemonMetrics } from '../modules/zbus/telemetry/metrics.ts';
import type { Infer } from '../modules/zbus/wire.ts';
import { Acceptor } from './accept.ts';
import { LatestSnapshot, statisticsService } from './capacity-service.ts';
import { Channel } from './channel.ts';
import { CONTRACT_WATCH_LIMITS, ContractWatch, type ContractWatchLimits } from './engine/contracts.ts';
import { Engine } from './engine/engine.ts';
import { ENGINE_LIMITS, type EngineLimits } from './engine/steps.ts';
import { planner, provision, reconciler, type StepEvent, statistics } from './interface.ts';
import { TwinKeys } from './keys.ts';
import { type NodeOptions, NodeReader } from './node.ts';
import { registerNumbers } from './numbers.ts';
import { Observed } from './observed.ts';
import { plannerService } from './planner-service.ts';
import { type ReconcileLimits, Reconciler } from './reconcile/reconciler.ts';
import { reconcilerService } from './reconcile/service.ts';
import { stepEvent, stepStream } from './report.ts';
import type { CapacityLimits } from './reports/capacity.ts';
import { Reports } from './reports/reports.ts';
import type { TrafficLimits } from './reports/traffic.ts';
import { provisionService } from './service.ts';
import type { Journal } from './store/journal.ts';
import { lockJournal } from './store/lock.ts';
import { SqliteJournal } from './store/sqlite.ts';
import { Verifier } from './verify.ts';
import { workloadDrivers } from './workloads/index.ts';
import type { GuestBoot } from './workloads/workload.ts';

export interface ProvisiondOptions {
  readonly server: ZbusServer;
  readonly bus: ZbusClient;
  readonly log: BusLog;
  /** Where the numbers go; none are kept when left out. */
  readonly metrics?: DaemonMetrics;
  /** The daemon's own folder. */
  readonly root: string;
  readonly guest: GuestBoot;
  readonly cpuOvercommit: number;
  readonly contractWaitMs: number;
  /** Milliseconds that an update waits for workloads that are not done with the one before. */
  readonly busyWaitMs?: number;
  readonly kycUrl?: string;
  readonly engineLimits?: EngineLimits;
  readonly contractLimits?: ContractWatchLimits;
  readonly capacityLimits?: CapacityLimits;
  readonly trafficLimits?: TrafficLimits;
  readonly reconcileLimits?: ReconcileLimits;
  readonly host?: NodeOptions['host'];
  /** Aborted when the process is told to stop, before the bus takes no more calls. */
  readonly ending?: AbortSignal;
  /** Another journal than the one in the daemon's folder. */
  readonly journal?: Journal;
}

export interface Provisiond {
  readonly journal: Journal;
  readonly engine: Engine;
  readonly contracts: ContractWatch;
  readonly reports: Reports;
  readonly comparison: Reconciler;
  stop(): Promise<void>;
}

/** Steps that wait for the bus at most. */
const STEP_BACKLOG = 4096;
const TWINS_RETRY_MS = 1_000;

/** Throws `journal_in_use` where another process works by the journal in its folder. */
export function startProvisiond(options: ProvisiondOptions): Provisiond {
  const { server, bus, log, root } = options;
  const stopping = new AbortController();
  const chainClient = bus.of(chain);
  const observed = options.metrics === undefined ? undefined : new Observed(options.metrics);
  const path = join(root, 'journal.sqlite');
  const lock = options.journal === undefined ? lockJournal(path) : undefined;
  const opened = options.journal ?? new SqliteJournal(path, { log });
  const journal = observed?.journal(opened) ?? opened;
  const { capacityLimits, trafficLimits } = options;
  const reports = new Reports({
    ...{ bus, journal, log, root },
    ...(capacityLimits === undefined ? {} : { capacityLimits }),
    ...(trafficLimits === undefined ? {} : { trafficLimits }),
  });
  const daemons = {
    ...{ storage: bus.of(storage), placement: bus.of(storagePlacement) },
    ...{ network: bus.of(network), flist: bus.of(flist) },
    vmd: reports.machines,
    networkInventory: bus.of(networkInventory),
  };
  const steps = new Channel<Infer<typeof StepEvent>>(STEP_BACKLOG);
  const types = [...workloadDrivers.keys()];

  const engine = new Engine({
    journal,
    daemons,
    guest: options.guest,
    log,
    limits: options.engineLimits ?? ENGINE_LIMITS,
    onStep: (record, entry) => {
      observed?.step(record, entry);
      log.info({ deployment: record.id, ...entry }, 'step');
      steps.push(stepEvent(record, entry));
    },
    onSettled: (record) => reports.changed(record),
  });
  const node = new NodeReader({
    daemons,
    journal,
    machine: bus.of(nodeMachine),
    ports: daemons.networkInventory,
    cpuOvercommit: options.cpuOvercommit,
    ...(options.host === undefined ? {} : { host: options.host }),
  });
  const keys = new TwinKeys(chainClient);
  const checks = new Verifier({
    chain: chainClient,
    keys,
    types,
    contractWaitMs: options.contractWaitMs,
    ...(options.kycUrl === undefined ? {} : { kycUrl: options.kycUrl }),
    onKycCheck: observed?.kycCheck,
  });
  const verifier = observed?.verifier(checks) ?? checks;
  const admission = new Acceptor({
    journal,
    engine,
    node,
    verifier,
    log,
    ...(options.busyWaitMs === undefined ? {} : { busyWaitMs: options.busyWaitMs }),
    onAccepted: (record) => contracts.accepted(record, stopping.signal),
  });
  const acceptor = observed?.acceptor(admission) ?? admission;
  const latest = new LatestSnapshot(node);
  const contracts = new ContractWatch({
    journal,
    engine,
    chain: chainClient,
    events: () => bus.stream(chain, 'Contracts', { signal: stopping.signal }),
    // What told of contracts tells of twins, too: an old key must not stay good.
    onMissed: () => keys.forgetAll(),
    log,
    limits: options.contractLimits ?? CONTRACT_WATCH_LIMITS,
  });

  const comparison = new Reconciler({
    ...{ journal, lanes: engine, log },
    inventories: {
      vmd: bus.of(vmdInventory),
      flist: bus.of(flistInventory),
      network: bus.of(networkInventory),
      storage: bus.of(storageInventory),
    },
    ...(options.reconcileLimits === undefined ? {} : { limits: options.reconcileLimits }),
  });

  server.serve(provision, provisionService({ journal, engine, acceptor }));
  server.serve(statistics, statisticsService(latest, journal, bus.of(nodeMachine)));
  server.serve(
    planner,
    plannerService({
      ...{ latest, journal, acceptor, node, types },
      changes: engine,
      queue: engine,
      steps: (signal) => stepStream(steps, signal),
      stopping: AbortSignal.any([stopping.signal, ...(options.ending === undefined ? [] : [options.ending])]),
    }),
  );

  server.serve(reconciler, reconcilerService(comparison));
  if (options.metrics !== undefined) registerNumbers(options.metrics, { journal, engine, reports, comparison, latest });

  engine.resume();
  const tasks = [
    contracts.run(stopping.signal),
    reports.run(stopping.signal),
    followTwins(bus, keys, log, stopping.signal),
    comparison.loop(stopping.signal),
  ];
  for (const task of tasks) {
    task.catch((error: unknown) => {
      if (!stopping.signal.aborted) log.error({ err: error }, 'task ended');
    });
  }

  return {
    journal,
    engine,
    contracts,
    reports,
    comparison,
    stop: async () => {
      stopping.abort();
      await engine.stop();
      await Promise.allSettled(tasks);
      reports.close();
      journal.close();
      lock?.release();
    },
  };
}

/** A twin that changed may have another key. */
async function followTwins(bus: ZbusClient, keys: TwinKeys, log: BusLog, signal: AbortSignal): Promise<void> {
  let last = { Generation: 0, Sequence: 0 };
  while (!signal.aborted) {
    try {
      for await (const event of bus.stream(chain, 'Twins', { signal })) {
        // A number left out is a change that may have been missed.
        if (event.Generation !== last.Generation || event.Sequence !== last.Sequence + 1) keys.forgetAll();
        else if (event.TwinID !== 0) keys.forget(event.TwinID);
        last = event;
      }
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, 'stream of changed twins ended, listening again');
    }
    await sleep(TWINS_RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}
