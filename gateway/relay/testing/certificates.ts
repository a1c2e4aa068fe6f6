/** A certificate authority of a test's own and a certificate it signed, made by openssl. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Certificates {
  readonly ca: string;
  readonly caFile: string;
  readonly key: string;
  readonly cert: string;
  remove(): Promise<void>;
}

/** One certificate for all `names`. */
export async function makeCertificates(names: readonly string[]): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), 'gn-tls-'));
  const file = (name: string): string => join(folder, name);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  try {
    const ca = [
      '-x509',
      '-days',
      '2',
      '-subj',
      '/CN=test authority',
      '-keyout',
      file('ca.key'),
      '-out',
      file('ca.pem'),
    ];
    await run('openssl', ['req', ...curve, ...ca]);
    const request = ['-subj', '/CN=test relay', '-keyout', file('relay.key'), '-out', file('relay.csr')];
    await run('openssl', ['req', ...curve, ...request]);
    await writeFile(file('names'), `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}\n`);
    const signing = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2'];
    const paths = ['-in', file('relay.csr'), '-extfile', file('names'), '-out', file('relay.pem')];
    await run('openssl', ['x509', '-req', ...signing, ...paths]);
    const read = (name: string): Promise<string> => readFile(file(name), 'utf8');
    return {
      ca: await read('ca.pem'),
      caFile: file('ca.pem'),
      key: await read('relay.key'),
      cert: await read('relay.pem'),
      remove: () => rm(folder, { recursive: true, force: true }),
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
