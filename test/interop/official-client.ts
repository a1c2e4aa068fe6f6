/** The official RMB client as its users run it, in a process of its own, and the TLS that it insists on. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, connect, isIP } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { run } from '../../modules/host/run.ts';

const OPEN_ATTEMPTS = 4;
const NOT_CONNECTED = /Unable to establish a connection/;
const STEP_DEADLINE_MS = 90_000;
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Whether its package is installed and a certificate can be made. */
export const hasOfficialClient =
  existsSync(here('./official/node_modules/@threefold/rmb_direct_client')) && existsSync('/usr/bin/openssl');

export interface OfficialUser {
  readonly chainUrl: string;
  /** `wss://` and a host name; the client knows no ports. */
  readonly relayUrl: string;
  /** BIP39 words, or `0x` and a hex seed. */
  readonly secret: string;
  readonly keyType: string;
  readonly session: string;
}

export interface OfficialCall {
  readonly command: string;
  readonly data: string;
  /** Twin that is asked. */
  readonly twin: number;
  /** Times the client looks for an open line, 10 s each, and makes a new one; its own default is 5. */
  readonly retries?: number;
}

/** For each call what it gave or how it failed. */
export type OfficialResult = { readonly value: unknown } | { readonly error: string };

/** TLS for `host` on a port of `address`, 443 unless told (0 is a free one), passed on to `target`. */
export async function startTls(
  folder: string,
  {
    host,
    address,
    target,
    port = 443,
  }: { host: string; address: string; target: { readonly host: string; readonly port: number }; port?: number },
): Promise<{ readonly certificate: string; readonly port: number; close(): void }> {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  await run(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${host}`, '-addext', `subjectAltName=${isIP(host) === 0 ? 'DNS' : 'IP'}:${host}`],
      ...['-keyout', key, '-out', certificate],
    ],
    { deadlineMs: 20_000 },
  );
  const server = createServer({ key: await readFile(key), cert: await readFile(certificate) }, (near) => {
    const far = connect(target.port, target.host);
    near.pipe(far).pipe(near);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => resolve());
  });
  return { certificate, port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

/** The client in a process of its own: a second object of one user in one process would share the first one's session. */
export class OfficialClient {
  readonly #child: ChildProcess;

  private constructor(certificate: string) {
    this.#child = fork(here('./official/call.cjs'), [], {
      stdio: ['ignore', process.env.TEST_LOG === undefined ? 'ignore' : 2, 2, 'ipc'],
      env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
    });
  }

  /**
   * Connects, which stores the client's own relay and key on the chain. The client has time limits of its
   * own for that, which a busy machine may need more than once.
   */
  static async open(certificate: string, user: OfficialUser): Promise<OfficialClient> {
    for (let attempt = 1; ; attempt += 1) {
      const client = new OfficialClient(certificate);
      try {
        await client.#do({ do: 'connect', ...user });
        return client;
      } catch (error) {
        client.close();
        if (attempt === OPEN_ATTEMPTS || !NOT_CONNECTED.test(String(error))) throw error;
      }
    }
  }

  /** Makes the calls one after the other. */
  ask(calls: readonly OfficialCall[]): Promise<readonly OfficialResult[]> {
    return this.#do({ do: 'ask', calls });
  }

  /** Makes the calls side by side. */
  askAtOnce(calls: readonly OfficialCall[]): Promise<readonly OfficialResult[]> {
    return this.#do({ do: 'askAtOnce', calls });
  }

  /** Sends the client's ping envelope; what came for it. */
  ping(): Promise<readonly OfficialResult[]> {
    return this.#do({ do: 'ping' });
  }

  /** Until the client has noticed that its relay is away. */
  async lost(): Promise<void> {
    await this.#do({ do: 'lost' });
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  /** One step at a time. */
  async #do(step: object): Promise<readonly OfficialResult[]> {
    const signal = AbortSignal.timeout(STEP_DEADLINE_MS);
    const ended = once(this.#child, 'exit', { signal }).then(([code, by]) => {
      throw new Error(`the official client ended: ${code ?? by}`);
    });
    const answered = once(this.#child, 'message', { signal });
    this.#child.send(step);
    const [message] = (await Promise.race([answered, ended])) as [{ results?: OfficialResult[]; failure?: string }];
    ended.catch(() => undefined);
    if (message.results === undefined) throw new Error(`the official client: ${message.failure}`);
    return message.results;
  }
}
