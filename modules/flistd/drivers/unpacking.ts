/** Has a flist read and unpacked by a process of its own: bounded, confined, gone when the daemon is. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { GridError, reviveError } from '../../../schemas/errors/index.ts';
import type { AddressRules } from '../../host/addresses.ts';
import { type FlistRead, GO, UnpackReport } from './unpack-report.ts';

export interface UnpackJob {
  /** The flist's file. */
  readonly file: string;
  /** Empty folder that takes the tree. */
  readonly folder: string;
  /** The flist's address as errors show it. */
  readonly url: string;
  /** Folders from which `dir:` stores may be read. */
  readonly allowed: readonly string[];
  /** Hosts of which other stores may be. */
  readonly addresses: AddressRules;
}

export interface Unpacked {
  readonly bytes: number;
  readonly entries: number;
  readonly skipped: number;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

const PROGRAM = fileURLToPath(import.meta.resolve('./unpack-process.ts'));
/** What takes longer is taken to be stuck. */
const DEADLINE_MS = 60 * 60_000;
const REPORTS_LIMIT_BYTES = 1024 ** 2;
const STDERR_KEPT_BYTES = 2000;
const HEAP_MIB = 3072;
/** What it takes to give a tree its owners and modes, and to read stores that belong to others. */
const CAPABILITIES = '-all,+chown,+fowner,+fsetid,+dac_read_search';
const CONFINED = [
  ...['--pdeathsig', 'KILL', '--no-new-privs', '--inh-caps=-all'],
  `--bounding-set=${CAPABILITIES}`,
] as const;
/** What Node takes from the environment to start and to trust a store's certificate. */
const ENVIRONMENT = ['PATH', 'NODE_COMPILE_CACHE', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];

/**
 * Unpacks `job.file` into `job.folder`. `admit` hears what the flist needs and
 * throws to refuse it; until it has resolved nothing is written. On any failure
 * the process is dead when this rejects, so that the folder can be removed.
 * @throws GridError `flist_unpack_failed` when the process itself failed, else what
 *   `readFlist` and `unpack` throw; the signal's reason when it was aborted
 */
export async function unpackApart(
  job: UnpackJob,
  admit: (read: FlistRead) => Promise<void>,
  signal: AbortSignal,
  deadlineMs: number = DEADLINE_MS,
): Promise<Unpacked> {
  signal.throwIfAborted();
  let words = '';
  const failed = (reason: string): GridError =>
    // What it printed names paths of this host: for the log, not for who asked.
    new GridError('flist_unpack_failed', { url: job.url, reason }, { cause: new Error(words.trim()) });
  const child = start(job);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, by) => resolve(by === null ? `status ${code}` : `signal ${by}`));
  });
  child.stderr.on('data', (chunk: Buffer) => {
    words = (words + chunk.toString('utf8')).slice(-STDERR_KEPT_BYTES);
  });
  // Without its input the process ends by itself, which its status tells.
  child.stdin.on('error', () => undefined);
  const kill = (): unknown => child.kill('SIGKILL');
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    kill();
  }, deadlineMs);
  signal.addEventListener('abort', kill, { once: true });
  try {
    let read: FlistRead | undefined;
    for await (const report of reports(child, failed)) {
      if (report.kind === 'failed') throw reviveError(report.code ?? '', report.details) ?? failed(report.text);
      if (report.kind === 'unpacked' && read !== undefined) {
        return { bytes: read.bytes, entries: read.entries, skipped: report.skipped };
      }
      if (report.kind !== 'read' || read !== undefined) throw failed('its process spoke out of turn');
      await admit(report);
      read = report;
      child.stdin.write(GO);
    }
    const how = await ended;
    signal.throwIfAborted();
    if (late) throw failed(`it took more than ${deadlineMs} ms`);
    throw failed(`its process ended with ${how}`);
  } finally {
    kill();
    await ended;
    clearTimeout(timer);
    signal.removeEventListener('abort', kill);
  }
}

function start({ file, folder, url, allowed, addresses }: UnpackJob): Child {
  const environment = ENVIRONMENT.flatMap((name) =>
    process.env[name] === undefined ? [] : [[name, process.env[name]]],
  );
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', `--max-old-space-size=${HEAP_MIB}`];
  const args = [
    `--flist=${file}`,
    `--folder=${folder}`,
    `--url=${url}`,
    ...allowed.map((one) => `--allow-file=${one}`),
    ...addresses.allowed.map((one) => `--allow-address=${one}`),
    ...(addresses.denyPrivate ? ['--deny-private'] : []),
  ];
  return spawn('setpriv', [...CONFINED, ...node, PROGRAM, ...args], {
    cwd: '/',
    env: Object.fromEntries(environment) as NodeJS.ProcessEnv,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

async function* reports(child: Child, failed: (reason: string) => GridError): AsyncGenerator<UnpackReport> {
  let text = '';
  let size = 0;
  const chunks = child.stdout.setEncoding('utf8') as AsyncIterable<string>;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > REPORTS_LIMIT_BYTES) throw failed(`its process said more than ${REPORTS_LIMIT_BYTES} bytes`);
    const lines = (text + chunk).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) yield parse(line, failed);
  }
}

function parse(line: string, failed: (reason: string) => GridError): UnpackReport {
  try {
    return UnpackReport.parse(JSON.parse(line));
  } catch {
    throw failed(`its process said '${line.slice(0, 200)}'`);
  }
}
