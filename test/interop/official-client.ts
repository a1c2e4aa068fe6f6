/** The official RMB client as its users run it, in a process of its own, and the TLS that it insists on. */
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect, isIP } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { run } from '../../modules/host/run.ts';

const CALL_DEADLINE_MS = 90_000;
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Whether its package is installed and a certificate can be made. */
export const hasOfficialClient =
  existsSync(here('./official/node_modules/@threefold/rmb_direct_client')) && existsSync('/usr/bin/openssl');

export interface OfficialWork {
  readonly chainUrl: string;
  /** `wss://` and a host name; the client knows no ports. */
  readonly relayUrl: string;
  /** BIP39 words, or `0x` and a hex seed. */
  readonly secret: string;
  readonly keyType: string;
  readonly session: string;
  /** Twin that is asked. */
  readonly twin: number;
  readonly calls: readonly { readonly command: string; readonly data: string }[];
}

export interface OfficialResult {
  /** For each call what it gave or how it failed. */
  readonly results?: readonly ({ readonly value: unknown } | { readonly error: string })[];
  /** Why it could not connect at all. */
  readonly failure?: string;
}

/** TLS for `host` on port 443 of `address`, passed on to `target`. */
export async function startTls(
  folder: string,
  {
    host,
    address,
    target,
  }: { host: string; address: string; target: { readonly host: string; readonly port: number } },
): Promise<{ readonly certificate: string; close(): void }> {
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
    server.listen(443, address, () => resolve());
  });
  return { certificate, close: () => void server.close() };
}

/** Connects, makes the calls one after the other, and ends. */
export async function callOfficial(certificate: string, work: OfficialWork): Promise<OfficialResult> {
  const child: ChildProcess = fork(here('./official/call.cjs'), [], {
    stdio: ['ignore', process.env.TEST_LOG === undefined ? 'ignore' : 2, 2, 'ipc'],
    env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), CALL_DEADLINE_MS);
  try {
    return await new Promise((resolve, reject) => {
      child.once('message', (message) => resolve(message as OfficialResult));
      child.once('exit', (code, signal) => reject(new Error(`the official client ended: ${code ?? signal}`)));
      child.send(work);
    });
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}
