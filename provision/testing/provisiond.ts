/** A provisiond for tests: a bus of its own, the test host behind it, and a twin that deploys. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../modules/zbus/broker.ts';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { ZbusServer } from '../../modules/zbus/server.ts';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import type { Deployment, Workload } from '../../schemas/deployment.ts';
import { ENGINE_LIMITS } from '../engine/steps.ts';
import { provision } from '../interface.ts';
import { type Provisiond, type ProvisiondOptions, startProvisiond } from '../provisiond.ts';
import { CAPACITY_LIMITS } from '../reports/capacity.ts';
import { deploymentFromStruct, deploymentToStruct } from '../wire.ts';
import { TestHost } from './host.ts';
import { diskWorkload, machineWorkload, networkWorkload, Tenant } from './tenant.ts';

const GIB = 1024 ** 3;
const RUNNING_DEADLINE_MS = 30_000;

export interface RefusedDeployment {
  readonly message: string;
  readonly code: unknown;
  readonly details: unknown;
}

export class Stand {
  readonly folder: string;
  readonly redis: TestRedis;
  readonly host: TestHost;
  readonly bus: ZbusClient;
  readonly tenant = new Tenant(7);
  readonly #servers: ZbusServer[] = [];
  readonly #daemons: Provisiond[] = [];
  /** The servers of these. */
  readonly #own: ZbusServer[] = [];

  private constructor(folder: string, redis: TestRedis) {
    this.folder = folder;
    this.redis = redis;
    this.host = new TestHost(folder);
    this.bus = new ZbusClient({ broker: redis.broker });
  }

  static async open(): Promise<Stand> {
    return new Stand(mkdtempSync(join(tmpdir(), 'prov-')), await startRedis());
  }

  async close(): Promise<void> {
    await Promise.all(this.#daemons.map((daemon) => daemon.stop()));
    await Promise.all(this.#servers.map((server) => server.stop()));
    await this.bus.close();
    await this.redis.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The daemons that provisiond asks; `modules` names those that live. */
  async serveHost(modules?: readonly string[]): Promise<void> {
    const made = this.host.serve(this.redis.broker, modules);
    this.#servers.push(...made);
    await Promise.all(made.map((server) => server.start()));
  }

  async startHere(given: Partial<ProvisiondOptions> = {}): Promise<Provisiond> {
    const server = new ZbusServer({ module: 'provision', broker: this.redis.broker });
    const daemon = startProvisiond({
      server,
      bus: this.bus,
      log: silentLog,
      root: join(this.folder, 'provisiond'),
      guest: { kernel: '/guest/vmlinuz', initrd: '/guest/initrd.img' },
      cpuOvercommit: 4,
      contractWaitMs: 300,
      engineLimits: { ...ENGINE_LIMITS, retry: { budgetMs: 1_000, firstDelayMs: 10, maxDelayMs: 100 } },
      contractLimits: {
        intervalMs: 60_000,
        backlogMs: 60_000,
        retryMs: 50,
        confirmDelayMs: 20,
        removalsPerRun: 10,
        readDeadlineMs: 2_000,
        movedDelayMs: 60_000,
      },
      capacityLimits: { ...CAPACITY_LIMITS, gatherMs: 20, deadlineMs: 2_000, retryMs: [20, 40] },
      host: { cpus: 4, memoryBytes: 16 * GIB },
      ...given,
    });
    this.#daemons.push(daemon);
    this.#servers.push(server);
    this.#own.push(server);
    await server.start();
    return daemon;
  }

  /** Ends every provisiond of this process in good order, so that another may start. */
  async stopHere(): Promise<void> {
    for (const server of this.#own.splice(0)) {
      this.#servers.splice(this.#servers.indexOf(server), 1);
      await server.stop();
    }
    await Promise.all(this.#daemons.splice(0).map((daemon) => daemon.stop()));
  }

  deploy(deployment: Deployment, twin = 7): Promise<void> {
    const struct = deploymentToStruct(deployment);
    return this.bus.of(provision).CreateOrUpdate({ twin, deployment: struct, update: false });
  }

  /** Sends the next version of a deployment; its contract has the hash already. */
  update(deployment: Deployment, twin = 7): Promise<void> {
    const struct = deploymentToStruct(deployment);
    return this.bus.of(provision).CreateOrUpdate({ twin, deployment: struct, update: true });
  }

  async stateOf(contract = 1n): Promise<string[]> {
    const found = await this.bus.of(provision).Get({ twin: 7, contractID: contract });
    return deploymentFromStruct(found, { results: 'keep' }).workloads.map((one) => one.result.state);
  }

  /** Resolves when every workload is `ok`. */
  async running(contract = 1n): Promise<void> {
    const giveUpAt = performance.now() + RUNNING_DEADLINE_MS;
    for (;;) {
      const states = await this.stateOf(contract);
      if (states.length > 0 && states.every((state) => state === 'ok')) return;
      if (performance.now() > giveUpAt) throw new Error(`contract ${contract} has the states ${states.join(', ')}`);
      await sleep(20);
    }
  }

  /** The refusal of a deployment; throws when it was accepted or the host was touched. */
  async refused(deployment: Deployment, twin = 7, isUpdate = false): Promise<RefusedDeployment> {
    const touched = (): string => JSON.stringify([this.host.resources, this.host.changes]);
    const before = touched();
    const sent = isUpdate ? this.update(deployment, twin) : this.deploy(deployment, twin);
    const error: unknown = await sent.catch((thrown: unknown) => thrown);
    if (!(error instanceof ZbusError)) throw new Error('it was accepted');
    if (touched() !== before) throw new Error('the host was changed for a deployment that was refused');
    return { message: error.message, code: error.remote?.code, details: error.remote?.details };
  }
}

export function fullDeployment(): Workload[] {
  return [networkWorkload('net1', 4127), diskWorkload('disk1', GIB), machineWorkload('vm1', { mounts: ['disk1'] })];
}
