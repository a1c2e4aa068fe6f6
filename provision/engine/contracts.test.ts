import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { chain } from '../../modules/api-gateway/interface.ts';
import { silentLog } from '../../modules/zbus/broker.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import type { Journal } from '../store/journal.ts';
import { MemoryJournal } from '../store/memory.ts';
import { SqliteJournal } from '../store/sqlite.ts';
import { oks, states, tenant } from '../testing/engine.ts';
import { engineWorld } from '../testing/engine-world.ts';
import type { TestHost } from '../testing/host.ts';
import { machineWorkload, networkWorkload } from '../testing/tenant.ts';
import { ContractWatch } from './contracts.ts';

const world = engineWorld();
const { startEngine, accept } = world;
let host: TestHost;

beforeEach(() => {
  ({ host } = world);
});

describe('contract watch', () => {
  const signal = new AbortController().signal;
  const limits = {
    intervalMs: 60_000,
    backlogMs: 60_000,
    retryMs: 5,
    confirmDelayMs: 5,
    removalsPerRun: 2,
    readDeadlineMs: 1_000,
    movedDelayMs: 50,
  };

  let missed = 0;

  async function running(contracts: readonly bigint[], until = signal) {
    missed = 0;
    const journal = new MemoryJournal();
    const engine = startEngine(journal);
    for (const contract of contracts) {
      const deployment = tenant.contracted(host, contract, [networkWorkload(`net${contract}`)]);
      engine.submit((await accept(journal, deployment)).id);
    }
    await engine.idle();
    const watch = new ContractWatch({
      journal,
      engine,
      chain: host.chainClient,
      events: () => host.events.read(until),
      onMissed: () => {
        missed += 1;
      },
      log: silentLog,
      limits,
    });
    return { journal, engine, watch };
  }

  it('removes what the chain dropped, after two reads of each', async () => {
    const { journal, engine, watch } = await running([1n, 2n]);
    host.contracts.delete(1n);
    host.calls.length = 0;
    expect(await watch.compare(signal)).toBe(1);
    await engine.idle();
    expect(host.calls.filter((call) => call.method === 'Contract' && call.args.id === 1n)).toHaveLength(2);
    expect(journal.deployments().map((one) => one.id)).toEqual(['7-2']);
    expect(journal.history()[0]?.reason).toBe('contract not active on chain');
  });

  it('pauses a deployment for the grace period, also after a start, and lets it go on once', async () => {
    const { journal, engine, watch } = await running([1n]);
    const deployment = tenant.contracted(host, 2n, [machineWorkload('vm', { network: 'net1' })]);
    engine.submit((await accept(journal, deployment)).id);
    await engine.idle();
    const grace = (contract: bigint, State: string): void => {
      const facts = host.contracts.get(contract);
      if (facts !== undefined) host.contracts.set(contract, { ...facts, State });
    };
    grace(2n, 'grace');
    await watch.compare(signal);
    await engine.idle();
    expect(states(journal, '7-2')).toEqual({ vm: 'paused' });
    expect(states(journal, '7-1')).toEqual({ net1: 'ok' });
    expect([...host.locked]).toEqual(['7-2-vm']);
    expect(journal.changes('7-2').map((one) => [one.state, one.message])).toEqual([
      ['init', ''],
      ['ok', ''],
      ['paused', 'paused'],
    ]);
    await engine.stop();
    host.machines.delete('7-2-vm');
    const second = startEngine(journal);
    second.resume();
    await second.idle();
    expect(host.machines.size).toBe(0);
    second.pause('7-2', false);
    await second.idle();
    expect(states(journal, '7-2')).toEqual({ vm: 'ok' });
    expect([...host.machines.keys()]).toEqual(['7-2-vm']);
    expect(host.locked.size).toBe(0);
    expect(oks(journal, '7-2')).toEqual(['vm']);
    second.pause('7-2', true);
    await second.idle();
    second.cancel('7-2', 'x');
    await second.idle();
    expect(journal.deployment('7-2')).toBeUndefined();
  });

  it.each([
    ['an event that was lost', false],
    ['a restart of what reads the chain', true],
  ])('compares at once after %s', async (_, restarts) => {
    const end = new AbortController();
    const { journal, engine, watch } = await running([1n, 2n], end.signal);
    const run = watch.run(end.signal);
    host.tell('alive');
    await expect.poll(() => host.calls.filter((call) => call.method === 'ContractBatch')).toHaveLength(2);
    host.tell('alive');
    await sleep(20);
    expect(host.calls.filter((call) => call.method === 'ContractBatch')).toHaveLength(2);
    if (restarts) {
      host.generation += 1;
      host.sequence = 0;
      host.contracts.delete(1n);
    } else host.cancelContract(1n, true);
    host.tell('alive');
    await expect.poll(() => journal.deployments().map((one) => one.id)).toEqual(['7-2']);
    await engine.idle();
    expect(missed).toBe(2);
    end.abort();
    await run;
  });

  it('hears of a contract that ended before its deployment was accepted', async () => {
    const end = new AbortController();
    const { journal, engine, watch } = await running([2n], end.signal);
    const run = watch.run(end.signal);
    const deployment = tenant.contracted(host, 1n, [networkWorkload('net1')]);
    // Told while nobody holds it.
    host.cancelContract(1n);
    await sleep(20);
    const record = await accept(journal, deployment);
    engine.submit(record.id);
    watch.accepted(record, end.signal);
    await expect.poll(() => journal.deployments().map((one) => one.id)).toEqual(['7-2']);
    end.abort();
    await run;
  });

  /** A watch over the same node, whose chain answers as told. */
  function watchWith(
    journal: Journal,
    answers: Partial<Client<typeof chain>>,
    more = {},
    until = signal,
  ): ContractWatch {
    return new ContractWatch({
      ...{ journal, engine: startEngine(journal), events: () => host.events.read(until), log: silentLog },
      chain: new Proxy(host.chainClient, {
        get: (real, name) => Reflect.get(answers, name) ?? Reflect.get(real, name),
      }),
      limits: { ...limits, ...more },
    });
  }

  const change = (contract: bigint, facts: object): void => {
    const before = host.contracts.get(contract);
    if (before === undefined) throw new Error(`no contract ${contract}`);
    host.contracts.set(contract, { ...before, ...facts });
  };

  it('W26: does not empty the node on one wrong answer', async () => {
    const { journal, watch } = await running([1n, 2n, 3n]);
    const { chainClient } = host;
    const forgetful: Client<typeof chain>['ContractBatch'] = async (args) => {
      const facts = await chainClient.ContractBatch(args);
      return facts.map((one) => ({ ...one, Found: false }));
    };
    expect(await watchWith(journal, { ContractBatch: forgetful }).compare(signal)).toBe(0);
    const short: Client<typeof chain>['ContractBatch'] = async () => [];
    await expect(watchWith(journal, { ContractBatch: short }).compare(signal)).rejects.toThrow('no answer');
    expect(await watch.compare(signal)).toBe(0);
    host.contracts.clear();
    expect(await watch.compare(signal)).toBe(2);
    expect(journal.deployments().filter((one) => one.cancelled === undefined)).toHaveLength(1);
  });

  it('W26: gives nothing up while the chain stands still, nor when the second answer has it again', async () => {
    const { journal } = await running([1n]);
    const facts = host.contracts.get(1n);
    host.contracts.delete(1n);
    const { chainClient } = host;
    const still: Client<typeof chain>['Contract'] = async (args) => ({
      ...(await chainClient.Contract(args)),
      BlockNumber: 9,
    });
    expect(await watchWith(journal, { Contract: still }).compare(signal)).toBe(0);
    let reads = 0;
    const back: Client<typeof chain>['Contract'] = async (args) => {
      reads += 1;
      if (reads === 2 && facts !== undefined) host.contracts.set(1n, facts);
      return await chainClient.Contract(args);
    };
    expect(await watchWith(journal, { Contract: back }).compare(signal)).toBe(0);
    expect(reads).toBe(2);
    expect(journal.deployments().map(({ cancelled }) => cancelled)).toEqual([undefined]);
  });

  it('W26: goes on soon where more are over than one comparison gives up, as long as that is confirmed', async () => {
    const contracts = Array.from({ length: 7 }, (_, index) => BigInt(index + 1));
    const { journal } = await running(contracts);
    for (const contract of contracts.slice(0, 6)) host.contracts.delete(contract);
    const { chainClient } = host;
    const end = new AbortController();
    let isStill = true;
    const reads: bigint[] = [];
    const Contract: Client<typeof chain>['Contract'] = async (args) => {
      reads.push(args.id);
      const facts = await chainClient.Contract(args);
      return isStill ? { ...facts, BlockNumber: 9 } : facts;
    };
    const watch = watchWith(journal, { Contract }, { backlogMs: 1, confirmDelayMs: 1 }, end.signal);
    const run = watch.run(end.signal);
    await expect.poll(() => watch.last).toMatchObject({ missing: 6, cancelled: 0, left: 4 });
    // Nobody is asked again at once by a chain that says nothing new.
    await sleep(30);
    const cancelled = (): number => journal.deployments().filter((one) => one.cancelled !== undefined).length;
    expect(cancelled() + journal.history().length).toBe(0);
    isStill = false;
    reads.length = 0;
    expect(await watch.compare(end.signal)).toBe(2);
    host.generation += 1;
    host.tell('alive');
    await expect.poll(() => journal.deployments().map(({ id }) => id)).toEqual(['7-7']);
    await expect.poll(() => watch.last).toMatchObject({ cancelled: 2, left: 0 });
    for (const contract of contracts.slice(0, 6)) {
      expect(reads.filter((one) => one === contract).length).toBeGreaterThanOrEqual(2);
    }
    end.abort();
    await run;
  });

  it('asks for many contracts at once, and for none alone that is there', async () => {
    const journal = new MemoryJournal();
    for (let contract = 1n; contract <= 600n; contract += 1n) {
      await accept(journal, tenant.contracted(host, contract, [networkWorkload(`n${contract}`)]));
    }
    host.calls.length = 0;
    const watch = watchWith(journal, {});
    expect(await watch.compare(signal)).toBe(0);
    const asked = (method: string): number => host.calls.filter((call) => call.method === method).length;
    expect([asked('ContractBatch'), asked('Contract')]).toEqual([3, 0]);
    expect(watch.last).toMatchObject({ held: 600, missing: 0, cancelled: 0, differences: [] });
  });

  it('an answer from before an event does not take its pause back, a later one does', async () => {
    const { journal, engine } = await running([1n]);
    const { chainClient } = host;
    const end = new AbortController();
    const gate = Promise.withResolvers<void>();
    let answers = 0;
    const watch = watchWith(
      journal,
      {
        ContractBatch: async (args, options) => {
          const facts = await chainClient.ContractBatch(args, options);
          answers += 1;
          if (answers === 2) await gate.promise;
          if (answers > 1) return facts;
          host.tell('grace_started', 1n);
          await expect.poll(() => journal.deployment('7-1')?.paused).toBe(true);
          return facts;
        },
      },
      {},
      end.signal,
    );
    const follow = watch.run(end.signal);
    await expect.poll(() => watch.last).toBeDefined();
    expect(journal.deployment('7-1')?.paused).toBe(true);
    gate.resolve();
    await expect.poll(() => journal.deployment('7-1')?.paused).toBe(false);
    end.abort();
    await follow;
    await engine.idle();
  });

  it.each([
    ['by its event', true],
    ['by a comparison', false],
  ])('gives up what was set aside when its contract is over, %s', async (_, isTold) => {
    const path = join(world.folder, 'journal.sqlite');
    const whole = new SqliteJournal(path);
    for (const contract of [1n, 2n]) {
      await accept(whole, tenant.contracted(host, contract, [networkWorkload(`net${contract}`)]));
    }
    whole.close();
    const file = new DatabaseSync(path);
    file.exec(
      "UPDATE workloads SET held = 'x' WHERE deployment = '7-1'; UPDATE deployments SET version = -1 WHERE id = '7-1'",
    );
    file.close();
    const journal = new SqliteJournal(path);
    expect(new Set(journal.quarantined().map(({ deployment }) => deployment))).toEqual(new Set(['7-1']));
    const end = new AbortController();
    const watch = watchWith(journal, {}, {}, end.signal);
    expect(await watch.compare(signal)).toBe(0);
    expect(journal.knows(7, 1n)).toBe(false);
    if (isTold) {
      const run = watch.run(end.signal);
      host.tell('alive');
      await expect.poll(() => host.calls.filter((call) => call.method === 'ContractBatch')).toHaveLength(3);
      host.cancelContract(1n);
      await expect.poll(() => journal.knows(7, 1n)).toBe(true);
      end.abort();
      await run;
    } else {
      host.contracts.delete(1n);
      expect(await watch.compare(signal)).toBe(1);
    }
    expect(journal.knows(7, 1n)).toBe(true);
    expect(journal.quarantined()).toEqual([]);
    expect(journal.deployments().map(({ id }) => id)).toEqual(['7-2']);
    expect(await watch.compare(signal)).toBe(0);
    journal.close();
  });

  it('tells of another version, another payer and another tenant of the node, and does nothing about it', async () => {
    const { journal, engine, watch } = await running([1n, 2n, 3n]);
    change(1n, { DeploymentHash: 'f'.repeat(32) });
    change(2n, { TwinID: 9 });
    change(3n, { RentedBy: 8 });
    expect(await watch.compare(signal)).toBe(0);
    await engine.idle();
    expect(watch.last?.differences).toEqual([
      { deployment: '7-1', kind: 'hash', expected: expect.stringMatching(/^[0-9a-f]{32}$/), actual: 'f'.repeat(32) },
      { deployment: '7-2', kind: 'twin', expected: 'twin 7', actual: 'twin 9' },
      { deployment: '7-3', kind: 'rent', expected: 'twin 7', actual: 'twin 8' },
    ]);
    expect(journal.deployments().map(({ id }) => Object.values(states(journal, id)))).toEqual([['ok'], ['ok'], ['ok']]);
    // What another twin paid for ends with its contract all the same.
    host.contracts.delete(2n);
    expect(await watch.compare(signal)).toBe(1);
  });

  it('pauses what went to another node, takes it back, and gives it up only after a while', async () => {
    const { journal, engine, watch } = await running([1n]);
    const deployment = tenant.contracted(host, 2n, [machineWorkload('vm', { network: 'net1' })]);
    engine.submit((await accept(journal, deployment)).id);
    await engine.idle();
    change(2n, { NodeID: 12 });
    const patient = watchWith(journal, {}, { movedDelayMs: 60_000 });
    expect(await patient.compare(signal)).toBe(0);
    expect(journal.deployment('7-2')?.paused).toBe(true);
    expect(patient.last?.differences).toMatchObject([{ deployment: '7-2', kind: 'moved', actual: 'node 12' }]);
    change(2n, { NodeID: 11 });
    expect(await patient.compare(signal)).toBe(0);
    expect(journal.deployment('7-2')?.paused).toBe(false);
    change(2n, { NodeID: 12 });
    expect(await watch.compare(signal)).toBe(0);
    await sleep(60);
    expect(await watch.compare(signal)).toBe(1);
    await engine.idle();
    expect(journal.deployment('7-2')).toBeUndefined();
  });
});
