/** What provisiond has and waits for, read when somebody asks. */

import type { DaemonMetrics } from '../modules/zbus/telemetry/metrics.ts';
import { Gauge } from '../modules/zbus/telemetry/prometheus.ts';
import type { LatestSnapshot } from './capacity-service.ts';
import type { Engine } from './engine/engine.ts';
import { gauge, Newest } from './observed.ts';
import { countCapacity } from './plan/capacity.ts';
import type { Reconciler } from './reconcile/reconciler.ts';
import type { Reports } from './reports/reports.ts';
import type { Journal } from './store/journal.ts';

/** Milliseconds that the pools may take; then the last reading serves. */
const POOLS_PATIENCE_MS = 300;
const READ_DEADLINE_MS = 5_000;

export interface NumbersOf {
  readonly journal: Journal;
  readonly engine: Engine;
  readonly reports: Reports;
  readonly comparison: Reconciler;
  readonly latest: LatestSnapshot;
}

export function registerNumbers(metrics: DaemonMetrics, parts: NumbersOf): void {
  registerOperations(metrics, parts);
  registerCapacity(metrics, parts);
  registerLeaks(metrics, parts);
  registerReports(metrics, parts);
}

function registerOperations(metrics: DaemonMetrics, { journal, engine }: NumbersOf): void {
  gauge(
    metrics,
    'provision_operations',
    'What was asked of the node and is not over, by what it is and its state',
    ['kind', 'state'],
    () => {
      const counts = new Map<string, number>();
      for (const { kind, state } of journal.pending()) {
        const key = `${kind} ${state}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      return [...counts].map(([key, count]) => {
        const [kind = '', state = ''] = key.split(' ');
        return [{ kind, state }, count] as const;
      });
    },
  );
  gauge(
    metrics,
    'provision_lanes',
    'Deployments the node works on: running, queued for a place, resting before their next try, or parked for failing too often',
    ['state'],
    () => {
      const { running, queued, resting, parked } = engine.numbers;
      const sum = (numbers: Readonly<Record<string, number>>): number =>
        Object.values(numbers).reduce((a, b) => a + b, 0);
      return [
        [{ state: 'running' }, sum(running)],
        [{ state: 'queued' }, sum(queued)],
        [{ state: 'resting' }, resting],
        [{ state: 'parked' }, parked],
      ];
    },
  );
  gauge(
    metrics,
    'provision_steps',
    'Steps under way and waiting for a place, by part of the node',
    ['stage', 'state'],
    () =>
      Object.entries(engine.numbers.steps).flatMap(([stage, { running, queued }]) => [
        [{ stage, state: 'running' }, running] as const,
        [{ stage, state: 'queued' }, queued] as const,
      ]),
  );
  gauge(metrics, 'provision_deployments', 'Deployments the node has', [], () => [[{}, journal.deployments().length]]);
  gauge(
    metrics,
    'provision_repaired',
    'Workloads that vanished from the host and were made again since the start',
    [],
    () => [[{}, engine.numbers.repairs]],
  );
  gauge(
    metrics,
    'provision_journal_damaged',
    "Damaged entries of the node's own records, set aside; look at the log for their names",
    [],
    () => [[{}, journal.quarantined().length]],
  );
}

const units = { cru: 'vcpus', mru: 'memory', sru: 'ssd', hru: 'hdd' } as const;
const sides = ['total', 'system', 'committed', 'pending', 'free'] as const;

function registerCapacity({ registry }: DaemonMetrics, { latest }: NumbersOf): void {
  const newest = new Newest(() => latest.read(AbortSignal.timeout(READ_DEADLINE_MS)), POOLS_PATIENCE_MS);
  const pools = new Gauge({
    name: 'provision_pool_bytes',
    help: 'Storage of each pool: what it has, what is taken by the system, by running and by coming workloads, and what is free',
    labelNames: ['pool', 'media', 'side'],
    registers: [registry],
  });
  new Gauge({
    name: 'provision_capacity',
    help: 'What the node has, keeps for itself, gave away, promised and can still take: cru in virtual CPUs, the others in bytes',
    labelNames: ['unit', 'side'],
    registers: [registry],
    async collect() {
      const snapshot = await newest.value();
      if (snapshot === undefined) return;
      const capacity = countCapacity(snapshot);
      pools.reset();
      for (const side of sides) {
        for (const [unit, account] of Object.entries(units)) this.set({ unit, side }, capacity[account][side]);
        for (const pool of capacity.pools) pools.set({ pool: pool.name, media: pool.media, side }, pool[side]);
      }
    },
  });
}

function registerLeaks(metrics: DaemonMetrics, { comparison }: NumbersOf): void {
  gauge(
    metrics,
    'provision_leaked',
    'Things on the host that nothing needs and that are still there, by kind; more than 0 for long means space or addresses are lost',
    ['kind'],
    () => comparison.leaks.kinds.map(({ kind, kept }) => [{ kind }, kept] as const),
  );
  gauge(metrics, 'provision_leaked_bytes', 'Storage that things nothing needs still take, by kind', ['kind'], () =>
    comparison.leaks.kinds.map(({ kind, keptBytes }) => [{ kind }, keptBytes] as const),
  );
  gauge(
    metrics,
    'provision_missing',
    'Things that deployments need and that were not on the host at the last look, by kind',
    ['kind'],
    () => comparison.leaks.kinds.map(({ kind, missing }) => [{ kind }, missing] as const),
  );
  gauge(
    metrics,
    'provision_comparison_repairs',
    'What comparing the host with the records did since the start: removed, failed to remove, repaired',
    ['kind', 'action'],
    () => {
      const { removedInAll, failedInAll, repairsInAll } = comparison.leaks;
      return Object.entries({ removed: removedInAll, failed: failedInAll, repaired: repairsInAll }).flatMap(
        ([action, kinds]) => Object.entries(kinds).map(([kind, count]) => [{ kind, action }, count] as const),
      );
    },
  );
  gauge(
    metrics,
    'provision_comparison_seconds',
    'How long the last comparison of the host with the records took',
    [],
    () => [[{}, comparison.leaks.durationMs / 1000]],
  );
}

function registerReports(metrics: DaemonMetrics, { reports }: NumbersOf): void {
  gauge(
    metrics,
    'provision_reports',
    'Reports of use to the chain: pending, told, tries that failed, and dead ones it refuses, which cost the farmer income',
    ['report', 'state'],
    () =>
      (['capacity', 'traffic'] as const).flatMap((report) => {
        const { pending, told, failed, dead } = reports[report];
        return Object.entries({ pending, told, failed, dead }).map(
          ([state, count]) => [{ report, state }, count] as const,
        );
      }),
  );
  gauge(
    metrics,
    'provision_reports_last_success_timestamp_seconds',
    'When the chain took the last report, seconds since 1970; 0 before the first',
    ['report'],
    () =>
      (['capacity', 'traffic'] as const).map(
        (report) => [{ report }, Math.round(reports[report].lastSuccessAt / 1000)] as const,
      ),
  );
}
