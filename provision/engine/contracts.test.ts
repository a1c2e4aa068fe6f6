import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { silentLog } from '../../modules/zbus/broker.ts';
import { MemoryJournal } from '../store/memory.ts';
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
  const limits = { intervalMs: 60_000, retryMs: 5, confirmDelayMs: 5, removalsPerRun: 2, readDeadlineMs: 1_000 };

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
    await vi.waitFor(() => expect(host.calls.filter((call) => call.method === 'ActiveContracts')).toHaveLength(2));
    host.tell('alive');
    await sleep(20);
    expect(host.calls.filter((call) => call.method === 'ActiveContracts')).toHaveLength(2);
    if (restarts) {
      host.generation += 1;
      host.sequence = 0;
      host.contracts.delete(1n);
    } else host.cancelContract(1n, true);
    host.tell('alive');
    await vi.waitFor(() => expect(journal.deployments().map((one) => one.id)).toEqual(['7-2']));
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
    await vi.waitFor(() => expect(journal.deployments().map((one) => one.id)).toEqual(['7-2']));
    end.abort();
    await run;
  });

  it('does not empty the node on one wrong answer', async () => {
    const { journal, watch } = await running([1n, 2n, 3n]);
    const chainClient = host.chainClient;
    const forgetful = new ContractWatch({
      ...Reflect.construct(Object, []),
      journal,
      engine: startEngine(journal),
      chain: { ...chainClient, ActiveContracts: async () => [], Contract: chainClient.Contract },
      events: () => host.events.read(signal),
      log: silentLog,
      limits,
    });
    expect(await forgetful.compare(signal)).toBe(0);
    expect(await watch.compare(signal)).toBe(0);
    host.contracts.clear();
    expect(await watch.compare(signal)).toBe(2);
    expect(journal.deployments().filter((one) => one.cancelled === undefined)).toHaveLength(1);
  });
});
