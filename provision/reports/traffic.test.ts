import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TRAFFIC_LIFE_BLOCKS } from '../../modules/api-gateway/interface.ts';
import { type Fare, ModelChain } from './testing/model-chain.ts';
import { Killed, TestNode, type Write } from './testing/node.ts';
import { QUEUED_LIMIT } from './traffic-table.ts';

const folder = mkdtempSync(join(tmpdir(), 'traffic-'));
let files = 0;
let chain: ModelChain;
let node: TestNode;

const path = (): string => join(folder, `${files++}.sqlite`);
const MACHINES = ['7-1-vm', '7-1-other', '7-2-vm', '8-3-vm'];
const CONTRACTS = [1n, 2n, 3n];

async function open(seconds?: number): Promise<void> {
  chain = new ModelChain();
  node = new TestNode(path(), chain, seconds);
  for (const contract of CONTRACTS) chain.contracts.add(contract);
  for (const id of ['7-1', '7-2', '8-3']) node.alive.add(id);
  chain.seal(false);
  chain.finalize();
  await node.sample();
}

beforeEach(() => open());
afterEach(() => node.close());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const toldBytes = (): number => CONTRACTS.reduce((sum, id) => sum + Number(chain.counted(id).bytes), 0);

async function hour(bytes: number, machine = '7-1-vm'): Promise<void> {
  node.seconds += 60;
  node.counters.set(machine, (node.counters.get(machine) ?? 0) + bytes);
  await node.sample();
  node.cut();
}

describe('W29: the meter', () => {
  it('counts the first minutes of a machine, both directions, and nothing of private networks', async () => {
    node.counters.set('7-1-vm', 700);
    node.counters.set('gpu-test', 5);
    await node.sample();
    expect(node.table.sums()).toMatchObject({ counted: 700, open: 700 });
    await node.sample();
    expect(node.table.sums().counted).toBe(700);
  });

  it('counts a counter that began anew from zero, also where it has come further since', async () => {
    node.counters.set('7-1-vm', 100);
    await node.sample();
    node.counters.set('7-1-vm', 40);
    await node.sample();
    expect(node.table.sums().counted).toBe(140);
    node.epoch += 1;
    node.counters.set('7-1-vm', 90);
    await node.sample();
    expect(node.table.sums().counted).toBe(230);
  });

  it('counts what a machine sent until its end, and one of the same name from zero', async () => {
    node.counters.set('7-1-vm', 100);
    await node.sample();
    node.counters.set('7-1-vm', 160);
    await node.machines.Delete({ name: '7-1-vm' });
    node.counters.set('7-1-vm', 200);
    await node.sample();
    expect(node.table.sums().counted).toBe(360);
  });

  it('counts once what a machine sent whose end came while others were sampled', async () => {
    node.counters.set('7-1-vm', 100);
    await node.sample();
    let isEnding = false;
    const end = Promise.withResolvers<void>();
    node.ended = () => {
      isEnding = true;
      return end.promise;
    };
    const deleted = node.machines.Delete({ name: '7-1-vm' });
    await expect.poll(() => isEnding).toBe(true);
    // As the end of another machine asks for: it still sees this one, and says so after its end.
    let isRead = false;
    const answer = Promise.withResolvers<void>();
    node.answered = () => {
      isRead = true;
      return answer.promise;
    };
    const sampled = node.sample();
    await expect.poll(() => isRead).toBe(true);
    end.resolve();
    await deleted;
    answer.resolve();
    await sampled;
    expect(node.table.sums().counted).toBe(100);
    node.counters.set('7-1-vm', 30);
    await node.sample();
    expect(node.table.sums().counted).toBe(130);
  });

  it('ends a machine although nobody says how much it sent', async () => {
    node.counters.set('7-1-vm', 100);
    const gate = Promise.withResolvers<void>();
    node.answered = () => gate.promise;
    const scheduled = node.sample();
    await node.machines.Delete({ name: '7-1-vm' });
    expect(node.counters.has('7-1-vm')).toBe(false);
    gate.resolve();
    await scheduled;
    node.counters.set('7-1-vm', 30);
    await node.sample();
    expect(node.table.sums().counted).toBe(30);
  });

  it('cuts half-open windows that follow each other, also where the clock goes back', async () => {
    const windows: Array<[number, number]> = [];
    for (const step of [60, 60, -500, 60, 60, 700, 60]) {
      node.seconds += step - 60;
      await hour(10);
      windows.push(...node.waiting().map(({ since, until }): [number, number] => [since, until]));
    }
    const told = [...new Map(windows.map((one) => [one[0], one])).values()];
    expect(told.length).toBeGreaterThan(3);
    for (const [index, [since, until]] of told.entries()) {
      expect(until).toBeGreaterThan(since);
      if (index > 0) expect(since).toBe(told[index - 1]?.[1]);
    }
  });

  it('leaves windows without traffic out, and keeps no more than a week of hours of one contract', async () => {
    chain.away = true;
    for (let hours = 0; hours < QUEUED_LIMIT + 20; hours += 1) await hour(hours % 2 === 0 ? 3 : 0);
    for (let hours = 0; hours < QUEUED_LIMIT; hours += 1) await hour(5);
    expect(node.waiting().length).toBe(QUEUED_LIMIT);
    const { counted, open, pending } = node.table.sums();
    expect(open + pending).toBe(counted);
  });
});

describe('W29: a report of traffic', () => {
  it('is sent once where its answer was lost and a block had it', async () => {
    await hour(1_000);
    chain.fare = () => 'lost';
    expect(await node.turn()).toBe('later');
    chain.fare = () => 'answered';
    node.restart();
    expect(await node.turn()).toBe('later');
    chain.seal(true);
    expect(await node.turn()).toBe('later');
    chain.finalize();
    await node.settle();
    expect(toldBytes()).toBe(1_000);
    expect(chain.sent).toBe(1);
  });

  it('is sent again once its transaction is void, not before', async () => {
    await hour(1_000);
    chain.fare = () => 'lost';
    await node.turn();
    chain.fare = () => 'answered';
    for (let block = 0; block < TRAFFIC_LIFE_BLOCKS - 1; block += 1) chain.seal(false);
    chain.finalize();
    expect(await node.turn()).toBe('later');
    expect(chain.sent).toBe(1);
    chain.seal(false);
    chain.finalize();
    await node.settle();
    expect(chain.sent).toBe(2);
    expect(toldBytes()).toBe(1_000);
  });

  it('is not taken for told by a block that is replaced', async () => {
    await hour(1_000);
    chain.fare = () => 'lost';
    await node.turn();
    chain.seal(true);
    expect(await node.turn()).toBe('later');
    chain.reorg(false);
    chain.fare = () => 'answered';
    await node.settle();
    expect(toldBytes()).toBe(1_000);
  });

  it('is counted although the clock of the node is behind the contract', async () => {
    node.close();
    await open(10);
    await hour(1_000);
    await hour(500);
    await node.settle();
    expect(toldBytes()).toBe(1_500);
  });

  it('that is refused stands alone in the end, is kept, and holds up no other', async () => {
    for (const machine of MACHINES) await hour(100, machine);
    chain.refused.add(2n);
    await node.settle();
    expect(toldBytes()).toBe(300);
    const [dead] = node.table.dead(10);
    expect(dead).toMatchObject({ contract: 2n, bytes: 100, reason: 'the chain refused it' });
    expect(node.reporter.numbers).toMatchObject({ pending: 0, dead: 1 });
    node.restart();
    await hour(7, '7-1-vm');
    await node.settle();
    expect(toldBytes()).toBe(307);
    expect(node.table.sums()).toMatchObject({ dead: 100, counted: 407 });
  });

  it('that cannot be sent, nobody knows why, holds up no other, and is no dead letter', async () => {
    for (const machine of MACHINES) await hour(100, machine);
    chain.unsendable.add(2n);
    const life = (): void => {
      for (let block = 0; block < TRAFFIC_LIFE_BLOCKS; block += 1) chain.seal(true);
      chain.finalize();
    };
    for (let turns = 0; turns < 40; turns += 1) {
      await node.turn();
      life();
    }
    expect(toldBytes()).toBe(300);
    expect(node.reporter.numbers).toMatchObject({ pending: 1, dead: 0 });
    await hour(50, '7-1-vm');
    for (let turns = 0; turns < 10; turns += 1) {
      await node.turn();
      life();
    }
    expect(toldBytes()).toBe(350);
    chain.unsendable.clear();
    await node.settle();
    expect(toldBytes()).toBe(450);
    expect(node.table.sums()).toMatchObject({ counted: 450, told: 450, pending: 0, dead: 0 });
  });

  it('that the chain takes and does not count becomes a dead letter', async () => {
    chain.ignored.add(1n);
    await hour(100);
    await hour(50, '7-2-vm');
    await node.settle();
    expect(node.table.dead(10).map(({ contract, reason }) => [contract, reason])).toEqual([
      [1n, 'the chain took it 3 times and counted nothing'],
    ]);
    expect(Number(chain.counted(2n).bytes)).toBe(50);
  });

  it('of a contract that is gone ends, and of one that is not there yet waits for itself alone', async () => {
    await hour(100, '7-1-vm');
    await hour(100, '7-2-vm');
    await hour(100, '8-3-vm');
    chain.contracts.delete(1n);
    node.alive.delete('7-1');
    chain.contracts.delete(2n);
    await node.turn();
    await node.turn();
    expect(Number(chain.counted(3n).bytes)).toBe(100);
    expect(node.table.sums()).toMatchObject({ void: 100, pending: 100 });
    chain.contracts.add(2n);
    node.restart();
    await node.settle();
    expect(Number(chain.counted(2n).bytes)).toBe(100);
  });

  it('of a contract that no final block has yet waits, also where the deployment is gone already', async () => {
    chain.coming.add(2n);
    node.alive.delete('7-2');
    await hour(100, '7-2-vm');
    await node.turn();
    expect(node.table.sums()).toMatchObject({ void: 0, pending: 100 });
    chain.coming.delete(2n);
    node.restart();
    await node.settle();
    expect(node.table.sums()).toMatchObject({ told: 100, pending: 0 });
  });

  it('is not lost while the chain is away', async () => {
    chain.away = true;
    for (let hours = 0; hours < 10; hours += 1) {
      await hour(10);
      await expect(node.turn()).rejects.toThrow('the chain is away');
    }
    chain.away = false;
    await node.settle();
    expect(toldBytes()).toBe(100);
  });
});

type Step =
  | { readonly do: 'traffic'; readonly machine: number; readonly bytes: number }
  | { readonly do: 'sample' | 'cut' | 'turn' | 'restart' | 'finalize' | 'reboot' }
  | { readonly do: 'pass'; readonly seconds: number }
  | { readonly do: 'blocks'; readonly count: number; readonly takes: boolean }
  | { readonly do: 'reorg'; readonly keeps: boolean }
  | { readonly do: 'delete'; readonly machine: number }
  | { readonly do: 'kill'; readonly write: Write; readonly when: 'before' | 'after' };

const machine = fc.nat(MACHINES.length - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('traffic' as const), machine, bytes: fc.nat(1_000_000) }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constantFrom('sample', 'cut', 'turn', 'turn', 'restart', 'finalize', 'reboot') }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.integer({ min: -100, max: 300 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('blocks' as const), count: fc.constantFrom(1, 2, 40), takes: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reorg' as const), keeps: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), machine }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('kill' as const),
      write: fc.constantFrom<Write>('sample', 'cut', 'begin', 'included', 'settle', 'forgetCounter'),
      when: fc.constantFrom('before' as const, 'after' as const),
    }),
  },
);

/** Dead by the kill, or refused by a chain that is away: either way the next life goes on. */
async function survive(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  }
  if (!node.isDead) return;
  node.kills = () => false;
  node.restart();
}

describe('for random counters, kills, forks and answers that are lost', () => {
  it('the chain counts every byte that was counted once, and no byte twice', async () => {
    const scenario = fc.record({
      steps: fc.array(step, { minLength: 5, maxLength: 60 }),
      fares: fc.infiniteStream(fc.constantFrom<Fare>('answered', 'lost', 'never')),
    });
    let kills = 0;
    await fc.assert(
      fc.asyncProperty(scenario, async ({ steps, fares }) => {
        node.close();
        await open();
        chain.fare = () => fares.next().value ?? 'answered';
        let sent = 0;
        for (const one of steps) {
          if (one.do === 'traffic') {
            const name = MACHINES[one.machine] ?? '';
            node.counters.set(name, (node.counters.get(name) ?? 0) + one.bytes);
            sent += one.bytes;
          } else if (one.do === 'pass') node.seconds += one.seconds;
          else if (one.do === 'sample') await survive(() => node.sample());
          else if (one.do === 'cut') await survive(() => node.cut());
          else if (one.do === 'turn') await survive(() => node.turn());
          else if (one.do === 'restart') node.restart();
          else if (one.do === 'finalize') chain.finalize();
          else if (one.do === 'reorg') chain.reorg(one.keeps);
          else if (one.do === 'blocks') for (let made = 0; made < one.count; made += 1) chain.seal(one.takes);
          else if (one.do === 'reboot') {
            // A machine that is shut down in order: nothing moves between the last sample and the new counters.
            await survive(() => node.sample());
            await node.sample();
            node.epoch += 1;
            for (const name of node.counters.keys()) node.counters.set(name, 0);
          } else if (one.do === 'delete') {
            const name = MACHINES[one.machine] ?? '';
            await survive(() => node.machines.Delete({ name }));
            await node.machines.Delete({ name });
          } else if (one.do === 'kill') {
            node.kills = (write, when) => {
              const isHere = write === one.write && when === one.when;
              if (isHere) kills += 1;
              return isHere;
            };
          }
        }
        node.kills = () => false;
        chain.fare = () => 'answered';
        await node.sample();
        node.seconds += 1_000;
        await node.sample();
        node.cut();
        await node.settle();
        const { counted, told, open: left, pending, dead } = node.table.sums();
        expect(counted).toBe(sent);
        expect({ told, left, pending, dead }).toEqual({ told: sent, left: 0, pending: 0, dead: 0 });
        expect(toldBytes()).toBe(sent);
      }),
      { numRuns: 150, endOnFailure: true },
    );
    expect(kills).toBeGreaterThan(4);
  }, 120_000);
});
