/** A whole node over books, with everything that can be taken from under it. */
import { mkdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { chain, substrateGateway } from '../../../modules/api-gateway/interface.ts';
import type { ZbusClient } from '../../../modules/zbus/client.ts';
import { Tenant } from '../../../provision/testing/tenant.ts';
import { Bus } from './bus.ts';
import { Chain } from './chain.ts';
import type { Clock } from './clock.ts';
import { DAEMON_NAMES, type DaemonModule, Daemons, MODULES } from './daemons.ts';
import type { Fault, Faults, Site } from './faults.ts';
import { Life } from './life.ts';
import { type JournalKind, Orchestrator } from './orchestrator.ts';

/** Milliseconds until what died is there again. */
const AWAY_MS = 2;
const HOUR_MS = 3_600_000;

/** One twin deploys in all worlds: what it signs is made once. */
export const tenant = new Tenant(7);

export class World {
  readonly folder: string;
  readonly bus: Bus;
  readonly chain: Chain;
  readonly daemons: Daemons;
  readonly orchestrator: Orchestrator;
  readonly faults: Faults;
  readonly clock: Clock = { ahead: 0 };
  /** What must never have happened, and did. */
  readonly broken: string[] = [];
  /** Changes of the host that would destroy what a tenant still has, as they would be called. */
  readonly forbidden = new Set<string>();
  /** The tenant's line to the node, and one that no fault strikes. */
  readonly client: ZbusClient;
  readonly watcher: ZbusClient;
  readonly #starting = new Set<Promise<void>>();
  #chainLife = new Life('chaind');
  #isOver = false;

  constructor(folder: string, journal: JournalKind, faults: Faults) {
    this.folder = folder;
    this.faults = faults;
    mkdirSync(folder, { recursive: true });
    this.bus = new Bus(faults);
    this.chain = new Chain(this.bus, { id: tenant.twin, key: tenant.publicKey });
    this.daemons = new Daemons({ folder, bus: this.bus, faults, changed: (call) => this.#changed(call) });
    this.orchestrator = new Orchestrator(folder, this.bus, faults, journal);
    this.client = this.bus.client(new Life('tenant'));
    this.watcher = this.bus.client(new Life('watcher'));
    faults.strike = (fault, site) => this.#strike(fault, site);
    this.#serveChain();
  }

  /** Everything that was killed is back. */
  get isWhole(): boolean {
    return this.#starting.size === 0 && this.orchestrator.daemon !== undefined;
  }

  async start(): Promise<void> {
    await Promise.all(MODULES.map((module) => this.daemons.start(module)));
    this.orchestrator.start();
  }

  killProvisiond(): void {
    if (this.orchestrator.kill()) this.#later(async () => this.orchestrator.start());
  }

  /** The host loses power and comes back. */
  losePower(): void {
    if (this.orchestrator.kill()) this.#later(async () => this.orchestrator.start());
    for (const module of MODULES) this.#killDaemon(module);
    this.daemons.forgetKernel();
    this.#restartChain();
  }

  async close(): Promise<void> {
    this.#isOver = true;
    this.faults.disarm();
    await Promise.allSettled(this.#starting);
    this.orchestrator.kill();
    this.daemons.stop();
    this.chain.stop();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  #changed(call: string): void {
    if (this.forbidden.has(call)) this.broken.push(`the host was told: ${call}`);
  }

  #strike(fault: Fault, { server, caller }: Site): void {
    if (fault === 'kill-provisiond') this.killProvisiond();
    if (fault === 'power') this.losePower();
    if (fault === 'bus-lost') this.bus.lose();
    if (fault === 'kill-redis') this.bus.forget();
    if (fault === 'hour-back') this.clock.ahead -= HOUR_MS;
    if (fault === 'day-forward') this.clock.ahead += 24 * HOUR_MS;
    if (fault === 'cancel') {
      this.forbidden.clear();
      this.chain.cancelAll();
    }
    if (fault === 'grace') this.chain.graceAll();
    if (fault === 'kill-caller') this.#killNamed(caller);
    if (fault !== 'kill-server') return;
    if (server === 'provision') this.killProvisiond();
    else if (server === 'api-gateway') this.#restartChain();
    else this.#killNamed(server);
  }

  #killNamed(name: string | undefined): void {
    const module = MODULES.find((one) => one === name || DAEMON_NAMES[one] === name);
    if (module !== undefined) this.#killDaemon(module);
  }

  #killDaemon(module: DaemonModule): void {
    if (this.daemons.kill(module)) this.#later(() => this.daemons.start(module));
  }

  #later(start: () => Promise<void>): void {
    const started = sleep(AWAY_MS)
      .then(() => (this.#isOver ? undefined : start()))
      .catch((error: unknown) => {
        this.broken.push(`did not start again: ${error instanceof Error ? error.stack : String(error)}`);
      })
      .finally(() => this.#starting.delete(started));
    this.#starting.add(started);
  }

  #restartChain(): void {
    this.#chainLife.end();
    this.chain.generation += 1;
    this.chain.sequence = 0;
    this.#later(async () => this.#serveChain());
  }

  #serveChain(): void {
    this.#chainLife = new Life('chaind');
    const { server, open } = this.bus.server(this.#chainLife);
    server.serve(chain, this.chain.service as never);
    server.serve(substrateGateway, this.chain.gateway as never);
    open('api-gateway');
  }
}
