/** What a farmer sees of one deployment: operations, numbers, one trace and one story in the logs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Family, readExposition } from '../../gateway/http/testing/exposition.ts';
import { deploymentOperations, deploymentWait } from '../../schemas/index.ts';
import { type CollectedSpan, Collector } from './collector.ts';
import { removeCompileCache, SimulatedNode, SimulatedTenant } from './simulated-node.ts';
import { siteWorkloads } from './tenant.ts';

const FLIST = 'https://hub.grid.tf/tf-official-apps/base:latest.flist';
const EXPORT_MS = 20_000;

interface ShownOperation {
  readonly ID: string;
  readonly Kind: string;
  readonly State: string;
  readonly TwinID: number;
  readonly ContractID: number;
  readonly Trace: string;
}

describe('what a farmer sees of one deployment', { timeout: 180_000 }, () => {
  const node = new SimulatedNode();
  let collector: Collector;
  let tenant: SimulatedTenant;
  let contract = 0n;
  let trace = '';
  let http = '';

  const page = async (): Promise<Map<string, Family>> => {
    const response = await fetch(`${http}/metrics`);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    return readExposition(await response.text());
  };
  const value = (families: Map<string, Family>, name: string, labels: Readonly<Record<string, string>>): number => {
    const family = families.get(name) ?? families.get(name.replace(/_(count|sum|bucket)$/, ''));
    const found = (family?.samples ?? []).filter(
      (one) => one.name === name && Object.entries(labels).every(([key, text]) => one.labels[key] === text),
    );
    return found.reduce((sum, one) => sum + one.value, 0);
  };
  const operations = async (...flags: string[]): Promise<ShownOperation[]> =>
    JSON.parse((await node.command('ps', '--json', ...flags)).stdout) as ShownOperation[];

  beforeAll(async () => {
    collector = await Collector.listen();
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = collector.url;
    process.env.OTEL_BSP_SCHEDULE_DELAY = '200';
    await node.up('--total', 'cru=4,mru=16G,sru=500G,hru=1T');
    const config = JSON.parse(await readFile(join(node.state, 'node.json'), 'utf8')) as {
      readonly address: string;
      readonly simulated: { readonly httpPort: number };
    };
    http = `http://${config.address}:${config.simulated.httpPort}`;
    tenant = await SimulatedTenant.open(node);
    contract = await tenant.deploy(siteWorkloads('first', 1, FLIST));
    await tenant.settled(contract);
    trace = (await operations('--all'))[0]?.Trace ?? '';
  }, 180_000);

  afterAll(async () => {
    delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
    delete process.env.OTEL_BSP_SCHEDULE_DELAY;
    await tenant?.close();
    await node.remove();
    collector?.close();
    removeCompileCache();
  });

  it('is an operation, to the farmer and to the tenant', async () => {
    await expect.poll(() => operations()).toEqual([]);
    const [shown] = await operations('--all');
    expect(shown).toMatchObject({ Kind: 'create', State: 'done', TwinID: tenant.twin, ContractID: Number(contract) });
    const text = (await node.command('ps', '--all')).stdout;
    expect(text).toMatch(/^id +twin +contract +kind/);
    expect(text).toContain(shown?.ID);
    const [told] = await tenant.ask(deploymentOperations, { contract_id: Number(contract) });
    expect(told).toMatchObject({ id: shown?.ID, kind: 'create', state: 'done', contract_id: contract, trace });
    expect(told?.ended_at).toBeGreaterThanOrEqual(told?.started_at ?? Number.POSITIVE_INFINITY);
    expect((await tenant.ask(deploymentWait, { contract_id: Number(contract) })).operation).toEqual(told);
    const other = await SimulatedTenant.open(node, 1);
    try {
      expect(await other.ask(deploymentOperations, { contract_id: Number(contract) })).toEqual([]);
      expect(await other.ask(deploymentOperations)).toEqual([]);
    } finally {
      await other.close();
    }
  });

  it('is in the numbers of every part, on a page that a strict scraper reads', async () => {
    const modules = ['provision', 'storage', 'network', 'flist', 'vmd', 'node', 'api-gateway', 'rmb-gateway'];
    let families = await page();
    // Who answers too late on a busy machine is not on the page of that moment.
    const away = async (): Promise<string[]> => {
      families = await page();
      return modules.filter((module) => value(families, 'gridnode_up', { module }) !== 1);
    };
    await expect.poll(away).toEqual([]);
    for (const module of modules) {
      expect(value(families, 'process_resident_memory_bytes', { module })).toBeGreaterThan(0);
    }
    expect(value(families, 'gateway_command_seconds_count', { command: 'zos.deployment.deploy', outcome: 'ok' })).toBe(
      1,
    );
    expect(value(families, 'provision_admissions_total', { kind: 'create', outcome: 'accepted' })).toBe(1);
    expect(value(families, 'provision_contract_check_seconds_count', { outcome: 'ok' })).toBe(1);
    expect(value(families, 'provision_journal_write_seconds_count', { write: 'accept' })).toBe(1);
    expect(value(families, 'provision_operations_ended_total', { kind: 'create', state: 'done' })).toBe(1);
    expect(
      value(families, 'provision_step_seconds_count', { type: 'zmachine', step: 'machine', outcome: 'done' }),
    ).toBe(1);
    expect(value(families, 'provision_capacity', { unit: 'cru', side: 'committed' })).toBeGreaterThan(0);
    expect(value(families, 'provision_deployments', {})).toBe(1);
    expect(value(families, 'vmd_machines', {})).toBe(1);
    const start = { module: 'vmd', driver: 'machine', operation: 'start', outcome: 'ok' };
    expect(value(families, 'gridnode_driver_call_seconds_count', start)).toBe(1);
    const asked = { module: 'rmb-gateway', method: 'provision.provision.CreateOrUpdate', outcome: 'ok' };
    expect(value(families, 'zbus_client_call_seconds_count', asked)).toBe(1);
    const served = { module: 'provision', method: 'provision.CreateOrUpdate', outcome: 'ok' };
    expect(value(families, 'zbus_server_call_seconds_count', served)).toBe(1);
    expect(families.get('provision_leaked')?.samples.reduce((sum, one) => sum + one.value, 0) ?? 0).toBe(0);
    // No twin, contract or deployment is a label: their number has no bound.
    const samples = [...families.values()].flatMap((family) => family.samples);
    expect(
      samples.flatMap(({ labels }) => Object.keys(labels)).filter((one) => /twin|contract|deployment/.test(one)),
    ).toEqual([]);
    const named = new RegExp(`^${contract}$|${tenant.twin}-${contract}|first`);
    const isNamed = ({ labels: { le: _, ...labels } }: (typeof samples)[number]): boolean =>
      Object.values(labels).some((text) => named.test(text));
    expect(samples.filter(isNamed)).toEqual([]);
    for (const { help } of families.values()) expect(help.length).toBeGreaterThan(3);
  });

  it('is documented: every family of the page is in docs/observing.md', async () => {
    const text = await readFile(join(import.meta.dirname, '../../docs/observing.md'), 'utf8');
    const missing = [...(await page()).keys()].filter((name) => !text.includes(`\`${name}\``));
    expect(missing).toEqual([]);
  });

  it('is one trace from the envelope to the machine, over all processes', async () => {
    const id = trace.replaceAll('-', '');
    const all = (): CollectedSpan[] => collector.spans.filter(({ traceId }) => traceId === id);
    const wanted = [
      `rmb zos.deployment.deploy`,
      'door checks',
      'command zos.deployment.deploy',
      'call provision.provision.CreateOrUpdate',
      'serve provision.provision.CreateOrUpdate',
      'admission',
      'contract check',
      'journal write',
      'lane',
      'step disk',
      'step network',
      'step machine',
      'call vmd.manager.Run',
      'serve vmd.manager.Run',
      'machine.start',
      'fabric.ensure',
    ];
    const missing = (): string[] => wanted.filter((name) => !all().some((one) => one.name === name));
    await expect.poll(missing, { timeout: EXPORT_MS }).toEqual([]);
    const spans = new Map(all().map((one) => [one.spanId, one]));
    const firsts = [...spans.values()].filter(({ parentSpanId }) => parentSpanId === '');
    expect(firsts.map(({ name }) => name)).toEqual(['rmb zos.deployment.deploy']);
    const path = (name: string): string[] => {
      const names: string[] = [];
      let at = [...spans.values()].find((one) => one.name === name);
      while (at !== undefined) {
        names.unshift(at.name);
        at = spans.get(at.parentSpanId);
      }
      return names;
    };
    expect(path('machine.start')).toEqual([
      'rmb zos.deployment.deploy',
      'lane',
      'step machine',
      'call vmd.manager.Run',
      'serve vmd.manager.Run',
      'machine.start',
    ]);
    expect(path('contract check').slice(0, 6)).toEqual([
      'rmb zos.deployment.deploy',
      'command zos.deployment.deploy',
      'call provision.provision.CreateOrUpdate',
      'serve provision.provision.CreateOrUpdate',
      'admission',
      'contract check',
    ]);
    // The chain's part is another process of the simulated node, which sends its spans at times of its own.
    await expect.poll(() => new Set(all().map(({ service }) => service)).size).toBeGreaterThan(1);
  });

  it('is one story in the logs, in the order of time, and no line of it lacks the trace', async () => {
    const logs = await Promise.all(
      ['node', 'chain'].map((unit) => readFile(join(node.state, 'log', `${unit}.log`), 'utf8')),
    );
    const ids = [`${tenant.twin}-${contract}`];
    const naming = logs
      .flatMap((text) => text.split('\n'))
      .filter((line) => ids.some((id) => new RegExp(`(?<![0-9])${id}(?![0-9])`).test(line)));
    expect(naming.length).toBeGreaterThan(5);
    expect(naming.filter((line) => (JSON.parse(line) as { trace?: string }).trace !== trace)).toEqual([]);

    const told = (await node.command('logs', '--trace', trace, '--json')).stdout.trim().split('\n');
    const lines = told.map((line) => JSON.parse(line) as Record<string, unknown> & { time: number });
    expect(lines.map(({ time }) => time)).toEqual(lines.map(({ time }) => time).sort((a, b) => a - b));
    const story = lines.map((line) => (line.step === undefined ? `${line.msg}` : `${line.step} ${line.state}`));
    const inOrder = ['accepted', 'disk done', 'machine started', 'machine done'];
    expect(inOrder.map((one) => story.indexOf(one)).every((at, i, all) => at >= 0 && at >= (all[i - 1] ?? 0))).toBe(
      true,
    );
    expect(story).toContain('answered');
    const read = (await node.command('logs', '--trace', trace)).stdout;
    expect(read).toMatch(/^\d\d:\d\d:\d\d\.\d{3} \w+ +\S/);
    await expect(node.command('logs', '--trace', 'no-such-request')).rejects.toThrow('no-such-request');
  });

  it('is not hurt by a collector that is away: what is lost is counted', async () => {
    collector.close();
    const second = await tenant.deploy(siteWorkloads('later', 2, FLIST));
    const states = [...(await tenant.settled(second)).values()].map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(['ok']));
    const lost = async (): Promise<number> =>
      value(await page(), 'gridnode_trace_spans_total', { module: 'provision', outcome: 'failed' });
    await expect.poll(lost, { timeout: 30_000 }).toBeGreaterThan(0);
  });
});
