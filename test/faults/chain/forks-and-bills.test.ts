/** chaind and provisiond on a chain that forks, stops and bills: what a deployment lives through, and what ends it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { ChainClient } from '../../../gateway/chain/client.ts';
import { type RunningDevChain, startDevChain } from '../../../gateway/chain/dev/start.ts';
import { redirectLibraryLog } from '../../../gateway/chain/library-log.ts';
import { Identity, writeKeyFile } from '../../../gateway/rmb/index.ts';
import { chain } from '../../../modules/api-gateway/interface.ts';
import type { Provisiond } from '../../../provision/provisiond.ts';
import { states } from '../../../provision/testing/engine.ts';
import { fullDeployment, Stand } from '../../../provision/testing/provisiond.ts';
import { networkWorkload } from '../../../provision/testing/tenant.ts';
import { deploymentHash, signedMessage } from '../../../schemas/challenge.ts';
import type { Deployment, Workload } from '../../../schemas/deployment.ts';
import { end } from '../../ended.ts';

const MAIN = join(import.meta.dirname, '../../../gateway/chain/main.ts');
const PATIENCE = { timeout: 20_000 };
/** A process that loads the chain's library takes its time on a busy machine. */
const START = { timeout: 60_000 };
const HOUR = 3600;
const TFT = 10_000_000n;
const EXISTENTIAL_DEPOSIT = 500n;
const GRACE_BLOCKS = 3;
const log = pino({ level: 'silent' });
redirectLibraryLog();

let stand: Stand;
let running: RunningDevChain;
let chaind: ChildProcess | undefined;
let provisiond: Provisiond;
let identity: Identity;
let user: ChainClient;
let farmer: ChainClient;
let twin: number;
let nodeId: number;
const clients: ChainClient[] = [];
const output: string[] = [];
const told: string[] = [];
const listening = new AbortController();

async function person(secret: string, relay: string): Promise<ChainClient> {
  const key = await Identity.fromSecret(secret, 'ed25519');
  const client = await ChainClient.connect({ endpoints: [running.url], identity: key, deadlineMs: 60_000 });
  clients.push(client);
  await client.endow();
  await client.ensureTwin({ relay });
  return client;
}

/** A deployment that the node has accepted and made. */
async function deployed(workloads: Workload[]): Promise<bigint> {
  const deployment: Deployment = {
    version: 0,
    twin_id: twin,
    contract_id: 0n,
    metadata: randomBytes(4).toString('hex'),
    description: '',
    expiration: 0,
    signature_requirement: {
      requests: [{ twin_id: twin, required: false, weight: 1 }],
      weight_required: 1,
      signatures: [],
      signature_style: '',
    },
    workloads,
  };
  const id = await user.createNodeContract({ nodeId, hash: deploymentHash(deployment) });
  deployment.contract_id = id;
  const signature = Buffer.from(identity.sign(signedMessage(deployment)).subarray(1)).toString('hex');
  deployment.signature_requirement.signatures.push({ twin_id: twin, signature, signature_type: 'ed25519' });
  await stand.deploy(deployment, twin);
  await expect.poll(() => [...new Set(Object.values(of(id)))], PATIENCE).toEqual(['ok']);
  return id;
}

const of = (contract: bigint): Record<string, string> => states(provisiond.journal, `${twin}-${contract}`);
const isHeld = (contract: bigint): boolean =>
  provisiond.journal.deployments().some((one) => one.contract === contract && one.cancelled === undefined);
const stateOf = async (id: bigint): Promise<string> => (await stand.bus.of(chain).Contract({ id })).State;
const bill = (contract: bigint, seconds: number): Promise<unknown> =>
  control('dev_bill', { contract: Number(contract), seconds });

async function control(method: string, ...params: unknown[]): Promise<unknown> {
  const socket = new WebSocket(running.url);
  await once(socket, 'open', { signal: AbortSignal.timeout(PATIENCE.timeout) });
  socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
  const [data] = (await once(socket, 'message', { signal: AbortSignal.timeout(PATIENCE.timeout) })) as [Buffer];
  socket.terminate();
  const { result, error } = JSON.parse(data.toString());
  if (error !== undefined) throw new Error(error.message);
  return result;
}

/** Ends all connections and takes none for a while; the answer goes with them. */
async function refuseFor(milliseconds: number): Promise<void> {
  const socket = new WebSocket(running.url);
  await once(socket, 'open');
  socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'dev_refuseConnections', params: [milliseconds] }));
  await once(socket, 'close');
}

/** Makes blocks until nothing told is missing. */
async function finalized(): Promise<void> {
  await control('dev_seal');
  await control('dev_finalize', running.chain.head.number);
}

beforeAll(async () => {
  stand = await Stand.open();
  const timing = { idleBlockMs: 3_600_000, finalityMs: 500 };
  running = await startDevChain({
    host: '127.0.0.1',
    port: 0,
    log,
    timing,
    faults: true,
    billing: { graceBlocks: GRACE_BLOCKS },
  });
  const nodeSecret = randomBytes(32).toString('hex');
  const userSecret = randomBytes(32).toString('hex');
  const keyFile = join(stand.folder, 'node.json');
  await writeKeyFile(keyFile, { keyType: 'ed25519', secret: nodeSecret });
  const args = ['--chain', running.url, '--key-file', keyFile, '--broker', stand.redis.broker, '--state', stand.folder];
  chaind = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [chaind.stdout, chaind.stderr]) stream?.on('data', (data) => output.push(String(data)));

  identity = await Identity.fromSecret(userSecret, 'ed25519');
  farmer = await person(randomBytes(32).toString('hex'), 'farmer.example');
  const node = await person(nodeSecret, 'node.example');
  user = await person(userSecret, 'user.example');
  twin = (await user.twinByAccount(user.publicKey))?.id ?? 0;
  const farmId = await farmer.createFarm('forks');
  const GIB = 1024n ** 3n;
  nodeId = await node.createNode({ farmId, resources: { hru: 0n, sru: 512n * GIB, cru: 8n, mru: 16n * GIB } });
  await stand.serveHost(['storage', 'network', 'flist', 'vmd']);
  await vi.waitFor(async () => {
    const found = await stand.bus.of(chain).Node({});
    if (found.NodeID !== nodeId) throw new Error(`node ${found.NodeID}: ${output.join('')}`);
  }, START);
  provisiond = await stand.startHere({
    contractWaitMs: 20_000,
    contractLimits: {
      intervalMs: 300,
      backlogMs: 300,
      retryMs: 50,
      confirmDelayMs: 100,
      removalsPerRun: 10,
      readDeadlineMs: 5_000,
      movedDelayMs: 60_000,
    },
  });
  (async () => {
    for await (const event of stand.bus.stream(chain, 'Contracts', { signal: listening.signal })) {
      if (event.Kind !== 'alive') told.push(`${event.Kind} ${event.ContractID}`);
    }
  })().catch(() => undefined);
  await control('dev_stall', { finality: true });
}, 180_000);

afterAll(async () => {
  listening.abort();
  for (const client of clients) await client.close();
  await stand?.close();
  if (chaind !== undefined) await end(chaind, 'chaind');
  await running?.stop();
});

/** Ends what a test that failed has left: its network's name and port are the next one's, too. */
afterEach(async () => {
  running.chain.setPaused(false);
  for (const { contract, cancelled } of provisiond.journal.deployments()) {
    if (cancelled !== undefined) continue;
    await user.endow();
    await user.cancelContract(contract);
    await finalized();
    await expect.poll(() => isHeld(contract), PATIENCE).toBe(false);
  }
});

describe('a deployment', () => {
  it('outlives a cancellation that only a fork saw, and not the one that is final', async () => {
    const id = await deployed([networkWorkload('net1')]);
    await finalized();
    await expect.poll(() => told, PATIENCE).toContain(`created ${id}`);
    await user.cancelContract(id);
    expect(await stateOf(id)).toBe('ending');
    // Several comparisons with the chain pass.
    await sleep(1_500);
    expect(of(id)).toEqual({ net1: 'ok' });
    await control('dev_reorg', { depth: 1, transactions: 'dropped' });
    expect(await stateOf(id)).toBe('created');
    await finalized();
    await sleep(500);
    expect(isHeld(id)).toBe(true);
    expect(told).not.toContain(`cancelled ${id}`);

    await user.cancelContract(id);
    await finalized();
    await expect.poll(() => isHeld(id), PATIENCE).toBe(false);
    await expect.poll(() => told, PATIENCE).toContain(`cancelled ${id}`);
  }, 120_000);

  it('ends by a cancellation whose block nobody can read any more', async () => {
    const id = await deployed([networkWorkload('net1')]);
    await finalized();
    await expect.poll(() => told, PATIENCE).toContain(`created ${id}`);
    await user.cancelContract(id);
    await control('dev_stall', { blocks: true });
    running.chain.finalize(running.chain.head.number - 1);
    await refuseFor(500);
    for (let blocks = 0; blocks < 2; blocks += 1) running.chain.seal();
    running.chain.finalize(running.chain.head.number);
    // A node keeps the state of its head and of what came before it.
    running.chain.discardStates(running.chain.head.number - 1);
    await expect.poll(() => told, PATIENCE).toContain(`cancelled ${id}`);
    await expect.poll(() => isHeld(id), PATIENCE).toBe(false);
    running.chain.setPaused(false);
  }, 120_000);

  it('pauses when its owner cannot pay, goes on when he can, ends when the grace is over', async () => {
    const id = await deployed(fullDeployment());
    await user.endow();
    const spend = async (): Promise<void> => {
      const { data } = await user.account(user.publicKey);
      await user.transfer(farmer.publicKey, data.free - TFT);
    };
    // What it uses is reported first, then costs more than one TFT.
    const isOverdrawn = async (): Promise<boolean> => {
      await bill(id, 100 * HOUR);
      return (await user.contract(id))?.state.kind === 'grace';
    };
    await spend();
    await expect.poll(isOverdrawn, PATIENCE).toBe(true);
    expect((await user.account(user.publicKey)).data.free).toBe(EXISTENTIAL_DEPOSIT);
    await finalized();
    await expect.poll(() => of(id).vm1, PATIENCE).toBe('paused');
    // The test hears of it on a line of its own.
    await expect.poll(() => told, PATIENCE).toContain(`grace_started ${id}`);

    await farmer.transfer(user.publicKey, 1500n * TFT);
    await bill(id, 0);
    await finalized();
    await expect.poll(() => of(id).vm1, PATIENCE).toBe('ok');
    await expect.poll(() => told, PATIENCE).toContain(`grace_ended ${id}`);

    await spend();
    await expect.poll(isOverdrawn, PATIENCE).toBe(true);
    for (let blocks = 0; blocks < GRACE_BLOCKS; blocks += 1) await finalized();
    expect(isHeld(id)).toBe(true);
    await bill(id, 0);
    await finalized();
    await expect.poll(() => isHeld(id), PATIENCE).toBe(false);
    expect(await user.contract(id)).toBeUndefined();
  }, 120_000);
});
