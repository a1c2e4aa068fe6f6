/** Every command of the table, asked of a real node in the order a client would ask: what was sent, what came back. */
import type { Peer } from '../../cli/node/peer.ts';
import { RmbError } from '../../gateway/rmb/index.ts';
import {
  type Command,
  commands,
  deploymentHash,
  deploymentUpdate,
  formatDeployment,
  type Workload,
  workloadTypeNames,
} from '../../schemas/index.ts';
import type { CommandExample, Examples, WorkloadExample } from '../../schemas/publish/recorded.ts';
import { Tenant } from '../system/tenant.ts';
import type { TestNode } from '../system/test-node.ts';

const CALL_DEADLINE_MS = 60_000;
const PERFORMANCE_DEADLINE_MS = 90_000;
const deployed = ['network', 'zmount', 'zmachine'];
const added = 'volume';

/** A recorded workload as a deployment holds it: its data is the text of what was recorded. */
export function workloadOf({ workload }: WorkloadExample): Workload {
  const { data, ...rest } = workload as Workload & { readonly data: unknown };
  return { ...rest, data: JSON.stringify(data), result: { created: 0, state: '', message: '', data: '' } };
}

/**
 * Deploys the recorded workloads with the flist at `flist`, and asks every command. The farmer's twin
 * has to be an admin of the node.
 */
export async function askEverything(node: TestNode, recorded: Examples, flist: string): Promise<Examples> {
  const tenant = await Tenant.open(node, 'user');
  const farmer = await node.peer('farmer');
  const asked = new Asked(tenant.peer, farmer);
  const example = (type: string): Workload => workloadOf(recorded.workloads[type] as WorkloadExample);
  const withImage = (workload: Workload): Workload => {
    const data = JSON.parse(workload.data);
    return 'flist' in data ? { ...workload, data: JSON.stringify({ ...data, flist }) } : workload;
  };
  const workloads = deployed.map(example).map(withImage);

  const first = tenant.sign(workloads);
  await asked.ask('zos.deployment.plan', formatDeployment(first));
  const contract = await tenant.contractFor(first);
  const reference = JSON.stringify({ contract_id: Number(contract) });
  await asked.ask('zos.deployment.deploy', formatDeployment({ ...first, contract_id: contract }));
  asked.answer('zos.deployment.deploy');
  const wait = { contract_id: Number(contract), version: 0, timeout_seconds: 50 };
  await asked.ask('zos.deployment.wait', JSON.stringify(wait));
  await asked.ask('zos.deployment.operations', reference);
  await asked.ask('zos.deployment.changes', reference);
  await asked.ask('zos.network.list_private_ips', JSON.stringify({ network_name: workloads[0]?.name }));

  const next = tenant.sign([...workloads, { ...example(added), version: 1 }], { version: 1 });
  await tenant.chain.updateNodeContract(contract, deploymentHash(next));
  await asked.ask(deploymentUpdate.name, formatDeployment({ ...next, contract_id: contract }));
  asked.answer(deploymentUpdate.name);
  await waitFor(tenant.peer, contract, 1);
  await asked.ask('zos.deployment.get', reference);
  await asked.ask('zos.deployment.list', '');
  await asked.ask('zos.deployment.delete', '');

  const deployment = `${tenant.twin}:${contract}`;
  await asked.ask('zos.debug.deployment.list', JSON.stringify({ twin_id: tenant.twin }));
  for (const one of ['get', 'history', 'health']) {
    await asked.ask(`zos.debug.deployment.${one}`, JSON.stringify({ deployment }));
  }
  const machine = { deployment, workload: workloads[2]?.name, verbose: false };
  await asked.ask('zos.debug.deployment.info', JSON.stringify(machine));
  await asked.ask('zos.admin.set_public_nic', '"zos"');
  await asked.measured();
  for (const { name } of commands) if (!asked.has(name)) await asked.ask(name, '');

  const answers = await results(tenant, recorded, asked);
  await tenant.cancel(contract);
  return { commands: asked.examples(), workloads: answers };
}

/** What the node made of each workload type: the result of what runs, the reason against what does not. */
async function results(tenant: Tenant, recorded: Examples, asked: Asked): Promise<Record<string, WorkloadExample>> {
  const got = asked.answer('zos.deployment.get') as { readonly workloads: { type: string; result: unknown }[] };
  const examples: Record<string, WorkloadExample> = {};
  for (const type of workloadTypeNames) {
    const { workload } = recorded.workloads[type] as WorkloadExample;
    const running = got.workloads.find((one) => one.type === type);
    examples[type] =
      running === undefined
        ? { workload, refusal: await reasonAgainst(tenant, type, recorded) }
        : { workload, result: running.result };
  }
  return examples;
}

async function reasonAgainst(tenant: Tenant, type: string, recorded: Examples): Promise<unknown> {
  const wanted = type === 'zlogs' ? [type, 'zmachine', 'zmount', 'network'] : [type];
  const workloads = wanted.map((one) => workloadOf(recorded.workloads[one] as WorkloadExample));
  try {
    const plan = await call(tenant.peer, 'zos.deployment.plan', formatDeployment(tenant.sign(workloads)));
    throw new Error(`the node does not refuse ${type}: ${JSON.stringify(plan)}`);
  } catch (error) {
    if (!(error instanceof RmbError) || error.kind !== 'refused') throw error;
    return { code: error.code, message: error.message };
  }
}

async function call(peer: Peer, command: string, payload: string): Promise<unknown> {
  const answer = await peer.callNode(command, payload, CALL_DEADLINE_MS);
  return JSON.parse(new TextDecoder().decode(answer));
}

async function waitFor(peer: Peer, contract: bigint, version: number): Promise<void> {
  const payload = JSON.stringify({ contract_id: Number(contract), version, timeout_seconds: 50 });
  const report = (await call(peer, 'zos.deployment.wait', payload)) as { readonly ok: boolean };
  if (!report.ok) throw new Error(`version ${version} did not come to be: ${JSON.stringify(report)}`);
}

/** Asks, and keeps the first exchange of each command. */
class Asked {
  readonly #tenant: Peer;
  readonly #farmer: Peer;
  readonly #examples = new Map<string, CommandExample>();

  constructor(tenant: Peer, farmer: Peer) {
    this.#tenant = tenant;
    this.#farmer = farmer;
  }

  has(name: string): boolean {
    return this.#examples.has(name);
  }

  answer(name: string): unknown {
    const example = this.#examples.get(name);
    if (example === undefined || !('answer' in example)) throw new Error(`${name} failed: ${JSON.stringify(example)}`);
    return example.answer;
  }

  async ask(name: string, payload: string): Promise<void> {
    const { caller } = commands.find((command) => command.name === name) as Command;
    const peer = caller === 'farmer' || caller === 'admin' ? this.#farmer : this.#tenant;
    const request: unknown = payload === '' ? null : JSON.parse(payload);
    this.#examples.set(name, await this.#exchange(peer, name, payload, request));
  }

  /** The first measurements are made some time after the start. */
  async measured(): Promise<void> {
    const until = Date.now() + PERFORMANCE_DEADLINE_MS;
    for (;;) {
      await this.ask('zos.perf.get', JSON.stringify({ name: 'healthcheck' }));
      if ('answer' in (this.#examples.get('zos.perf.get') as CommandExample)) return;
      if (Date.now() > until) throw new Error('the node has not looked at its health');
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  examples(): Record<string, CommandExample> {
    return Object.fromEntries(this.#examples);
  }

  async #exchange(peer: Peer, name: string, payload: string, request: unknown): Promise<CommandExample> {
    try {
      return { request, answer: await call(peer, name, payload) };
    } catch (error) {
      if (!(error instanceof RmbError) || error.kind !== 'refused') throw error;
      return { request, error: { code: error.code ?? 0, message: error.message } };
    }
  }
}
