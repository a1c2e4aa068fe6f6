/** The planner on the bus: capacity, the dry run, steps and waiting for them. */
import type { Service } from '../modules/zbus/definition.ts';
import type { Infer } from '../modules/zbus/wire.ts';
import { GridError } from '../schemas/errors/index.ts';
import { validateDeployment } from '../schemas/validate.ts';
import type { Acceptor } from './accept.ts';
import type { LatestSnapshot } from './capacity-service.ts';
import { dryRun } from './dry-run.ts';
import type { planner, StepEvent } from './interface.ts';
import type { NodeReader } from './node.ts';
import { operationsOf, type Queue } from './operations.ts';
import { type Changes, waitForVersion } from './progress.ts';
import { capacityReport, stepEvent } from './report.ts';
import { absent } from './store/absent.ts';
import { deploymentId, type Journal } from './store/journal.ts';
import { deploymentFromStruct } from './wire.ts';
import { nodeFeatures } from './workloads/index.ts';

export interface PlannerServiceOptions {
  readonly latest: LatestSnapshot;
  readonly journal: Journal;
  readonly acceptor: Acceptor;
  readonly node: NodeReader;
  readonly changes: Changes;
  readonly queue: Queue;
  readonly steps: (signal: AbortSignal) => AsyncIterable<Infer<typeof StepEvent>>;
  readonly types: readonly string[];
  /** Aborted when the process is told to stop: who waits is told at once. */
  readonly stopping: AbortSignal;
}

export function plannerService(options: PlannerServiceOptions): Service<typeof planner> {
  const { latest, journal, steps, types } = options;
  return {
    Capacity: async (_, { signal }) => capacityReport(await latest.read(signal), journal.census),
    Features: () => [...nodeFeatures],
    Operations: ({ twin, contractID: contract }) => operationsOf(journal, options.queue, { twin, contract }),
    Plan: async ({ twin, deployment: struct }, { signal }) => {
      const deployment = deploymentFromStruct(struct, { results: 'drop' });
      validateDeployment(deployment, { runs: types });
      if (deployment.twin_id !== twin) {
        throw new GridError('deployment_twin', { deployment: deployment.twin_id, message: twin });
      }
      return dryRun(deployment, options, signal);
    },
    Steps: ({ twin, contractID }) => {
      const record = journal.deployment(deploymentId(twin, contractID));
      if (record === undefined) throw absent(journal, twin, contractID);
      return journal.steps(record.id).map((entry) => stepEvent(record, entry));
    },
    Wait: ({ twin, contractID, version, timeoutMs }, { signal }) =>
      waitForVersion({ twin, contract: contractID, version, timeoutMs }, options, signal),
    Steps$: steps,
  };
}
