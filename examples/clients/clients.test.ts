/** Every example against one simulated node, started by the command a person types. */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChainClient } from '../../gateway/chain/client.ts';
import { Identity, RmbClient, TwinCache } from '../../gateway/rmb/index.ts';

const run = promisify(execFile);
const here = import.meta.dirname;
const top = join(here, '..', '..');
const vectors = join(top, 'schemas', 'vectors');
/** Go's first build on a machine compiles the chain's client and what it needs. */
const BUILD_MS = 420_000;
const RUN_MS = 90_000;
const LINES = 150;
const WIREGUARD_KEY = 'GOm/0kzCBkLLgSkO9cdmFjTQYfWmbyMhq3UcSpR4hFs=';

const folder = mkdtempSync(join(tmpdir(), 'gn-clients-'));
const pythonTools = join(top, '.tools', 'python-clients');
const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

/** Whether there is a Go, and the modules are on the machine or can be had. */
function hasGo(): boolean {
  try {
    const options = { cwd: join(here, 'go'), stdio: 'ignore', timeout: 120_000 } as const;
    execFileSync('go', ['list', '-mod=readonly', '-deps', './...'], options);
    return true;
  } catch {
    return false;
  }
}

/** Whether the packages that requirements.txt names are there: `gridnode test` installs them. */
function hasPython(): boolean {
  const stamp = join(pythonTools, '.gridnode');
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === sha256(join(here, 'python', 'requirements.txt'));
}

interface Client {
  readonly name: string;
  readonly isHere: boolean;
  readonly command: readonly [string, ...string[]];
  readonly files: readonly string[];
}

const clients: readonly Client[] = [
  {
    name: 'TypeScript',
    isHere: true,
    command: [process.execPath, join(here, 'typescript', 'deploy.ts')],
    files: ['typescript/deploy.ts'],
  },
  { name: 'Go', isHere: hasGo(), command: [join(folder, 'go-client')], files: ['go/main.go', 'go/challenge.go'] },
  {
    name: 'Python',
    isHere: hasPython(),
    command: [join(pythonTools, 'bin', 'python'), '-B', join(here, 'python', 'deploy.py')],
    files: ['python/deploy.py', 'python/challenge.py', 'python/rmb.py'],
  },
];

/** Lines that a person wrote: no blank ones, comments and imports. */
function codeLines(file: string): number {
  const text = readFileSync(join(here, file), 'utf8')
    .replaceAll(/^import \([\s\S]*?^\)$/gm, '')
    .replaceAll(/^import [^;()]*?;$/gm, '')
    .replaceAll(/^(import|from) [^;{]*$/gm, '')
    .replaceAll(/"""[\s\S]*?"""|\/\*[\s\S]*?\*\//g, '');
  return text.split('\n').filter((line) => !/^\s*(\/\/.*|#.*)?$/.test(line)).length;
}

interface Facts {
  readonly chain: string;
  readonly relay: string;
  readonly node: { readonly twin: number };
  readonly tenants: readonly { readonly twin: number; readonly key_type: 'sr25519'; readonly mnemonic: string }[];
}

const state = join(folder, 'node');
const factsFile = join(folder, 'client.json');
const gridnode = (...args: string[]): Promise<{ stdout: string }> =>
  run(process.execPath, [join(top, 'cli', 'main.ts'), ...args, '--state', state], { timeout: RUN_MS });

const closing: (() => Promise<void>)[] = [];
let list: () => Promise<unknown>;

beforeAll(async () => {
  if (clients.some(({ name, isHere }) => name === 'Go' && isHere)) {
    const args = ['build', '-buildvcs=false', '-mod=readonly', '-o', join(folder, 'go-client'), '.'];
    await run('go', args, { cwd: join(here, 'go'), timeout: BUILD_MS });
  }
  const { stdout } = await gridnode('up', '--simulate', '--background', '--json');
  await writeFile(factsFile, stdout, { mode: 0o600 });
  const { chain: url, relay, node, tenants } = JSON.parse(stdout) as Facts;
  const [who] = tenants;
  if (who === undefined) throw new Error('a simulated node has tenants');
  const identity = await Identity.fromSecret(who.mnemonic, who.key_type);
  const chain = await ChainClient.connect({ endpoints: [url], identity });
  closing.push(() => chain.close());
  const twins = new TwinCache({ twin: (id) => chain.twin(id) });
  const rmb = new RmbClient({ relays: [relay], identity, twinId: who.twin, session: 'watch', twins });
  closing.push(() => rmb.close());
  await rmb.connect();
  list = () => rmb.callJson({ twin: node.twin, command: 'zos.deployment.list', deadlineMs: 20_000 });
}, BUILD_MS);

afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await gridnode('down', '--purge').catch(() => undefined);
  await rm(folder, { recursive: true, force: true });
});

/** What the example printed. */
async function start({ command: [program, ...args] }: Client, ...words: string[]): Promise<Record<string, unknown>> {
  const env = { ...process.env, WIREGUARD_KEY };
  const { stdout } = await run(program, [...args, ...words], { env, timeout: RUN_MS });
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Of one deployment; whoever deploys it. */
const hashes = new Set<unknown>();

describe.each(clients)('the client in $name', (client) => {
  it(`has less than ${LINES} lines of code`, () => {
    expect(client.files.map(codeLines).reduce((sum, lines) => sum + lines)).toBeLessThan(LINES);
  });

  it.skipIf(!client.isHere)('agrees with the vectors, and says when it does not', { timeout: 2 * RUN_MS }, async () => {
    const text = readFileSync(join(vectors, 'challenge.json'), 'utf8');
    const golden = JSON.parse(text) as { cases: { hash: string }[] };
    expect(await start(client, 'check', vectors)).toEqual({ checked: golden.cases.length });
    const wrong = join(folder, client.name);
    await mkdir(wrong, { recursive: true });
    await writeFile(join(wrong, 'challenge.json'), text.replaceAll(golden.cases[0]?.hash ?? '', '0'.repeat(32)));
    await expect(start(client, 'check', wrong)).rejects.toThrow('network_zmount_zmachine');
  });

  it.skipIf(!client.isHere).each([
    { mode: 'plan and wait', words: [] },
    { mode: 'polling, as for other nodes', words: ['poll'] },
  ])('deploys, sees it run and cancels with $mode', { timeout: 2 * RUN_MS }, async ({ words }) => {
    const result = await start(client, factsFile, ...words);
    expect(result).toMatchObject({ workloads: { net: 'ok', disk: 'ok', vm: 'ok' } });
    hashes.add(result.hash);
    expect(hashes.size).toBe(1);
    // A client ends when the node has its deployment no more: the next one asks for the same names and port.
    expect(await list()).toEqual([]);
  });
});

describe('generated files', () => {
  it.each(['go/grid/grid.go', 'python/grid.py', 'python/envelope_pb2.py'])('%s is of its source as it is', (file) => {
    const [first = ''] = readFileSync(join(here, file), 'utf8').split('\n');
    const [, source = '', hash] =
      /^(?:\/\/|#) Code generated by \S+ v?[\d.]+ from (\S+), sha256 (\w+)\. DO NOT EDIT\.$/.exec(first) ?? [];
    expect(hash, 'run: node examples/clients/generate.ts').toBe(sha256(join(top, source)));
  });

  it('the list of what is hashed is the same for Go', () => {
    const published = readFileSync(join(top, 'schemas', 'hashed.json'), 'utf8');
    expect(readFileSync(join(here, 'go', 'hashed.json'), 'utf8')).toBe(published);
  });
});
