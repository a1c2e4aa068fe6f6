/**
 * node deploy.ts CLIENT.json [poll]: deploys a machine on a node, waits until it runs, shows it, cancels it.
 * node deploy.ts check VECTORS: holds hashes and signatures against schemas/vectors, offline.
 */
import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { ChainClient } from '../../../gateway/chain/client.ts';
import { Identity, RmbClient, RmbError, TwinCache } from '../../../gateway/rmb/index.ts';
import {
  buildDeployment,
  buildWorkload,
  type Command,
  challenge,
  type Deployment,
  deploymentChanges,
  deploymentDeploy,
  deploymentHash,
  deploymentList,
  deploymentPlan,
  deploymentWait,
  formatDeployment,
  network,
  parseDeployment,
  parseOutput,
  signedMessage,
  withSignature,
  zmachine,
  zmount,
} from '../../../schemas/index.ts';

const GiB = 1024 ** 3;
const DEADLINE_MS = 300_000;
const CALL_MS = 60_000;

const keyType = z.enum(['sr25519', 'ed25519']);
const tenant = z.object({ twin: z.int(), mnemonic: z.string(), key_type: keyType });
const Facts = z.object({
  chain: z.string(),
  relay: z.string(),
  node: z.object({ id: z.int(), twin: z.int() }),
  tenants: z.tuple([tenant], tenant),
});

function machine(twinId: number, wireguardKey: string): Deployment {
  const net = { ip_range: '10.20.0.0/16', subnet: '10.20.2.0/24', wireguard_listen_port: 4242 };
  const vm = {
    flist: 'https://hub.grid.tf/tf-official-apps/base:latest.flist',
    network: { interfaces: [{ network: 'net', ip: '10.20.2.5' }] },
    compute_capacity: { cpu: 1, memory: GiB },
    mounts: [{ name: 'disk', mountpoint: '/data' }],
    entrypoint: '/sbin/zinit init',
    env: { SSH_KEY: 'ssh-ed25519 AAAA me' },
  };
  const workloads = [
    buildWorkload(network, 'net', { ...net, wireguard_private_key: wireguardKey }),
    buildWorkload(zmount, 'disk', { size: 10 * GiB }),
    buildWorkload(zmachine, 'vm', vm),
  ];
  return buildDeployment({ twinId, workloads });
}

async function deploy(facts: z.output<typeof Facts>, poll: boolean): Promise<void> {
  const [who] = facts.tenants;
  const identity = await Identity.fromSecret(who.mnemonic, who.key_type);
  await using closing = new AsyncDisposableStack();
  const chain = await ChainClient.connect({ endpoints: [facts.chain], identity });
  closing.defer(() => chain.close());
  const twins = new TwinCache({ twin: (id) => chain.twin(id) });
  const rmb = new RmbClient({ relays: [facts.relay], identity, twinId: who.twin, session: 'typescript', twins });
  closing.defer(() => rmb.close());
  await rmb.connect();

  async function ask<I extends z.ZodType, O extends z.ZodType>(
    command: Command<I, O>,
    payload: string,
  ): Promise<z.output<O>> {
    const call = { twin: facts.node.twin, command: command.name, payload, deadlineMs: CALL_MS };
    return parseOutput(command, await rmb.call(call));
  }

  async function settled(contract: bigint): Promise<Record<string, string>> {
    const about = JSON.stringify({ contract_id: Number(contract), version: 0 });
    for (const until = Date.now() + DEADLINE_MS; Date.now() < until; await sleep(poll ? 1000 : 0)) {
      if (!poll && !(await ask(deploymentWait, about)).settled) continue;
      // A workload is as its last entry says.
      const states = Object.fromEntries((await ask(deploymentChanges, about)).map((w) => [w.name, w.result.state]));
      if (Object.keys(states).length > 0 && !Object.values(states).includes('init')) return states;
    }
    throw new Error(`contract ${contract} has not settled in ${DEADLINE_MS / 1000} s`);
  }

  const unsigned = machine(who.twin, process.env.WIREGUARD_KEY ?? randomBytes(32).toString('base64'));
  const signature = identity.sign(signedMessage(unsigned)).subarray(1);
  const deployment = withSignature(unsigned, who.twin, who.key_type, signature);
  try {
    const plan = poll ? { fits: true, reasons: [] } : await ask(deploymentPlan, formatDeployment(deployment));
    if (!plan.fits) throw new Error(plan.reasons.map(({ message }) => message).join('; '));
  } catch (error) {
    poll = error instanceof RmbError && error.message.includes('function is not found'); // a node of other make
    if (!poll) throw error;
  }
  const hash = deploymentHash(deployment);
  const contract = await chain.createNodeContract({ nodeId: facts.node.id, hash });
  try {
    await ask(deploymentDeploy, formatDeployment({ ...deployment, contract_id: contract }));
    console.log(JSON.stringify({ hash, contract: Number(contract), workloads: await settled(contract) }));
  } finally {
    await chain.cancelContract(contract);
    // Names, addresses and ports are free for the next client when the node has it no more.
    const isThere = async () => (await ask(deploymentList, '')).some(({ contract_id }) => contract_id === contract);
    for (const until = Date.now() + CALL_MS; Date.now() < until && (await isThere()); ) await sleep(250);
  }
}

async function check(folder: string): Promise<void> {
  const golden = JSON.parse(readFileSync(join(folder, 'challenge.json'), 'utf8'));
  const identity = await Identity.fromSecret(golden.keys[0].mnemonic, 'ed25519');
  for (const { name, deployment, signatures, ...expected } of golden.cases) {
    const parsed = parseDeployment(JSON.stringify(deployment));
    assert.equal(challenge(parsed), expected.challenge, name);
    assert.equal(deploymentHash(parsed), expected.hash, name);
    const signature = Buffer.from(identity.sign(signedMessage(parsed)).subarray(1)).toString('hex');
    assert.equal(signature, signatures[0].signature, name);
  }
  console.log(JSON.stringify({ checked: golden.cases.length }));
}

const [first = '', second = ''] = process.argv.slice(2);
if (first === 'check') await check(second);
else await deploy(Facts.parse(JSON.parse(readFileSync(first, 'utf8'))), second === 'poll');
