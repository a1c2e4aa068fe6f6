/** zos.deployment.operations: what was asked of the node, and how far it got. */
import type { z } from 'zod';
import { described, list, optional, struct } from '../gojson/codec.ts';
import { count, text, uint32, uint64 } from '../gojson/values.ts';
import { defineCommand } from './command.ts';

const milliseconds = (what: string) => described(count, `${what}: milliseconds since 1970, 0 when it has not come`);

export const RunningStep = struct(
  'gridnode.RunningStep',
  {
    workload: described(text, 'workload it is of'),
    step: described(text, 'what is done'),
    state: described(text, '`started`, or `failed` where it will be tried again'),
    message: described(text, 'why it failed; else empty'),
    at: described(count, 'since when: milliseconds since 1970'),
  },
  'A part of an operation that is under way.',
);

export const DeploymentOperation = struct(
  'gridnode.Operation',
  {
    id: described(text, 'its name on this node'),
    kind: described(text, '`create`, `update`, `cancel`, `pause`, `resume`, `decommission` or `restore`'),
    state: described(text, '`queued`, `running`, `parked`, `done`, `failed` or `superseded`'),
    contract_id: described(uint64, 'node contract of the deployment'),
    version: described(uint32, 'version of the deployment that was asked for'),
    workload: described(text, 'the one workload it is of; empty where it is of the whole deployment'),
    queue_position: described(uint32, 'how many are served before it; 0 where it runs or comes next'),
    asked_at: milliseconds('when it was accepted'),
    started_at: milliseconds('when it was begun first'),
    ended_at: milliseconds('when it was over'),
    attempts: described(uint32, 'how often it was begun'),
    crashes: described(uint32, 'how often the node ended while it was worked on'),
    last_error: described(text, 'why the last attempt did not succeed; empty when none failed'),
    reason: described(text, 'why it was asked, where no document of the twin asked it; else empty'),
    trace: described(text, "the request's uid, which names it in the node's log"),
    steps: described(list(RunningStep), 'what is under way; empty unless it runs'),
  },
  'Something that was asked of the node, from its acceptance to its end.',
);
export type DeploymentOperation = z.output<typeof DeploymentOperation>;

export const deploymentOperations = defineCommand({
  name: 'zos.deployment.operations',
  summary: 'What was asked of the node for deployments of the caller and has not ended, and the newest that has.',
  caller: 'own',
  input: struct('args', {
    contract_id: described(
      optional(uint64),
      'node contract of the deployment; left out or 0 stands for all of the caller',
    ),
  }),
  output: list(DeploymentOperation),
});
