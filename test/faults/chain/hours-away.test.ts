/** A chain that is away for hours, on a clock of its own: what chaind shows of it, and what the node tells afterwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NodeMetrics } from '../../../gateway/http/node-metrics.ts';
import { readExposition } from '../../../gateway/http/testing/exposition.ts';
import { chain, substrateGateway } from '../../../modules/api-gateway/interface.ts';
import { UptimeReporter } from '../../../modules/noded/uptime.ts';
import { silentLog } from '../../../modules/zbus/broker.ts';
import { CAPACITY_LIMITS, CapacityReporter } from '../../../provision/reports/capacity.ts';
import { ReportStore } from '../../../provision/reports/store.ts';
import type { DeploymentRecord } from '../../../provision/store/journal.ts';
import { ReportStand } from '../../system/reports/stand.ts';

const PATIENCE = { timeout: 60_000 };
const HOUR = 3_600;
const PERIOD_MS = 1_500;
/** Longer than chaind lets a question wait for its chain. */
const AWAY_MS = 8_500;

let stand: ReportStand;
let store: ReportStore;
let contract: bigint;
let vcpus: number;
/** Seconds since the machine of the node booted. */
let uptimeSeconds: number;
let stopping: AbortController;
let running: Promise<void>[];

const uptimes = (): number[] => stand.eventsOf('NodeUptimeReported').map(({ data }) => Number(data[2]));
const used = (): number[] =>
  stand.eventsOf('UpdatedUsedResources').map(({ data }) => Number((data[0] as { used: { cru: number } }).used.cru));

/** Lines of the node's page that chaind tells. */
async function page(): Promise<(name: string, label?: string) => number | undefined> {
  const numbers = new NodeMetrics({
    bus: stand.bus,
    registries: [new Registry()],
    module: 'own',
    modules: ['api-gateway'],
  });
  const families = readExposition(await numbers.text());
  return (name, label) => families.get(name)?.samples.find(({ labels }) => label === labels.event)?.value;
}

// The chain of each attempt knows nothing of those before.
beforeEach(async () => {
  [vcpus, uptimeSeconds, stopping, running] = [1, HOUR, new AbortController(), []];
  stand = await ReportStand.open();
  await stand.node.ensureTwin({ relay: 'relay.example' });
  const resources = { hru: 0n, sru: 1_000_000n, cru: 64n, mru: 8_000_000n };
  const nodeId = await stand.node.createNode({ farmId: stand.farmId, resources });
  contract = await stand.farmer.createNodeContract({ nodeId, hash: '1'.repeat(32) });
  ({ store } = ReportStore.open(`${stand.state}/reports.sqlite`));
}, 120_000);

afterEach(async () => {
  stopping.abort();
  await Promise.all(running);
  store?.close();
  await stand?.close();
});

it('W29: uptime and use are told once when it is back, by the newest value, and chaind shows that it was away', async () => {
  const [client, gateway] = [stand.bus.of(chain), stand.bus.of(substrateGateway)];
  const uptime = new UptimeReporter({
    ...{ host: { uptimeSeconds: async () => uptimeSeconds }, chain: client, gateway, log: silentLog as never },
    limits: { periodMs: PERIOD_MS, jitterMs: 0, retryMs: [100, 200], deadlineMs: 70_000 },
  });
  const deployment = (): DeploymentRecord => {
    const held = { name: 'vm', vcpus, memoryBytes: 0, publicIps: 0, allocations: [] };
    const workloads = [{ state: 'ok', held }];
    return { id: `7-${contract}`, twin: 7, contract, cancelled: undefined, workloads } as unknown as DeploymentRecord;
  };
  const capacity = new CapacityReporter({
    journal: {
      deployment: (id) => (id === deployment().id ? deployment() : undefined),
      deployments: () => [deployment()],
    },
    ...{ table: store.capacity, gateway, chain: client, log: silentLog },
    limits: { ...CAPACITY_LIMITS, gatherMs: 50, retryMs: [100, 200], confirmMs: 200 },
  });
  running.push(uptime.run(stopping.signal), capacity.run(stopping.signal));
  const isConfirmed = (): boolean => store.capacity.get(deployment().id)?.confirmed === true;
  await expect.poll(used, PATIENCE).toEqual([1]);
  await expect.poll(isConfirmed, PATIENCE).toBe(true);
  await expect.poll(() => uptimes().length, PATIENCE).toBeGreaterThan(1);
  const before = await page();
  expect(before('chain_connected')).toBe(1);
  expect(before('chain_endpoint_in_use')).toBe(1);
  expect(before('chain_endpoint_usable')).toBe(1);
  expect(before('chain_endpoint_final_block')).toBeGreaterThan(0);
  expect(before('chain_endpoint_lag_blocks')).toBe(0);
  expect(before('chain_connections_total', 'reached')).toBe(1);

  const comeBack = await stand.stopChain();
  const backAt = sleep(AWAY_MS);
  await expect.poll(async () => (await page())('chain_connected'), { ...PATIENCE, interval: 200 }).toBe(0);
  const failures = uptime.numbers.failed;
  for (let hours = 0; hours < 20; hours += 1) {
    uptimeSeconds += HOUR;
    vcpus += 1;
    capacity.changed({ id: deployment().id });
    await sleep(100);
  }
  await backAt;
  await comeBack();

  // What was on its way when it went, and the newest: nothing of the time between.
  await expect.poll(() => used().at(-1), PATIENCE).toBe(21);
  await expect.poll(isConfirmed, PATIENCE).toBe(true);
  await expect.poll(() => uptimes().at(-1), PATIENCE).toBe(21 * HOUR);
  const returned = uptimes().length;
  await expect.poll(() => uptimes().length, PATIENCE).toBeGreaterThan(returned + 1);
  expect(new Set(used()).size).toBe(used().length);
  expect(used().length).toBeLessThanOrEqual(3);
  expect([...new Set(uptimes())].filter((seconds) => seconds > HOUR && seconds < 21 * HOUR)).toEqual([]);
  // Each that was told is there once, and by its period, not all that were missed.
  const { failed, failedInARow } = uptime.numbers;
  expect(failed).toBeGreaterThanOrEqual(failures);
  expect(failedInARow).toBe(0);
  await expect.poll(() => Math.abs(uptimes().length - uptime.numbers.told), PATIENCE).toBeLessThanOrEqual(1);
  const after = await page();
  expect(after('chain_connected')).toBe(1);
  expect(after('chain_connections_total', 'lost')).toBeGreaterThan(0);
  expect(after('chain_connections_total', 'reached')).toBeGreaterThan(1);
}, 240_000);
