/** GPUs are noded's to know; who has them is provisiond's. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { nodeMachine } from '../modules/noded/interface.ts';
import { ZbusServer } from '../modules/zbus/server.ts';
import { statistics } from './interface.ts';
import { stand, standForEachTest } from './testing/stand.ts';

let noded: ZbusServer | undefined;

standForEachTest();
beforeEach(async () => {
  await stand.startHere();
});
afterEach(async () => {
  await noded?.stop(200);
  noded = undefined;
});

it('lists the GPUs of the machine, all free', async () => {
  const refuse = (): never => {
    throw new Error('not asked for');
  };
  const card = { ID: '0000:28:00.0/1002/731f', Vendor: 'AMD', Device: 'unknown', Vram: 8192 };
  noded = new ZbusServer({ module: 'node', broker: stand.redis.broker });
  noded.serve(nodeMachine, { Dmi: refuse, Hypervisor: refuse, Location: refuse, Gpus: () => [card] });
  await noded.start();
  expect(await stand.bus.of(statistics).ListGPUs({})).toEqual([{ ...card, Contract: 0n }]);
});

it('says that nobody can tell where noded is away', async () => {
  await expect(stand.bus.of(statistics).ListGPUs({}, { deadlineMs: 8_000 })).rejects.toThrow(/node\.machine@0\.1\.0/);
});
