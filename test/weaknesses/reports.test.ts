/** What the chain is told is all that was used, once: weakness W29 of docs/weaknesses.md, besides the tests beside the reports. */
import { expect, it } from 'vitest';
import { fullDeployment } from '../../provision/testing/provisiond.ts';
import { host } from '../../provision/testing/stand.ts';
import { machineWorkload, volumeWorkload } from '../../provision/testing/tenant.ts';
import { deployed, die, ends, nodeForEachTest, operations, start } from './node.ts';

const GIB = 1024 ** 3;

nodeForEachTest();

it('W29: what a machine sent up to its end is counted, though no sample was due, and so are its first minutes', async () => {
  const { reports } = await start();
  await deployed(1n, ...fullDeployment());
  await deployed(2n, machineWorkload('vm2', { ip: '10.1.2.9' }));
  host.traffic.set('7-1-vm1', 1_000);
  host.traffic.set('7-2-vm2', 500);
  await ends(1n);
  expect(reports.trafficBytes.counted).toBeGreaterThanOrEqual(1_000);
  host.traffic.set('7-2-vm2', 700);
  await ends(2n);
  expect(reports.trafficBytes.counted).toBe(1_700);
  await die();
  const { reports: after } = await start();
  const { open, pending, told, ...others } = after.trafficBytes;
  expect(open + pending + told).toBe(1_700);
  expect(others).toMatchObject({ counted: 1_700, dropped: 0 });
});

it('W29: a contract whose report fails for a reason that nobody foresaw holds up no other, and is told when it may', async () => {
  await start();
  let isRefused = true;
  host.hook = ({ method, args }, when) => {
    if (method !== 'SetContractConsumption' || when !== 'before' || !isRefused) return;
    const told = args.resources as readonly { readonly ContractID: bigint }[];
    if (told.some(({ ContractID }) => ContractID === 1n)) throw new Error('the transaction can not be built');
  };
  for (const contract of [1n, 2n, 3n]) await deployed(contract, volumeWorkload('vol1', Number(contract) * GIB));
  await expect
    .poll(() => [2n, 3n].map((contract) => host.consumption.get(contract)?.SRU))
    .toEqual([BigInt(2 * GIB), BigInt(3 * GIB)]);
  expect(host.consumption.has(1n)).toBe(false);
  isRefused = false;
  await die();
  await start();
  await expect.poll(() => host.consumption.get(1n)?.SRU).toBe(BigInt(GIB));
});

it('W29: a report that could not be told is told after a death, and nothing is told twice for it', async () => {
  await start();
  let isAway = true;
  const told: unknown[] = [];
  host.hook = ({ method, args }, when) => {
    if (method !== 'SetContractConsumption' || when !== 'before') return;
    if (isAway) throw new Error('no endpoint answers');
    told.push(...(args.resources as readonly unknown[]));
  };
  await deployed(1n, volumeWorkload('vol1', GIB));
  await die();
  isAway = false;
  await start();
  await expect.poll(() => host.consumption.get(1n)?.SRU).toBe(BigInt(GIB));
  await die();
  await start();
  await expect.poll(async () => (await operations()).length).toBeGreaterThan(0);
  expect(told).toHaveLength(1);
});
