/** zos.debug.*: every twin's deployments, for the node's admins. */
import { Deployment } from '../deployment.ts';
import { described, list, omitEmpty, optional, pointer, struct } from '../gojson/codec.ts';
import { bool, count, raw, text, timestamp, uint32, uint64 } from '../gojson/values.ts';
import { defineCommand } from './command.ts';

const identifier = described(text, '`twin:contract`');
const workloadId = described(text, '`twin-contract-name`');

/** Of a deployment that is named. */
const unnamed = [
  'debug_identifier_missing',
  'debug_identifier_form',
  'debug_twin_invalid',
  'debug_contract_invalid',
  'debug_deployment_unread',
] as const;

export const debugDeploymentList = defineCommand({
  name: 'zos.debug.deployment.list',
  summary: 'Active deployments of one twin, or of all.',
  caller: 'admin',
  input: struct('args', { twin_id: described(optional(uint32), '0 stands for all twins') }),
  output: struct(
    'debugcmd.ListResponse',
    {
      deployments: described(
        list(
          struct(
            'debugcmd.ListDeployment',
            {
              twin_id: described(uint32, 'owner'),
              contract_id: described(uint64, 'node contract'),
              workloads: described(
                list(
                  struct(
                    'debugcmd.ListWorkload',
                    {
                      type: described(text, 'type of the workload'),
                      name: described(text, 'name of the workload'),
                      state: described(text, 'state of its last change'),
                    },
                    'A workload in short.',
                  ),
                ),
                'its workloads',
              ),
            },
            'A deployment in short.',
          ),
        ),
        'those with a workload that is neither deleted nor failed',
      ),
    },
    'Active deployments.',
  ),
});

export const debugDeploymentGet = defineCommand({
  name: 'zos.debug.deployment.get',
  summary: 'One deployment of any twin.',
  caller: 'admin',
  input: struct('args', { deployment: identifier }),
  output: struct('debugcmd.GetResponse', { deployment: Deployment }, 'A deployment of any twin.'),
  errors: [...unnamed],
});

export const debugDeploymentHistory = defineCommand({
  name: 'zos.debug.deployment.history',
  summary: 'Every state change of a deployment of any twin, oldest first.',
  caller: 'admin',
  input: struct('args', { deployment: identifier }),
  output: struct(
    'debugcmd.HistoryResponse',
    {
      deployment: identifier,
      history: described(
        list(
          struct(
            'debugcmd.HistoryEntry',
            {
              seq: described(count, 'counts from 1'),
              type: described(text, 'type of the workload'),
              name: described(text, 'name of the workload'),
              created: described(timestamp, 'Unix seconds'),
              state: described(text, 'state it came into'),
              message: described(text, 'why; empty on success'),
            },
            'One change of the state of a workload.',
          ),
        ),
        'oldest first',
      ),
    },
    'What became of a deployment, step by step.',
  ),
  errors: [...unnamed],
});

export const debugDeploymentInfo = defineCommand({
  name: 'zos.debug.deployment.info',
  summary: 'What the node knows of a running machine or network, and the end of its log.',
  caller: 'admin',
  input: struct('args', {
    deployment: identifier,
    workload: described(text, 'name of the workload'),
    verbose: described(optional(bool), 'the whole log instead of its last 2 KiB'),
  }),
  output: struct(
    'debugcmd.InfoResponse',
    {
      workload_id: workloadId,
      type: described(text, 'type of the workload'),
      name: described(text, 'name of the workload'),
      info: described(omitEmpty(raw), 'of a machine: HtEnabled, Memory, CPU; of a network: net_id, namespace, state'),
      logs: described(omitEmpty(text), "end of a machine's console"),
    },
    'What runs for a workload.',
  ),
  errors: [
    ...unnamed,
    'debug_workload_missing',
    'debug_workload_unknown',
    'debug_info_unsupported',
    'debug_inspect_failed',
    'debug_logs_failed',
  ],
});

export const debugDeploymentHealth = defineCommand({
  name: 'zos.debug.deployment.health',
  summary: 'Checks of what a deployment should have on the host against what is there.',
  caller: 'admin',
  input: struct('args', {
    deployment: identifier,
    options: pointer(
      struct('options', {
        system_probe: described(optional(text), 'refused: this node runs no commands for anyone'),
      }),
    ),
  }),
  output: struct(
    'debugcmd.HealthResponse',
    {
      twin_id: described(uint32, 'owner'),
      contract_id: described(uint64, 'node contract'),
      workloads: described(
        list(
          struct(
            'debugcmd.WorkloadHealth',
            {
              workload_id: workloadId,
              type: described(text, 'type of the workload'),
              name: described(text, 'name of the workload'),
              status: described(text, '`healthy` or `unhealthy`'),
              checks: described(
                list(
                  struct(
                    'checks.HealthCheck',
                    {
                      name: described(text, 'what was looked at'),
                      ok: described(bool, 'whether it is as it should be'),
                      message: described(omitEmpty(text), 'what is wrong; left out otherwise'),
                      evidence: described(omitEmpty(raw), 'an object of details; left out when there are none'),
                    },
                    'One thing that was looked at.',
                  ),
                ),
                'everything that was looked at; one that failed makes the workload unhealthy',
              ),
            },
            'Whether a workload is on the host as it should be.',
          ),
        ),
        'those that are checked: networks and machines',
      ),
    },
    'Whether a deployment is on the host as it should be.',
  ),
  errors: [...unnamed, 'debug_health_of_what', 'debug_probe_refused'],
});
