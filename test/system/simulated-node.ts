/** A simulated node as a person without root starts it, and a tenant that knows of it what its client file says. */
import { execFile } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { z } from 'zod';
import { ChainClient } from '../../gateway/chain/client.ts';
import { Identity, RmbClient, TwinCache } from '../../gateway/rmb/index.ts';
import {
  buildDeployment,
  type Command,
  type Deployment,
  deploymentChanges,
  deploymentDeploy,
  deploymentHash,
  formatDeployment,
  parseOutput,
  signedMessage,
  type Workload,
  withSignature,
} from '../../schemas/index.ts';

const run = promisify(execFile);
const cli = join(import.meta.dirname, '../../cli/main.ts');
const COMMAND_DEADLINE_MS = 90_000;
const CALL_DEADLINE_MS = 30_000;
const SETTLE_DEADLINE_MS = 60_000;
const POLL_MS = 50;
/** The user that owns nothing. */
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

/** A folder of that user alone. */
function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gnsim-'));
  if (isRoot) chownSync(folder, NOBODY, NOBODY);
  return folder;
}

/** One for all nodes of a test file: the second start need not compile again. */
const compileCache = ownFolder();

export function removeCompileCache(): void {
  rmSync(compileCache, { recursive: true, force: true });
}

interface TenantFacts {
  readonly name: string;
  readonly twin: number;
  readonly key_type: 'sr25519' | 'ed25519';
  readonly mnemonic: string;
}

interface ClientFacts {
  readonly chain: string;
  readonly relay: string;
  readonly web: string;
  readonly node: {
    readonly id: number;
    readonly twin: number;
    readonly farm: number;
    readonly public_key: string;
    readonly encryption_key: string;
  };
  readonly tenants: readonly TenantFacts[];
}

export class SimulatedNode {
  /** Of the node's user alone, as is everything below it. */
  readonly home: string;
  readonly state: string;
  #facts: ClientFacts | undefined;

  constructor() {
    this.home = ownFolder();
    this.state = join(this.home, 'node');
  }

  get facts(): ClientFacts {
    if (this.#facts === undefined) throw new Error('start the node first');
    return this.#facts;
  }

  /** Runs a `gridnode` command on this node as its user. */
  async command(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
    const user = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
    const env = { ...process.env, HOME: this.home, NODE_COMPILE_CACHE: compileCache };
    const words = [cli, ...args, '--state', this.state];
    return run(process.execPath, words, { ...user, env, cwd: this.home, timeout: COMMAND_DEADLINE_MS });
  }

  /** Starts it in the background; what it printed besides the client's facts. */
  async up(...args: readonly string[]): Promise<string> {
    const { stdout, stderr } = await this.command('up', '--simulate', '--background', '--json', ...args);
    this.#facts = JSON.parse(stdout) as ClientFacts;
    return stderr;
  }

  /** Pids of its processes by unit. */
  async pids(): Promise<Map<string, number>> {
    const { stdout } = await this.command('status', '--json');
    const { units } = JSON.parse(stdout) as { units: { name: string; pid: number }[] };
    const mark = JSON.parse(await readFile(join(this.state, 'zinit', 'supervisor.json'), 'utf8')) as { pid: number };
    return new Map([...units.map(({ name, pid }) => [name, pid] as const), ['supervisor', mark.pid]]);
  }

  async remove(): Promise<void> {
    await this.command('down', '--purge').catch(() => undefined);
    await rm(this.home, { recursive: true, force: true });
  }
}

/** One of the ready-made tenants. */
export class SimulatedTenant {
  readonly twin: number;
  readonly chain: ChainClient;
  readonly #client: RmbClient;
  readonly #identity: Identity;
  readonly #facts: ClientFacts;

  private constructor(facts: ClientFacts, twin: number, identity: Identity, chain: ChainClient, client: RmbClient) {
    this.#facts = facts;
    this.twin = twin;
    this.#identity = identity;
    this.chain = chain;
    this.#client = client;
  }

  static async open({ facts }: SimulatedNode, index = 0): Promise<SimulatedTenant> {
    const one = facts.tenants[index];
    if (one === undefined) throw new Error(`no tenant ${index}`);
    const identity = await Identity.fromSecret(one.mnemonic, one.key_type);
    const chain = await ChainClient.connect({ endpoints: [facts.chain], identity, deadlineMs: CALL_DEADLINE_MS });
    const client = new RmbClient({
      relays: [facts.relay],
      identity,
      twinId: one.twin,
      session: 'test',
      twins: new TwinCache({ twin: (id) => chain.twin(id) }),
    });
    await client.connect({ deadlineMs: CALL_DEADLINE_MS });
    return new SimulatedTenant(facts, one.twin, identity, chain, client);
  }

  async ask<I extends z.ZodType, O extends z.ZodType>(
    command: Command<I, O>,
    payload: object | string = '',
  ): Promise<z.output<O>> {
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
    const answer = await this.#client.call({
      twin: this.#facts.node.twin,
      command: command.name,
      payload: text,
      deadlineMs: CALL_DEADLINE_MS,
    });
    return parseOutput(command, answer);
  }

  /** Signs, pays for and sends; the contract's id. Throws `RmbError`. */
  async deploy(workloads: readonly Workload[]): Promise<bigint> {
    const unsigned = buildDeployment({ twinId: this.twin, workloads });
    const signature = this.#identity.sign(signedMessage(unsigned)).subarray(1);
    const deployment: Deployment = withSignature(unsigned, this.twin, this.#identity.keyType, signature);
    const contract = await this.chain.createNodeContract({
      nodeId: this.#facts.node.id,
      hash: deploymentHash(deployment),
    });
    await this.ask(deploymentDeploy, formatDeployment({ ...deployment, contract_id: contract }));
    return contract;
  }

  /** Waits until every workload ran or failed; their last states by name. */
  async settled(contract: bigint): Promise<Map<string, { readonly state: string; readonly message: string }>> {
    const until = Date.now() + SETTLE_DEADLINE_MS;
    for (;;) {
      const changes = await this.ask(deploymentChanges, { contract_id: Number(contract) });
      const last = new Map(changes.map(({ name, result }) => [name, result]));
      if (last.size > 0 && [...last.values()].every(({ state }) => state !== 'init')) return last;
      if (Date.now() > until) throw new Error(`not settled: ${JSON.stringify(changes)}`);
      await sleep(POLL_MS);
    }
  }

  async close(): Promise<void> {
    await this.#client.close();
    await this.chain.close();
  }
}
