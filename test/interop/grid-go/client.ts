/** The official Go grid client in a process of its own, and the TLS in front of every service that it insists on. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { end } from '../../bench/peers/child.ts';
import { type GridAddresses, startFront } from '../grid-client.ts';
import { startTls } from '../official-client.ts';

const STEP_DEADLINE_MS = 150_000;

export interface GoFront {
  readonly chain: string;
  readonly relay: string;
  readonly web: string;
  readonly certificates: string;
  readonly proxy: string;
  /** Own address of this machine that all but the KYC service are at. */
  readonly host: string;
  close(): Promise<void>;
}

/** The client takes `wss://` and `https://` alone; relay on port 443 of the host, the rest on free ports. */
export async function startGoFront(folder: string, addresses: GridAddresses): Promise<GoFront> {
  const { chain, web, host } = addresses;
  const front = await startFront(folder, addresses);
  const open: { readonly certificate: string; readonly port: number; close(): void }[] = [];
  const close = async (): Promise<void> => {
    for (const one of open) one.close();
    await front.close();
  };
  try {
    for (const [name, url] of Object.entries({ chain, web })) {
      const { hostname, port } = new URL(url);
      const place = join(folder, name);
      await mkdir(place);
      const target = { host: hostname, port: Number(port) };
      open.push(await startTls(place, { host, address: host, port: 0, target }));
    }
    const certificates = join(folder, 'all-certificates.pem');
    const parts = [front.certificates, ...open.map(({ certificate }) => certificate)];
    await writeFile(certificates, (await Promise.all(parts.map((part) => readFile(part, 'utf8')))).join('\n'));
    const [chainPort, webPort] = open.map(({ port }) => port);
    const urls = { chain: `wss://${host}:${chainPort}`, relay: `wss://${host}`, web: `https://${host}:${webPort}` };
    return { ...urls, certificates, proxy: front.proxy, host, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Its steps are those of `main.go`. */
export class GoGridClient {
  readonly #child: ChildProcess;
  readonly #waiting: ((answer: { value?: unknown; failure?: string }) => void)[] = [];
  #words = '';
  #over: Error | undefined;

  private constructor(file: string, { certificates, proxy, host }: GoFront) {
    // The client asks kyc.dev.grid.tf, whatever it is told of other services: the proxy leads it to ours.
    const env = { ...process.env, SSL_CERT_FILE: certificates, HTTPS_PROXY: proxy, NO_PROXY: host };
    this.#child = spawn(file, [], { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#words = (this.#words + text).slice(-4000);
      if (process.env.TEST_LOG !== undefined) process.stderr.write(text);
    });
    const over = (why: string): void => {
      this.#over = new Error(`the Go grid client ended: ${why}\n${this.#words}`);
      for (const wake of this.#waiting.splice(0)) wake({ failure: this.#over.message });
    };
    this.#child.once('error', (error) => over(error.message));
    this.#child.once('close', (code, signal) => over(`${code ?? signal}`));
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      this.#waiting.shift()?.(JSON.parse(line) as { value?: unknown; failure?: string });
    });
  }

  /** Connects with BIP39 words or a `0x` hex seed, which stores the client's own relay and key on the chain. */
  static async open(file: string, front: GoFront, user: { secret: string; keyType: string }): Promise<GoGridClient> {
    const client = new GoGridClient(file, front);
    try {
      const { chain, relay, web } = front;
      await client.step('open', { chain, relay, proxy: `${web}/`, graphQL: `${web}/graphql`, ...user });
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** One step at a time. @throws Error with the client's own text */
  async step(what: string, argument: unknown = null): Promise<unknown> {
    if (this.#over !== undefined) throw this.#over;
    const said = await new Promise<{ value?: unknown; failure?: string }>((resolve) => {
      const silent = (): void => resolve({ failure: `${what}: no word within ${STEP_DEADLINE_MS} ms\n${this.#words}` });
      const timer = setTimeout(silent, STEP_DEADLINE_MS);
      this.#waiting.push((answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#child.stdin?.write(`${JSON.stringify({ do: what, with: argument })}\n`);
    });
    if (said.failure !== undefined) throw new Error(said.failure);
    return said.value;
  }

  async close(): Promise<void> {
    await end(this.#child);
  }
}
