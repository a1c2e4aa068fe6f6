/** What a deployment would come to, and how far one got. */
import { deploymentToStruct } from '../../provision/wire.ts';
import { deploymentPlan, deploymentWait, WAIT_SECONDS } from '../../schemas/index.ts';
import { capacityFromWire, reportFromWire } from './capacity.ts';
import { handle } from './handler.ts';
import { presentOperation } from './operations.ts';

/** Milliseconds beyond the wait itself for the way to provisiond and back. */
const WAY_MS = 5_000;
/** Milliseconds for the operation beside the answer, which does not wait for it longer. */
const OPERATION_MS = 2_000;
const decoder = new TextDecoder();

export const planHandlers = [
  handle(deploymentPlan, async (deployment, { node, twin, signal, deadlineMs }) => {
    const plan = await node.planner.Plan({ twin, deployment: deploymentToStruct(deployment) }, { signal, deadlineMs });
    return {
      fits: plan.Fits,
      version: plan.Version,
      needs: capacityFromWire(plan.Needs),
      workloads: plan.Workloads.map((workload) => ({
        name: workload.Name,
        type: workload.Type,
        action: workload.Action,
        needs: capacityFromWire(workload.Needs),
        pool: workload.Pool,
      })),
      reasons: plan.Refusals.map((reason) => ({
        code: reason.Code,
        workload: reason.Workload,
        message: reason.Message,
        remedy: reason.Remedy,
        retryable: reason.Retryable,
        details: decoder.decode(reason.Details ?? undefined),
      })),
      capacity: reportFromWire(plan.Capacity),
    };
  }),
  handle(deploymentWait, async ({ contract_id, version, timeout_seconds }, { node, twin, signal }) => {
    const seconds = Math.min(timeout_seconds === 0 ? WAIT_SECONDS.usual : timeout_seconds, WAIT_SECONDS.most);
    const timeoutMs = seconds * 1000;
    const progress = await node.planner.Wait(
      { twin, contractID: contract_id, version, timeoutMs },
      { signal, deadlineMs: timeoutMs + WAY_MS },
    );
    const operations = await node.planner
      .Operations({ twin, contractID: contract_id }, { signal, deadlineMs: OPERATION_MS })
      .catch(() => []);
    return {
      operation: presentOperation(operations),
      settled: progress.Settled,
      ok: progress.OK,
      version: progress.Version,
      step: progress.Step,
      workloads: progress.Workloads.map((workload) => ({
        name: workload.Name,
        type: workload.Type,
        version: workload.Version,
        state: workload.State,
        message: workload.Message,
      })),
    };
  }),
];
