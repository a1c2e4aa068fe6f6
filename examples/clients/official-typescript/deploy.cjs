/**
 * Network, disk and machine on a simulated node, with the official TypeScript
 * client's own classes for deployments, its hash, its signature and its chain
 * client. The request itself goes over gridnode's RMB client, as the official
 * one only speaks to relays with TLS on port 443.
 *
 *   gridnode up --simulate --background --state /tmp/node
 *   npm install && node deploy.cjs /tmp/node/client.json
 */
const { readFileSync } = require('node:fs');
const { randomBytes } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const grid = require('@threefold/grid_client');
const { Client } = require('@threefold/tfchain_client');
const { decodeAddress } = require('@polkadot/util-crypto');

const SETTLE_DEADLINE_MS = 30_000;
const GiB = 1024 ** 3;

function workload(name, type, data) {
  return Object.assign(new grid.Workload(), { version: 0, name, type, data, metadata: '', description: '' });
}

function network(name) {
  const data = new grid.Znet();
  data.ip_range = '10.20.0.0/16';
  data.subnet = '10.20.2.0/24';
  data.wireguard_private_key = randomBytes(32).toString('base64');
  data.wireguard_listen_port = 4127;
  data.peers = [];
  return workload(name, grid.WorkloadTypes.network, data);
}

function disk(name, size) {
  return workload(name, grid.WorkloadTypes.zmount, Object.assign(new grid.Zmount(), { size }));
}

function machine(name, { on, mounts }) {
  const data = new grid.Zmachine();
  data.flist = 'https://hub.grid.tf/tf-official-apps/base:latest.flist';
  data.network = Object.assign(new grid.ZmachineNetwork(), { public_ip: '', planetary: false });
  data.network.interfaces = [Object.assign(new grid.ZNetworkInterface(), { network: on, ip: '10.20.2.2' })];
  data.size = 0;
  data.compute_capacity = Object.assign(new grid.ComputeCapacity(), { cpu: 1, memory: GiB });
  data.mounts = mounts.map((disk) => Object.assign(new grid.Mount(), { name: disk, mountpoint: '/data' }));
  data.entrypoint = '/sbin/zinit init';
  data.env = { GREETING: 'hello' };
  data.corex = false;
  data.gpu = [];
  return workload(name, grid.WorkloadTypes.zmachine, data);
}

function deploymentOf(twin, workloads) {
  const request = Object.assign(new grid.SignatureRequest(), { twin_id: twin, required: false, weight: 1 });
  const requirement = new grid.SignatureRequirement();
  Object.assign(requirement, { requests: [request], weight_required: 1 });
  return Object.assign(new grid.Deployment(), {
    ...{ version: 0, twin_id: twin, contract_id: 0, expiration: 0, metadata: '', description: '' },
    ...{ workloads, signature_requirement: requirement },
  });
}

/** A twin as gridnode's RMB client wants to know it. */
async function twinOf(chain, id) {
  const { accountId, relay, pk } = await chain.twins.get({ id });
  const encryptionKey = pk ? Buffer.from(pk.slice(2), 'hex') : null;
  return { id, account: decodeAddress(accountId), relay: relay.split('_'), encryptionKey };
}

async function main(file) {
  const facts = JSON.parse(readFileSync(file, 'utf8'));
  const [{ twin, mnemonic, key_type: keyType }] = facts.tenants;
  const { RmbClient, Identity, TwinCache } = await import('../../../gateway/rmb/index.ts');
  const { deploymentHash, parseDeployment } = await import('../../../schemas/index.ts');

  const workloads = [network('net1'), disk('disk1', GiB), machine('vm1', { on: 'net1', mounts: ['disk1'] })];
  const deployment = deploymentOf(twin, workloads);
  const hash = deployment.challenge_hash();
  const ours = deploymentHash(parseDeployment(JSON.stringify(deployment)));
  if (hash !== ours) throw new Error(`the official client's hash is ${hash}, the node's ${ours}`);

  const chain = new Client({ url: facts.chain, mnemonicOrSecret: mnemonic, keypairType: keyType });
  await chain.connect();
  const wanted = { nodeId: facts.node.id, hash, data: '{}', numberOfPublicIps: 0, solutionProviderId: null };
  const { contractId } = await (await chain.contracts.createNode(wanted)).apply();
  deployment.contract_id = contractId;
  await deployment.sign(twin, mnemonic, keyType);

  const rmb = new RmbClient({
    relays: [facts.relay],
    identity: await Identity.fromSecret(mnemonic, keyType),
    twinId: twin,
    session: 'official',
    twins: new TwinCache({ twin: (id) => twinOf(chain, id) }),
  });
  const ask = (command, argument) => rmb.callJson({ twin: facts.node.twin, command, argument, deadlineMs: 20_000 });
  await rmb.connect({ deadlineMs: 10_000 });
  await ask('zos.deployment.deploy', deployment);
  const until = Date.now() + SETTLE_DEADLINE_MS;
  for (;;) {
    const { workloads: now } = await ask('zos.deployment.get', { contract_id: contractId });
    const states = Object.fromEntries(now.map(({ name, result }) => [name, result.state]));
    if (Object.values(states).every((state) => state !== 'init')) {
      await (await chain.contracts.cancel({ id: contractId })).apply();
      // Names, addresses and ports are free for the next client when the node has it no more.
      const isThere = async () => (await ask('zos.deployment.list')).some((one) => one.contract_id === contractId);
      while (Date.now() < until && (await isThere())) await sleep(100);
      return { hash, contractId, states };
    }
    if (Date.now() > until) throw new Error(`not settled: ${JSON.stringify(states)}`);
    await sleep(100);
  }
}

main(process.argv[2]).then(
  (result) => {
    process.stdout.write(`RESULT ${JSON.stringify(result)}\n`);
    process.exit(0);
  },
  (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  },
);
