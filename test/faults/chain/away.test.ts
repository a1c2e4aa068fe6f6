/** W4: a node that starts while no chain can be reached: chaind and provisiond as processes would, with what they kept. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ChainClient } from '../../../gateway/chain/client.ts';
import { type RunningDevChain, startDevChain } from '../../../gateway/chain/dev/start.ts';
import { redirectLibraryLog } from '../../../gateway/chain/library-log.ts';
import { busTwins } from '../../../gateway/rmb/bus-twins.ts';
import { Identity, TwinCache, writeKeyFile } from '../../../gateway/rmb/index.ts';
import { chain, substrateGateway } from '../../../modules/api-gateway/interface.ts';
import { isZbusError } from '../../../modules/zbus/errors.ts';
import { planner, provision, statistics } from '../../../provision/interface.ts';
import { states } from '../../../provision/testing/engine.ts';
import { fullDeployment, Stand } from '../../../provision/testing/provisiond.ts';
import { networkWorkload } from '../../../provision/testing/tenant.ts';
import { deploymentFromStruct, deploymentToStruct } from '../../../provision/wire.ts';
import { deploymentHash, signedMessage } from '../../../schemas/challenge.ts';
import type { Deployment, Workload } from '../../../schemas/deployment.ts';
import { end } from '../../ended.ts';

const MAIN = join(import.meta.dirname, '../../../gateway/chain/main.ts');
const PATIENCE = { timeout: 20_000 };
/** A process that loads the chain's library takes its time on a busy machine. */
const START = { timeout: 60_000 };
/** Nobody listens there. */
const NOWHERE = 'ws://127.0.0.1:9';
const GIB = 1024n ** 3n;
const log = pino({ level: 'silent' });
redirectLibraryLog();

let stand: Stand;
let running: RunningDevChain | undefined;
let chaind: ChildProcess | undefined;
let identity: Identity;
let user: ChainClient;
let twin: number;
let nodeId: number;
const clients: ChainClient[] = [];

async function person(secret: string): Promise<ChainClient> {
  const key = await Identity.fromSecret(secret, 'ed25519');
  const client = await ChainClient.connect({ endpoints: [running?.url ?? ''], identity: key, deadlineMs: 60_000 });
  clients.push(client);
  await client.endow();
  await client.ensureTwin({ relay: 'relay.example' });
  return client;
}

function startChaind(url: string): void {
  const args = ['--chain', url, '--key-file', join(stand.folder, 'node.json'), '--broker', stand.redis.broker];
  chaind = spawn(process.execPath, [MAIN, ...args, '--state', stand.folder], { stdio: 'ignore' });
}

async function stopChaind(): Promise<void> {
  if (chaind !== undefined) await end(chaind, 'chaind');
}

function signed(contract: bigint, workloads: Workload[]): Deployment {
  const deployment: Deployment = {
    ...{ version: 0, twin_id: twin, contract_id: contract, metadata: '', description: '', expiration: 0 },
    signature_requirement: {
      requests: [{ twin_id: twin, required: false, weight: 1 }],
      ...{ weight_required: 1, signatures: [], signature_style: '' },
    },
    workloads,
  };
  const signature = Buffer.from(identity.sign(signedMessage(deployment)).subarray(1)).toString('hex');
  deployment.signature_requirement.signatures.push({ twin_id: twin, signature, signature_type: 'ed25519' });
  return deployment;
}

const remote = async (work: Promise<unknown>): Promise<{ code?: string; retryable?: boolean } | undefined> => {
  const error: unknown = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  return isZbusError(error, 'call_failed') ? (error.remote as { code?: string }) : undefined;
};

// The chain does not come back: each attempt begins with one.
beforeEach(async () => {
  stand = await Stand.open();
  running = await startDevChain({ host: '127.0.0.1', port: 0, log, timing: { idleBlockMs: 500, finalityMs: 500 } });
  const secrets = [0, 1].map(() => randomBytes(32).toString('hex')) as [string, string];
  await writeKeyFile(join(stand.folder, 'node.json'), { keyType: 'ed25519', secret: secrets[0] });
  startChaind(running.url);
  identity = await Identity.fromSecret(secrets[1], 'ed25519');
  const [farmer, node] = [await person(randomBytes(32).toString('hex')), await person(secrets[0])];
  user = await person(secrets[1]);
  twin = (await user.twinByAccount(user.publicKey))?.id ?? 0;
  const farmId = await farmer.createFarm('away');
  nodeId = await node.createNode({ farmId, resources: { hru: 0n, sru: 512n * GIB, cru: 8n, mru: 16n * GIB } });
  await stand.serveHost(['storage', 'network', 'flist', 'vmd']);
}, 120_000);

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  await stopChaind();
  await stand?.close();
  await running?.stop();
});

it('W4: serves reads, keeps its workloads running and refuses new ones for now, from the start', async () => {
  const node = stand.bus.of(chain);
  await expect
    .poll(
      () =>
        node.Node({}).then(
          ({ NodeID }) => NodeID,
          () => 0,
        ),
      START,
    )
    .toBe(nodeId);
  const first = await stand.startHere({ contractWaitMs: 20_000 });
  const draft = signed(0n, fullDeployment());
  const contract = await user.createNodeContract({ nodeId, hash: deploymentHash(draft) });
  const other = await user.createNodeContract({ nodeId, hash: randomBytes(16).toString('hex') });
  await stand.deploy(signed(contract, fullDeployment()), twin);
  const id = `${twin}-${contract}`;
  await expect.poll(() => [...new Set(Object.values(states(first.journal, id)))], PATIENCE).toEqual(['ok']);
  expect(await node.Twin({ id: twin })).toMatchObject({ Found: true, AgeSeconds: 0 });
  const gateway = stand.bus.of(substrateGateway);
  const before = [await gateway.GetNode({ id: nodeId }), await gateway.GetTwin({ id: twin })];

  await stand.stopHere();
  await stopChaind();
  for (const client of clients.splice(0)) await client.close();
  await running?.stop();
  running = undefined;
  // As after a reboot: nothing runs.
  stand.host.machines.clear();
  startChaind(NOWHERE);
  const second = await stand.startHere();

  // Workloads first: nothing of that needs a chain.
  await expect.poll(() => [...stand.host.machines.keys()], PATIENCE).toEqual([`${id}-vm1`]);
  expect([...new Set(Object.values(states(second.journal, id)))]).toEqual(['ok']);
  const orchestrator = stand.bus.of(provision);
  const found = deploymentFromStruct(await orchestrator.Get({ twin, contractID: contract }), { results: 'keep' });
  expect(found.workloads.map(({ result }) => result.state)).toEqual(['ok', 'ok', 'ok']);
  expect(await orchestrator.List({ twin })).toHaveLength(1);
  expect((await orchestrator.Changes({ twin, contractID: contract })).length).toBeGreaterThan(5);
  expect(await stand.bus.of(statistics).GetCounters({})).toMatchObject({ Used: expect.anything() });
  expect(await stand.bus.of(planner).Operations({ twin, contractID: contract })).not.toEqual([]);

  // Who is who, with its age; nothing that was never heard of.
  await expect
    .poll(
      () =>
        node.Node({}).then(
          ({ NodeID }) => NodeID,
          () => 0,
        ),
      START,
    )
    .toBe(nodeId);
  expect((await node.Node({})).AgeSeconds).toBeGreaterThan(0);
  const known = await node.Twin({ id: twin });
  expect(known).toMatchObject({ Found: true, Account: new Uint8Array(identity.publicKey), Relay: 'relay.example' });
  expect(known.AgeSeconds).toBeGreaterThan(0);
  expect([await gateway.GetNode({ id: nodeId }), await gateway.GetTwin({ id: twin })]).toEqual(before);
  expect((await new TwinCache(busTwins(node)).twin(twin))?.account).toEqual(new Uint8Array(identity.publicKey));
  expect((await remote(node.Twin({ id: 4711 }, { deadlineMs: 15_000 })))?.code).toBe('chain_lost');
  const [kept] = await node.ContractBatch({ ids: [contract, 4711n], mostAgeSeconds: 3_600 }, { deadlineMs: 15_000 });
  expect(kept).toMatchObject({ ContractID: contract, NodeID: nodeId, AgeSeconds: expect.any(Number) });
  expect((await remote(node.Contract({ id: contract }, { deadlineMs: 15_000 })))?.code).toBe('chain_lost');

  // What costs is decided by nobody's memory.
  const wanted = deploymentToStruct(signed(other, [networkWorkload('net9')]));
  const refused = orchestrator.CreateOrUpdate({ twin, deployment: wanted, update: false }, { deadlineMs: 30_000 });
  expect(await remote(refused)).toMatchObject({ code: 'contract_unreadable' });
  expect(second.journal.deployments().map((one) => one.id)).toEqual([id]);
}, 240_000);
