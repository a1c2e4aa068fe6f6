/** A real node, hit while one deployment comes, changes and goes; and what has to hold after each hit. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { added } from '../../../cli/node/inventory.ts';
import { RmbError } from '../../../gateway/rmb/index.ts';
import { generatePrivateKey, publicKeyOf } from '../../../modules/wireguard/index.ts';
import type { CapacityReport, Command, Deployment, Workload } from '../../../schemas/index.ts';
import {
  buildWorkload,
  capacityGet,
  deploymentChanges,
  deploymentDeploy,
  deploymentGet,
  deploymentHash,
  deploymentUpdate,
  formatDeployment,
  MiB,
  parseOutput,
  volume,
} from '../../../schemas/index.ts';
import { differenceTo, holdings } from '../../system/holdings.ts';
import { type Hub, openHub, packSite } from '../../system/hub.ts';
import { flushBus, killUnit, pidsOf, untilBack } from '../../system/kill.ts';
import { machinePage } from '../../system/page.ts';
import { diskWorkload, machineAddress, siteWorkloads, Tenant } from '../../system/tenant.ts';
import { startTestNode, type TestNode } from '../../system/test-node.ts';
import { TappedOrchestrator } from './orchestrator.ts';
import { type Hit, hitsAt, PHASES, type Phase, Sites, type Victim } from './points.ts';
import { sendUntilTaken } from './sending.ts';

const GREETING = 'still here';
const UNITS = ['storaged', 'networkd', 'flistd', 'vmd', 'noded', 'redis', 'chain', 'chaind', 'relay', 'gateway'];
const TAKEN_DEADLINE_MS = 60_000;
const DONE_DEADLINE_MS = 180_000;
/** Shorter than a person's: an answer that was lost is asked for again. */
const CALL_DEADLINE_MS = 3_000;
const NEWCOMER_DEADLINE_MS = 60_000;
const POLL_MS = 50;
const REST_MS = 300;
const FIRST_BACKOFF_MS = 250;
const CREATED = ['old ok', 'spare ok', 'vdisk ok', 'vnet ok', 'vvm ok', 'vvol ok'];
const UPDATED = [...CREATED, 'more ok', 'old deleted', 'spare ok', 'vnet ok'].sort();

type Strike = () => Promise<void>;

interface Course {
  /** The machine's page is read before it goes. */
  readonly withPage: boolean;
  readonly withUpdate: boolean;
}

export class RealWorld {
  readonly #node: TestNode;
  readonly #hub: Hub;
  readonly #user: Tenant;
  readonly #flist: string;
  readonly #orchestrator: TappedOrchestrator;
  readonly #before: { readonly holdings: readonly string[]; readonly capacity: CapacityReport };
  /** What was begun by a hit and has to be back before it is looked at the node. */
  #striking: Promise<void>[] = [];
  #contract = 0n;
  #isCancelled = false;

  private constructor(
    parts: { node: TestNode; hub: Hub; user: Tenant; flist: string; orchestrator: TappedOrchestrator },
    before: { readonly holdings: readonly string[]; readonly capacity: CapacityReport },
  ) {
    this.#node = parts.node;
    this.#hub = parts.hub;
    this.#user = parts.user;
    this.#flist = parts.flist;
    this.#orchestrator = parts.orchestrator;
    this.#before = before;
  }

  static async start(): Promise<RealWorld> {
    const node = await startTestNode();
    try {
      const hub = await openHub(node);
      const user = await Tenant.open(node);
      const flist = await packSite(hub);
      const orchestrator = await TappedOrchestrator.start(node);
      const capacity = await askedUntilAnswered(user, capacityGet);
      const before = { capacity, holdings: await atRest(node) };
      return new RealWorld({ node, hub, user, flist, orchestrator }, before);
    } catch (error) {
      await node.stop();
      throw error;
    }
  }

  /** Stops it all and says what it left on the host. */
  async stop(): Promise<string[]> {
    await this.#orchestrator.stop();
    await this.#hub.close();
    return this.#node.stop();
  }

  /** One life without a hit: every point at which it can be hit. */
  async enumerate(): Promise<Hit[]> {
    const sites = new Map<Phase, string[]>(PHASES.map((phase) => [phase, []]));
    await this.#live({ withPage: true, withUpdate: true }, async (phase, site) => {
      sites.get(phase)?.push(site);
    });
    return PHASES.flatMap((phase) => hitsAt(phase, sites.get(phase) ?? []));
  }

  /**
   * One life in which those are hit, one in each phase at most; those that did not come by. It is updated
   * where it is to be hit then. Throws what does not hold.
   */
  async hit(hits: readonly Hit[], withPage: boolean): Promise<Hit[]> {
    const left = new Set(hits);
    const withUpdate = hits.some(({ phase }) => phase === 'update');
    await this.#live({ withPage, withUpdate }, async (phase, site) => {
      const due = hits.find((hit) => hit.phase === phase && hit.site === site);
      if (due !== undefined && left.delete(due)) await this.#strike(due.victim);
    });
    return [...left];
  }

  /** Every passing of a site waits until it was heard of. */
  async #live(course: Course, heard: (phase: Phase, site: string) => Promise<void>): Promise<void> {
    this.#isCancelled = false;
    const sites = new Sites();
    const phase = (name: Phase, work: () => Promise<void>): Promise<void> => {
      sites.begin(name);
      this.#orchestrator.tap.listener = async (passing) => {
        const site = sites.name(passing);
        if (site !== undefined) await heard(name, site);
      };
      return this.#phase(work);
    };
    await this.#anew();
    try {
      const site = this.#workloads();
      const deployment = this.#user.sign(site);
      this.#contract = await this.#user.contractFor(deployment);
      await phase('create', () => this.#create(deployment));
      if (!this.#isCancelled && course.withUpdate) {
        const machines = await pidsOf(this.#node.layout, /^qemu-system/);
        if (machines.length !== 1) throw new Error(`${machines.length} machines run, not one`);
        await phase('update', () => this.#update(site));
        const after = await pidsOf(this.#node.layout, /^qemu-system/);
        if (`${after}` !== `${machines}`) throw new Error(`machine ${machines} did not run on, ${after} does`);
      }
      if (!this.#isCancelled && course.withPage) await this.#page();
      await phase('delete', () => this.#cancel());
      await this.#nothingLeft();
    } catch (error) {
      // One point's trouble must not be the next one's.
      await this.#user.cancel(this.#contract).catch(() => undefined);
      throw error;
    }
  }

  /** Each life begins alike: with a provisiond that knows no twin's key and has compared with the chain. */
  async #anew(): Promise<void> {
    const heard = this.#orchestrator.tap.newcomer(NEWCOMER_DEADLINE_MS);
    this.#orchestrator.kill();
    await heard;
    await this.#user.answered();
  }

  async #phase(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } finally {
      this.#orchestrator.tap.listener = () => Promise.resolve();
      await Promise.all(this.#striking.splice(0));
    }
    await this.#user.answered();
  }

  #workloads(): Workload[] {
    return [
      ...siteWorkloads('v', 1, this.#flist, GREETING),
      buildWorkload(volume, 'vvol', { size: 64 * MiB }),
      diskWorkload('spare', 16 * MiB),
      diskWorkload('old', 16 * MiB),
    ];
  }

  async #create(deployment: Deployment): Promise<void> {
    const contract = this.#contract;
    const text = formatDeployment({ ...deployment, contract_id: contract });
    await this.#taken(contract, 0, deploymentDeploy.name, text);
    if (this.#isCancelled) return;
    await this.#came(contract, 0, CREATED);
  }

  /** A network with another peer, a larger disk, one more and one less; the machine runs on. */
  async #update(site: readonly Workload[]): Promise<void> {
    const contract = this.#contract;
    const peer = {
      subnet: '10.21.9.0/24',
      wireguard_public_key: publicKeyOf(generatePrivateKey()),
      allowed_ips: ['10.21.9.0/24'],
      endpoint: '',
    };
    const kept = site.filter(({ name }) => name !== 'old');
    const changed = kept.map((one) => {
      if (one.type === 'network') {
        return { ...one, version: 1, data: JSON.stringify({ ...JSON.parse(one.data), peers: [peer] }) };
      }
      return one.name === 'spare' ? { ...diskWorkload('spare', 48 * MiB), version: 1 } : one;
    });
    changed.push({ ...diskWorkload('more', 32 * MiB), version: 1 });
    const deployment = this.#user.sign(changed, { version: 1, contract_id: contract });
    await this.#user.chain.updateNodeContract(contract, deploymentHash(deployment));
    const text = formatDeployment(deployment);
    await this.#taken(contract, 1, deploymentUpdate.name, text);
    await this.#came(contract, 1, UPDATED);
  }

  #taken(contract: bigint, version: number, command: string, text: string): Promise<void> {
    return sendUntilTaken({
      version,
      deadlineMs: TAKEN_DEADLINE_MS,
      isOver: () => this.#isCancelled,
      send: async () => {
        const failure = await this.#user.peer.callNode(command, text, CALL_DEADLINE_MS).then(
          () => undefined,
          (error: unknown) => error as Error,
        );
        if (!this.#isCancelled && failure !== undefined && !(failure instanceof RmbError)) throw failure;
        return failure;
      },
      look: () => this.#ask(deploymentGet, { contract_id: Number(contract) }).catch((error: Error) => error),
    });
  }

  /** The log tells of these states, of each once, and of each beginning once. */
  async #came(contract: bigint, version: number, wanted: readonly string[]): Promise<void> {
    const until = Date.now() + DONE_DEADLINE_MS;
    for (;;) {
      const isLast = Date.now() > until;
      const asked = this.#ask(deploymentChanges, { contract_id: Number(contract) });
      const changes = await asked.catch((error: unknown) => {
        if (this.#isCancelled) return [];
        throw error;
      });
      if (this.#isCancelled) return;
      const told = changes.map(({ name, result }) => `${name} ${result.state}`).sort();
      const begun = told.filter((line) => line.endsWith(' init'));
      const found = told.filter((line) => !line.endsWith(' init'));
      if (`${found}` === `${wanted}` && new Set(begun).size === begun.length) return;
      if (added(wanted, found).length > 0 || isLast) {
        throw new Error(`version ${version} came to ${JSON.stringify(changes)}`);
      }
      await sleep(POLL_MS);
    }
  }

  /** Until nothing is left of it: neither listed, nor held. */
  async #cancel(): Promise<void> {
    await this.#user.chain.cancelContract(this.#contract);
    const until = Date.now() + DONE_DEADLINE_MS;
    for (;;) {
      const isLast = Date.now() > until;
      const found = await this.#ask(deploymentGet, { contract_id: Number(this.#contract) }).catch(
        (error: Error) => error,
      );
      if (found instanceof Error && /deployment not found/.test(found.message)) return;
      if (isLast) {
        const there = found instanceof Error ? found.message : `the node has version ${found.version}`;
        throw new Error(`the contract was cancelled, and ${there}`);
      }
      await sleep(POLL_MS);
    }
  }

  #ask<I extends z.ZodType, O extends z.ZodType>(command: Command<I, O>, payload?: object): Promise<z.output<O>> {
    return askedUntilAnswered(this.#user, command, payload);
  }

  async #page(): Promise<void> {
    const place = { twin: this.#user.twin, network: 'vnet', address: machineAddress(1) };
    const body = await machinePage(this.#node, place);
    if (!body.includes(`<h1>${GREETING}</h1>`)) throw new Error(`the machine serves ${body}`);
  }

  async #nothingLeft(): Promise<void> {
    const difference = await differenceTo(this.#before.holdings, this.#node.layout);
    if (difference.more.length + difference.less.length > 0) {
      throw new Error(`the host differs from before: ${JSON.stringify(difference)}`);
    }
    const [now, then] = [await this.#ask(capacityGet), this.#before.capacity].map((one) => JSON.stringify(one));
    if (now !== then) throw new Error(`capacity is ${now}, and was ${then}`);
  }

  /** Returns when the victim is dead; what brings it back goes on behind. */
  async #strike(victim: Victim): Promise<void> {
    const strikes: Record<string, Strike> = {
      provisiond: async () => this.#orchestrator.kill(),
      flush: () => flushBus(this.#node.layout),
      everything: async () => {
        this.#orchestrator.kill();
        await Promise.all(UNITS.map((unit) => this.#kill(unit)));
      },
      contract: async () => {
        this.#isCancelled = true;
        this.#orchestrator.isHeldBack = true;
        this.#orchestrator.kill();
        this.#behind(this.#user.chain.cancelContract(this.#contract).then(() => this.#orchestrator.release()));
      },
    };
    await (strikes[victim] ?? (() => this.#kill(victim)))();
  }

  async #kill(unit: string): Promise<void> {
    const { pid } = await this.#node.zinit.status(unit);
    await killUnit(this.#node, unit);
    this.#behind(this.#bringBack(unit, pid));
  }

  /** As after a first end: a supervisor lets a unit that ends again and again wait for half a minute. */
  async #bringBack(unit: string, pid: number | undefined): Promise<void> {
    // The gateway would wait for a provisiond of the supervisor's own.
    if (unit !== 'gateway') {
      await this.#node.zinit.stop(unit);
      await sleep(FIRST_BACKOFF_MS);
      await this.#node.zinit.start(unit);
    }
    await untilBack(this.#node, unit, pid);
  }

  #behind(work: Promise<void>): void {
    work.catch(() => undefined);
    this.#striking.push(work);
  }
}

/** Asked again as long as nothing answers. Throws what the node answers in the end. */
async function askedUntilAnswered<I extends z.ZodType, O extends z.ZodType>(
  user: Tenant,
  command: Command<I, O>,
  payload?: object,
): Promise<z.output<O>> {
  const text = payload === undefined ? '' : JSON.stringify(payload);
  const until = Date.now() + TAKEN_DEADLINE_MS;
  for (;;) {
    try {
      return parseOutput(command, await user.peer.callNode(command.name, text, CALL_DEADLINE_MS));
    } catch (error) {
      const isFinal = !(error instanceof RmbError) || /deployment not found/.test(error.message);
      if (isFinal || Date.now() > until) throw error;
      await sleep(POLL_MS);
    }
  }
}

/** What the node holds once nothing of it comes or goes any more. */
async function atRest(node: TestNode): Promise<string[]> {
  const until = Date.now() + DONE_DEADLINE_MS;
  for (;;) {
    const found = await holdings(node.layout);
    await sleep(REST_MS);
    const { more, less } = await differenceTo(found, node.layout, 0);
    if (more.length + less.length === 0) return found;
    if (Date.now() > until) throw new Error(`the node does not come to rest: ${JSON.stringify({ more, less })}`);
  }
}
