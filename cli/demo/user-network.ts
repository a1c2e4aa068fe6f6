/** The user's own computer: a namespace with one WireGuard device that reaches the private network. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../modules/host/run.ts';
import { openWireguard, type WireguardDriver } from '../../modules/wireguard/index.ts';
import { CliError } from '../command.ts';
import type { Layout } from '../node/layout.ts';
import type { DemoPlan } from './deployment.ts';

const DEADLINE_MS = 10_000;
/** bash speaks TCP by itself, so that no HTTP client has to be installed. */
const HTTP_GET = 'exec 3<>"/dev/tcp/$0/80"; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3';

export class UserNetwork {
  readonly #namespace: string;
  readonly #device: string;
  readonly #folder: string;
  #driver: WireguardDriver | undefined;

  constructor(layout: Layout) {
    this.#namespace = `gnu-${layout.id}`;
    this.#device = `gnu${layout.id}`;
    this.#folder = join(layout.state, 'user-wireguard');
  }

  /** Joins the network through the node's endpoint. */
  async join(plan: DemoPlan, endpointAddress: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await run('ip', ['netns', 'add', this.#namespace], { deadlineMs: DEADLINE_MS });
    const driver = await openWireguard({ folder: this.#folder });
    this.#driver = driver;
    await driver.ensureDevice(this.#place());
    await driver.configure(this.#place(), {
      privateKey: plan.user.privateKey,
      listenPort: 0,
      peers: [
        {
          publicKey: plan.node.publicKey,
          endpoint: `${endpointAddress}:${plan.node.listenPort}`,
          allowedIps: [plan.node.range, '100.64.0.0/16'],
          keepaliveSeconds: 20,
        },
      ],
    });
    await run('ip', ['-netns', this.#namespace, '-batch', '-'], {
      deadlineMs: DEADLINE_MS,
      input: [
        'link set lo up',
        `addr add ${plan.user.address} dev ${this.#device}`,
        `link set ${this.#device} up`,
        `route add ${plan.node.range} dev ${this.#device}`,
        '',
      ].join('\n'),
    });
  }

  /** The page at `http://ADDRESS/`, asked for until the machine serves it. Throws `CliError` at the deadline. */
  async fetchPage(address: string, deadlineMs: number, signal: AbortSignal): Promise<string> {
    const until = Date.now() + deadlineMs;
    let last = '';
    while (Date.now() < until) {
      signal.throwIfAborted();
      try {
        const { stdout } = await run('ip', ['netns', 'exec', this.#namespace, 'bash', '-c', HTTP_GET, address], {
          deadlineMs: 3_000,
          signal,
        });
        const end = stdout.indexOf('\r\n\r\n');
        const head = stdout.slice(0, Math.max(end, 0));
        const body = stdout.slice(end + 4);
        if (/^HTTP\/1\.\d 200 /.test(head)) return body;
        last = head.split('\r\n')[0] ?? '';
      } catch (error) {
        last = (error as Error).message;
      }
      await sleep(50);
    }
    throw new CliError(`no page from ${address} within ${deadlineMs / 1000} s: ${last}`);
  }

  /** Takes device and namespace away; what is not there is not missed. */
  async leave(): Promise<void> {
    const driver = this.#driver ?? (await openWireguard({ folder: this.#folder }));
    await driver.remove(this.#place()).catch(() => undefined);
    await run('ip', ['netns', 'del', this.#namespace], { deadlineMs: DEADLINE_MS, ownSession: true }).catch(
      () => undefined,
    );
  }

  #place(): { readonly name: string; readonly namespace: string } {
    return { name: this.#device, namespace: join('/run/netns', this.#namespace) };
  }
}
