/** What a node tells the chain, with provisiond killed at its writes, and a chain that forks and goes away. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exitOf } from '../../ended.ts';
import { MeteredContracts } from './metered-contracts.ts';
import { ReportStand } from './stand.ts';

const PATIENCE = { timeout: 40_000 };
/** Until provisiond has come to the write at which it dies. */
const DEATH_MS = 60_000;
const MORE_MS = 2_000;
const PROVISIOND = 'test/system/reports/provisiond.ts';
const KILLS = ['sample', 'cut', 'begin', 'included', 'settle'].flatMap((write) => [
  `${write}:before`,
  `${write}:after`,
]);

let stand: ReportStand;
let contracts: MeteredContracts;

const told = (): number => contracts.ids.reduce((bytes, id) => bytes + contracts.told(id), 0);

// What was sent and told counts from the beginning: each attempt has its own.
beforeEach(async () => {
  stand = await ReportStand.open();
  contracts = await MeteredContracts.make(stand, 2);
  // The forks to come drop what is not final, and the contracts are to stay.
  stand.running.chain.finalize(stand.running.chain.head.number);
}, 180_000);

afterEach(async () => {
  await contracts?.close();
  await stand?.close();
});

describe('W29: public traffic', () => {
  it('is told once, wherever provisiond is killed, whatever the chain does', { timeout: 240_000 }, async () => {
    for (const [index, kill] of KILLS.entries()) {
      contracts.traffic(1_000 + index);
      const child = await stand.start(PROVISIOND, [], '', { DIE_AT: kill });
      // A report whose answer came too late passes by some writes: the next one comes to them.
      const more = setInterval(() => contracts.traffic(1), MORE_MS);
      const [code, signal] = await exitOf(child, `provisiond, to die at ${kill},`, DEATH_MS).finally(() =>
        clearInterval(more),
      );
      expect([kill, code, signal]).toEqual([kill, null, 'SIGKILL']);
      contracts.traffic(10);
      if (index % 3 === 1) stand.running.chain.setFinality({ held: true });
      if (index % 3 === 2) {
        const { head, finalized } = stand.running.chain;
        if (head.number > finalized.number) stand.running.chain.reorg(head.number - finalized.number, 'dropped');
        stand.running.chain.setFinality({ held: false });
      }
    }
    stand.running.chain.setFinality({ held: false });
    const child = await stand.start(PROVISIOND, [], 'provision');
    contracts.traffic(500);
    await stand.chainAway(2_000);
    contracts.traffic(500);
    await expect.poll(told, PATIENCE).toBe(contracts.sent);
    // Nothing comes twice when there is time for it.
    contracts.traffic(1);
    await expect.poll(told, PATIENCE).toBe(contracts.sent);
    await stand.end(child);
  });
});
