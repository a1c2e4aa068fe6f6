import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { chain, substrateGateway } from '../../modules/api-gateway/interface.ts';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { isZbusError } from '../../modules/zbus/errors.ts';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import { isGridError } from '../../schemas/errors/index.ts';
import { writeKeyFile } from '../rmb/identity-source.ts';
import { Identity } from '../rmb/keys.ts';
import { ChainClient } from './client.ts';
import { type RunningDevChain, startDevChain } from './dev/start.ts';
import { redirectLibraryLog } from './library-log.ts';
import { ensureOwnTwin } from './twin-update.ts';

const log = pino({ level: 'silent' });
redirectLibraryLog();
const MAIN = join(import.meta.dirname, 'main.ts');
const HASH = '9021d4dee05a661e2cb6838152c67f25';
const TERMS = { activationURL: [], termsAndConditionsLink: 'http://terms.example', termsAndConditionsHash: 'abc' };

let folder: string;
let redis: TestRedis;
let running: RunningDevChain;
let port: number;
let chaind: ChildProcess;
let bus: ZbusClient;
let user: ChainClient;
const clients: ChainClient[] = [];
const output: string[] = [];

const startChain = (): Promise<RunningDevChain> =>
  startDevChain({ host: '127.0.0.1', port, log, state: join(folder, 'chain') });

async function client(secret: string, keyType: 'ed25519' | 'sr25519'): Promise<ChainClient> {
  const identity = await Identity.fromSecret(secret, keyType);
  const opened = await ChainClient.connect({ endpoints: [running.url], identity, deadlineMs: 30_000 });
  clients.push(opened);
  await opened.endow();
  return opened;
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function admin(method: string, params: unknown[]): Promise<unknown> {
  const socket = new WebSocket(running.url);
  try {
    await once(socket, 'open');
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
    const [data] = (await once(socket, 'message')) as [Buffer];
    return JSON.parse(data.toString());
  } finally {
    socket.terminate();
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chaind-'));
  redis = await startRedis();
  port = 0;
  running = await startChain();
  port = Number(new URL(running.url).port);
  const secret = randomBytes(32).toString('hex');
  await writeKeyFile(join(folder, 'key.json'), { keyType: 'ed25519', secret });
  const args = ['--chain', running.url, '--key-file', join(folder, 'key.json'), '--broker', redis.broker];
  chaind = spawn(process.execPath, [MAIN, ...args, '--state', folder], { stdio: ['ignore', 'pipe', 'pipe'] });
  chaind.stdout?.on('data', (data: Buffer) => output.push(data.toString()));
  chaind.stderr?.on('data', (data: Buffer) => output.push(data.toString()));
  bus = new ZbusClient({ broker: redis.broker, log });
  const giveUpAt = Date.now() + 60_000;
  while ((await failure(bus.status('api-gateway', { deadlineMs: 1000 }))) !== undefined) {
    const hasEnded = chaind.exitCode !== null;
    if (hasEnded || Date.now() > giveUpAt) throw new Error(`chaind did not start: ${output.join('')}`);
  }
  await client(secret, 'ed25519');
  user = await client(randomBytes(32).toString('hex'), 'sr25519');
}, 120_000);

afterAll(async () => {
  for (const one of clients) await one.close();
  await bus?.close();
  if (chaind !== undefined && chaind.exitCode === null) {
    chaind.kill('SIGTERM');
    await once(chaind, 'exit');
  }
  await running?.stop();
  await redis?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** An attempt that failed may have left some. */
async function cancelAll(): Promise<void> {
  for (const id of await bus.of(chain).ActiveContracts({})) await user.cancelContract(id);
}

describe('chaind on a real bus', () => {
  it('registers a node step by step, and then answers for it', async () => {
    const node = bus.of(chain);
    const gateway = bus.of(substrateGateway);
    const early = await failure(node.Node({}, { deadlineMs: 30_000 }));
    expect(isZbusError(early, 'call_failed') && early.message).toBe('registration is still in progress');
    expect(await gateway.GetContract({ id: 1n })).toMatchObject([{ ContractID: 0n }, { Code: 1 }]);

    const account = await gateway.EnsureAccount(TERMS, { deadlineMs: 20_000 });
    expect(account.Providers).toBe(1);
    const twinId = await gateway.CreateTwin({ relay: 'relay.example', pk: null }, { deadlineMs: 20_000 });
    const farmer = await user.ensureTwin({ relay: 'relay.example' });
    const farmId = await user.createFarm('busfarm');
    const wanted = {
      Version: 0,
      ID: 0,
      FarmID: farmId,
      TwinID: twinId,
      Resources: { HRU: 0n, SRU: 1_000_000n, CRU: 4n, MRU: 8_000_000n },
      Location: { City: 'Ghent', Country: 'Belgium', Latitude: '51', Longitude: '3' },
      PublicConfig: {
        HasValue: false,
        AsValue: {
          IP4: { IP: '', GW: '' },
          IP6: { HasValue: false, AsValue: { IP: '', GW: '' } },
          Domain: { HasValue: false, AsValue: '' },
        },
      },
      Created: 0n,
      FarmingPolicy: 0,
      Interfaces: [{ Name: 'zos', Mac: '54:b2:03:00:00:01', IPs: ['10.0.0.2/24'] }],
      Certification: { IsDiy: true, IsCertified: false },
      SecureBoot: false,
      Virtualized: true,
      BoardSerial: { HasValue: true, AsValue: 'serial-1' },
      ConnectionPrice: 0,
    };
    const nodeId = await gateway.CreateNode({ node: wanted }, { deadlineMs: 20_000 });
    const { Version: _version, Created: _created, ...same } = wanted;
    expect(await gateway.GetNode({ id: nodeId })).toMatchObject({
      ...same,
      ID: nodeId,
      FarmingPolicy: 1,
      ConnectionPrice: 80,
    });
    expect(await gateway.UpdateNode({ node: { ...wanted, ID: nodeId, SecureBoot: true } })).toBe(nodeId);
    expect((await gateway.GetNode({ id: nodeId })).SecureBoot).toBe(true);
    expect(await gateway.GetNodeByTwinID({ twin: twinId })).toEqual([nodeId, { Err: null, Code: 0 }]);
    expect(await gateway.GetNodes({ farmID: farmId })).toEqual([nodeId]);
    expect(await gateway.GetFarm({ id: farmId })).toMatchObject({ ID: farmId, Name: 'busfarm', TwinID: farmer });
    expect(await node.Node({})).toMatchObject({ NodeID: nodeId, TwinID: twinId, FarmID: farmId, FarmerTwinID: farmer });
    expect(await gateway.GetTwinByPubKey({ pk: user.publicKey })).toEqual([farmer, { Err: null, Code: 0 }]);
    expect((await gateway.GetTwin({ id: farmer })).Relay).toEqual({ HasValue: true, AsValue: 'relay.example' });
    expect((await gateway.GetZosVersion({})).length).toBeGreaterThan(0);
    const { seconds } = await gateway.GetTime({});
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(15);
  }, 60_000);

  it('reports as the node, and names what it refuses', async () => {
    const gateway = bus.of(substrateGateway);
    const { NodeID } = await bus.of(chain).Node({});
    const { seconds } = await gateway.GetTime({});
    expect(await gateway.UpdateNodeUptimeV2({ uptime: 100, timestampHint: seconds })).toHaveLength(32);
    const late = await failure(gateway.UpdateNodeUptimeV2({ uptime: 100, timestampHint: seconds - 1000n }));
    expect(isZbusError(late, 'call_failed') && late.remote).toMatchObject({
      code: 'chain_dispatch',
      details: { error: 'InvalidTimestampHint' },
    });
    expect(await gateway.SetNodePowerState({ up: false })).toHaveLength(32);
    expect((await gateway.GetPowerTarget({ nodeID: NodeID })).State.IsDown).toBe(true);
    await gateway.SetNodePowerState({ up: true });
    const missing = await failure(gateway.GetFarm({ id: 4242 }));
    expect(isZbusError(missing, 'call_failed') && missing.message).toContain('farm 4242 not found');
    expect(await gateway.GetNodeRentContract({ node: NodeID })).toMatchObject([0n, { Code: 1 }]);
    expect(isZbusError(await failure(gateway.UpdateSubstrateGatewayConnection({ manager: null })))).toBe(true);
  }, 60_000);

  it('tells of contracts, twins and grace as they happen', async () => {
    const node = bus.of(chain);
    const gateway = bus.of(substrateGateway);
    const { NodeID } = await node.Node({});
    await cancelAll();
    const stop = new AbortController();
    const events: string[] = [];
    const numbers: number[] = [];
    const twins: number[] = [];
    const twinNumbers: number[] = [];
    const listening = Promise.all([
      (async () => {
        for await (const event of bus.stream(chain, 'Contracts', { signal: stop.signal })) {
          numbers.push(event.Sequence);
          if (event.Kind !== 'alive') events.push(`${event.Kind} ${event.ContractID}`);
        }
      })(),
      (async () => {
        for await (const event of bus.stream(chain, 'Twins', { signal: stop.signal })) {
          twinNumbers.push(event.Sequence);
          twins.push(event.TwinID);
        }
      })(),
    ]).catch(() => undefined);
    // Both streams have begun: something comes with every block.
    await expect.poll(() => Math.min(numbers.length, twinNumbers.length), { timeout: 20_000 }).toBeGreaterThan(0);

    const id = await user.createNodeContract({ nodeId: NodeID, hash: HASH, data: '{}' });
    expect(await node.Contract({ id })).toMatchObject({
      Found: true,
      Kind: 'node',
      State: 'created',
      NodeID,
      DeploymentHash: HASH,
      RentedBy: 0,
    });
    expect(await node.ActiveContracts({})).toEqual([id]);
    expect(await gateway.GetNodeContracts({ node: NodeID })).toEqual([id]);
    const used = { ContractID: id, Used: { HRU: 0n, SRU: 1n, CRU: 1n, MRU: 1n } };
    await gateway.SetContractConsumption({ resources: [used] });
    const consumptions = [{ ContractID: id, Timestamp: 1n, Window: 3600n, NRU: 5n }];
    expect(await gateway.Report({ consumptions })).toHaveLength(32);

    expect(await admin('dev_graceStart', [Number(id)])).toHaveProperty('result');
    expect((await node.Contract({ id })).State).toBe('grace');
    await admin('dev_graceEnd', [Number(id)]);
    await user.updateTwin({ relay: 'other.example' });
    running.chain.finalize(running.chain.head.number);
    running.chain.setFinality({ held: true });
    onTestFinished(() => running.chain.setFinality({ held: false }));
    await user.cancelContract(id);
    expect(await node.Contract({ id })).toMatchObject({ Found: true, State: 'ending' });
    running.chain.setFinality({ held: false });
    await expect.poll(() => node.Contract({ id })).toMatchObject({ Found: false, State: 'deleted' });
    expect(await node.ActiveContracts({})).toEqual([]);
    const wanted = ['created', 'grace_started', 'grace_ended', 'cancelled'].map((kind) => `${kind} ${id}`);
    await expect.poll(() => events, { timeout: 20_000 }).toEqual(wanted);
    expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
    const { TwinID } = await node.Twin({ id: (await user.twinByAccount(user.publicKey))?.id ?? 0 });
    await expect.poll(() => twins, { timeout: 20_000 }).toContain(TwinID);
    expect(twinNumbers).toEqual(twinNumbers.map((_, index) => (twinNumbers[0] ?? 0) + index));
    stop.abort();
    await listening;
  }, 60_000);

  it('tells of a twin that is gone, and something with every block', async () => {
    const other = await client(randomBytes(32).toString('hex'), 'ed25519');
    const id = await other.ensureTwin({ relay: 'relay.example' });
    const stop = new AbortController();
    const told: { readonly TwinID: number; readonly Sequence: number }[] = [];
    const listening = (async () => {
      for await (const event of bus.stream(chain, 'Twins', { signal: stop.signal })) told.push(event);
    })();
    const gaps = (): number =>
      told.filter(({ Sequence }, index) => Sequence !== (told[0]?.Sequence ?? 0) + index).length;
    // Something comes with every block, so that silence is no news.
    await expect.poll(() => told.length, { timeout: 20_000 }).toBeGreaterThan(0);
    expect(await admin('dev_deleteTwin', [id])).toHaveProperty('result');
    await expect.poll(() => told.map(({ TwinID }) => TwinID), { timeout: 20_000 }).toContain(id);
    expect((await bus.of(chain).Twin({ id })).Found).toBe(false);
    expect(gaps()).toBe(0);
    stop.abort();
    await listening;
  }, 60_000);

  it('lives through a restart of the chain and tells what happened meanwhile', async () => {
    const node = bus.of(chain);
    const { NodeID } = await node.Node({});
    await cancelAll();
    const kept = await user.createNodeContract({ nodeId: NodeID, hash: HASH });
    const before = await node.Contract({ id: kept });
    await running.stop();
    let isBack = false;
    onTestFinished(async () => {
      if (!isBack) running = await startChain();
    });
    const away = await failure(node.Contract({ id: kept }, { deadlineMs: 20_000 }));
    expect(isZbusError(away, 'call_failed') && away.remote?.code).toMatch(/^chain_(lost|deadline)$/);
    running = await startChain();
    isBack = true;
    await expect
      .poll(() => failure(node.Contract({ id: kept }, { deadlineMs: 12_000 })), { timeout: 20_000 })
      .toBeUndefined();
    const after = await node.Contract({ id: kept });
    expect({ ...after, BlockNumber: 0 }).toEqual({ ...before, BlockNumber: 0 });
    expect(after.BlockNumber).toBeGreaterThanOrEqual(before.BlockNumber);
    await expect.poll(() => failure(user.cancelContract(kept)), { timeout: 20_000 }).toBeUndefined();
    expect(await node.ActiveContracts({})).toEqual([]);
  }, 60_000);

  describe('and the twin of its key', () => {
    const ensure = (relays: string[], create: boolean, update: string): Promise<unknown> =>
      bus.of(chain).EnsureTwin({ relays, create, update }, { deadlineMs: 30_000 });
    const refused = async (work: Promise<unknown>): Promise<unknown> => {
      const error = await failure(work);
      return isZbusError(error, 'call_failed') ? error.remote?.code : error;
    };
    const own = () => bus.of(chain).OwnTwin({});

    it('changes nothing unless it is told to', async () => {
      const before = await own();
      expect(before).toMatchObject({ Found: true, Relay: 'relay.example', EncryptionKey: null });
      expect(await ensure(['new.example'], true, 'never')).toEqual({ ...before, BlockNumber: 0 });
      expect(await refused(ensure(['new.example'], true, 'always'))).toBe('chain_unsupported');
      expect(await refused(ensure(['new.example:443'], false, 'union'))).toBe('chain_relays');
      expect(await own()).toEqual({ ...before, BlockNumber: expect.any(Number) });
    });

    it('adds relays and the key, or makes the set exactly as told, with one transaction where something differs', async () => {
      const signer = await ChainClient.connect({ endpoints: [running.url] });
      clients.push(signer);
      const { Account, TwinID } = await own();
      const nonce = async (): Promise<number> => (await signer.account(Account)).nonce;
      const start = await nonce();
      expect(await ensure(['New.example'], false, 'union')).toMatchObject({
        TwinID,
        Relay: 'new.example_relay.example',
      });
      const { EncryptionKey } = await own();
      expect(EncryptionKey).toHaveLength(33);
      expect(await nonce()).toBe(start + 1);
      // In another order and spelling it is the same set.
      await ensure(['relay.EXAMPLE', 'new.example'], false, 'union');
      await ensure(['relay.example', 'NEW.example'], false, 'replace');
      await ensure([], false, 'replace');
      expect(await nonce()).toBe(start + 1);
      expect(await ensure(['new.example'], false, 'replace')).toMatchObject({ Relay: 'new.example', EncryptionKey });
      expect(await nonce()).toBe(start + 2);
      const four = ['aa.example', 'bb.example', 'cc.example', 'dd.example'];
      expect(await refused(ensure(four, false, 'union'))).toBe('chain_relays');
      expect(await own()).toMatchObject({ Relay: 'new.example', EncryptionKey });
    });

    it('is made only when told to, with an account that can pay', async () => {
      const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'ed25519');
      const stranger = await ChainClient.connect({ endpoints: [running.url], identity });
      clients.push(stranger);
      const wishes = { relays: ['relay.example'], encryptionKey: identity.encryptionKey, update: 'never' } as const;
      const without = await failure(ensureOwnTwin(stranger, { ...wishes, create: false }));
      expect(isGridError(without, 'chain_twin') && without.message).toContain(stranger.address);
      const empty = await failure(ensureOwnTwin(stranger, { ...wishes, create: true }));
      expect(isGridError(empty, 'chain_account') && empty.message).toContain('it is empty');
      await stranger.endow();
      const { twin, done } = await ensureOwnTwin(stranger, { ...wishes, create: true });
      expect(done).toBe('created');
      const stored = await stranger.twin(twin.id);
      expect(stored).toMatchObject({ relayText: 'relay.example', account: identity.publicKey });
      expect(stored?.encryptionKey).toEqual(identity.encryptionKey);
      expect((await ensureOwnTwin(stranger, { ...wishes, create: true })).done).toBe('nothing');
    });
  });

  it('refuses a key file that others may read, and prints no secret', async () => {
    const open = join(folder, 'open.json');
    await writeKeyFile(open, { keyType: 'ed25519', secret: 'ab'.repeat(32) });
    await chmod(open, 0o644);
    const args = [MAIN, '--chain', running.url, '--key-file', open, '--broker', redis.broker, '--state', folder];
    const refused = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const words: string[] = [];
    refused.stderr.on('data', (data: Buffer) => words.push(data.toString()));
    const [code] = (await once(refused, 'exit')) as [number];
    expect(code).not.toBe(0);
    expect(words.join('')).toContain('set it to 600');
    expect(words.join('') + output.join('')).not.toContain('abababab');
  }, 60_000);
});
