/** What was asked for a deployment, and how far it got. */
import type { Infer } from '../../modules/zbus/wire.ts';
import type { Operation as WireOperation } from '../../provision/interface.ts';
import { type DeploymentOperation, deploymentOperations } from '../../schemas/index.ts';
import { handle } from './handler.ts';

export function operationFromWire(one: Infer<typeof WireOperation>): DeploymentOperation {
  return {
    id: one.ID,
    kind: one.Kind,
    state: one.State,
    contract_id: one.ContractID,
    version: one.Version,
    workload: one.Workload,
    queue_position: one.QueuePosition,
    asked_at: one.AskedAt,
    started_at: one.StartedAt,
    ended_at: one.EndedAt,
    attempts: one.Attempts,
    crashes: one.Crashes,
    last_error: one.LastError,
    reason: one.Reason,
    trace: one.Trace,
    steps: one.Steps.map(({ Workload, Step, State, Message, At }) => ({
      workload: Workload,
      step: Step,
      state: State,
      message: Message,
      at: At,
    })),
  };
}

/** What a client that waits is told of: what is under way, or else what was asked last. */
export function presentOperation(operations: readonly Infer<typeof WireOperation>[]): DeploymentOperation | undefined {
  const open = operations.findLast(({ EndedAt }) => EndedAt === 0);
  const found = open ?? operations.at(-1);
  return found === undefined ? undefined : operationFromWire(found);
}

export const operationHandlers = [
  handle(
    deploymentOperations,
    async ({ contract_id }, { node, twin, signal, deadlineMs }) => {
      const found = await node.planner.Operations({ twin, contractID: contract_id }, { signal, deadlineMs });
      return found.map(operationFromWire);
    },
    { mayBeEmpty: true },
  ),
];
