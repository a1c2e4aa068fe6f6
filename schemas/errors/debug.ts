/**
 * Refusals of `zos.debug.*`. Number 0 with the sentences that the grid's debugging tools know; others
 * 1500 to 1519.
 */
import { z } from 'zod';
import { type ErrorEntry, entry } from './table.ts';

/** What came, short enough to be told. */
const got = z.string().max(160);

function rule<D extends z.ZodType>(details: D, message: ErrorEntry<D>['message']): ErrorEntry<D> {
  return entry({ number: 0, stage: 'debug', fault: 'caller', retryable: false, details, message });
}

function failure<D extends z.ZodType>(details: D, message: ErrorEntry<D>['message']): ErrorEntry<D> {
  return entry({ number: 0, stage: 'debug', fault: 'node', retryable: true, details, message });
}

export const debugErrors = {
  debug_identifier_missing: rule(z.object({}), () => 'deployment identifier is required'),
  debug_identifier_form: rule(
    z.object({ got }),
    (d) => `invalid deployment format: expected 'twin-id:contract-id', got '${d.got}'`,
  ),
  debug_twin_invalid: rule(z.object({ got, reason: z.string() }), (d) => `invalid twin ID: ${d.got}: ${d.reason}`),
  debug_contract_invalid: rule(
    z.object({ got, reason: z.string() }),
    (d) => `invalid contract ID: ${d.got}: ${d.reason}`,
  ),
  debug_deployment_unread: rule(z.object({ reason: z.string() }), (d) => `failed to get deployment: ${d.reason}`),
  debug_workload_missing: rule(z.object({}), () => 'workload name is required'),
  debug_workload_unknown: rule(z.object({ got }), (d) => `workload '${d.got}' not found in deployment`),
  debug_info_unsupported: rule(
    z.object({ type: z.string() }),
    (d) => `workload type '${d.type}' not supported for info command`,
  ),
  debug_inspect_failed: failure(z.object({ reason: z.string() }), (d) => `failed to inspect vm: ${d.reason}`),
  debug_logs_failed: failure(z.object({ reason: z.string() }), (d) => `failed to get vm logs: ${d.reason}`),
  debug_health_of_what: rule(z.object({}), () => 'deployment is required when system_probe is not specified'),
  /** A command of the caller's choice, as root on the host. */
  debug_probe_refused: entry({
    number: 1500,
    stage: 'debug',
    fault: 'caller',
    retryable: false,
    details: z.object({}),
    message: () => 'system_probe is refused: this node runs no commands for anyone',
    remedy: 'leave it out; the checks of a deployment need none',
  }),
} as const;
