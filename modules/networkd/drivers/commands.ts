/** The host programs of this room: `ip` and `nft`, always in batches, a bounded number at a time. */
import { HostCommandError, run } from '../../host/run.ts';

const DEADLINE_MS = 15_000;
/** Host programs that run at once; more only wait for the kernel's one network lock. */
const AT_ONCE = 4;

let running = 0;
const waiting: Array<() => void> = [];

async function limited<T>(work: () => Promise<T>): Promise<T> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  }
}

/** Where a command runs: the file of a network namespace, or the caller's own. */
export interface Place {
  readonly namespace?: string;
}

function exec(place: Place, argv: readonly string[], input: string): Promise<string> {
  const vector = place.namespace === undefined ? argv : ['nsenter', `--net=${place.namespace}`, '--', ...argv];
  const [file = '', ...args] = vector;
  return limited(async () => (await run(file, args, { input, deadlineMs: DEADLINE_MS })).stdout);
}

/** Runs lines of `ip` in one process. Stops at the first that fails, and the error names it. */
export async function ipBatch(lines: readonly string[], place: Place = {}): Promise<void> {
  if (lines.length === 0) return;
  try {
    await exec(place, ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  } catch (error) {
    throw withLine(error, lines);
  }
}

/** Runs one `ip` with arguments as they are, for what a batch line could not hold. */
export async function ip(args: readonly string[], place: Place = {}): Promise<void> {
  await exec(place, ['ip', ...args], '');
}

/** Runs lines of `ip` that may each fail, as removals of what may be gone already. Resolves with what was said. */
export async function ipForced(lines: readonly string[], place: Place = {}): Promise<string> {
  if (lines.length === 0) return '';
  try {
    await exec(place, ['ip', '-force', '-batch', '-'], `${lines.join('\n')}\n`);
    return '';
  } catch (error) {
    if (error instanceof HostCommandError && error.reason === 'exit') return error.stderr;
    throw error;
  }
}

/** Applies one nftables transaction: all of it or nothing. */
export async function nftApply(text: string, place: Place = {}): Promise<void> {
  await exec(place, ['nft', '-f', '-'], text);
}

/** First parts of the elements of an nftables set, given by family, table and name; none where there is no such set. */
export async function nftSet(set: readonly string[]): Promise<string[]> {
  let text: string;
  try {
    text = await exec({}, ['nft', '-j', 'list', 'set', ...set], '');
  } catch (error) {
    if (error instanceof HostCommandError && error.reason === 'exit') return [];
    throw error;
  }
  const { nftables } = JSON.parse(text) as {
    readonly nftables: ReadonlyArray<{
      readonly set?: { readonly elem?: ReadonlyArray<{ readonly concat?: string[] }> };
    }>;
  };
  return nftables.flatMap((one) => (one.set?.elem ?? []).flatMap((element) => element.concat?.[0] ?? []));
}

/**
 * Builds the inside of a namespace in one process: router sysctls, `ip`
 * lines, one nftables transaction. The script is constant; what is applied
 * comes by stdin.
 */
export async function applyInside(namespace: string, ipLines: readonly string[], rules: string): Promise<void> {
  try {
    await exec({ namespace }, ['sh', '-c', INSIDE], `${ipLines.join('\n')}\n${BORDER}\n${rules}`);
  } catch (error) {
    throw withLine(error, ipLines);
  }
}

const BORDER = '#border#';
const INSIDE = `set -e
cd /proc/sys/net
echo 1 > ipv4/ip_forward
echo 0 > ipv4/conf/all/send_redirects
echo 0 > ipv4/conf/all/accept_redirects
if [ -d ipv6 ]; then echo 1 > ipv6/conf/all/forwarding; fi
lines=
while IFS= read -r line && [ "$line" != '${BORDER}' ]; do lines="$lines$line
"; done
printf '%s' "$lines" | ip -batch -
exec nft -f -`;

/** `ip` names the number of the line that failed; the line itself says more. */
function withLine(error: unknown, lines: readonly string[]): unknown {
  if (!(error instanceof HostCommandError)) return error;
  const failed = /Command failed -:(\d+)/.exec(error.stderr);
  const line = failed === null ? undefined : lines[Number(failed[1]) - 1];
  const words = error.stderr.replace(/Command failed.*\n?/g, '').trim();
  return line === undefined ? error : new Error(`ip ${line}: ${words}`, { cause: error });
}

/** What `ip -j` prints for arguments, parsed. */
export async function ipJson<T>(args: readonly string[], place: Place = {}): Promise<T[]> {
  const text = await exec(place, ['ip', '-j', ...args], '');
  return text.trim() === '' ? [] : (JSON.parse(text) as T[]);
}

/** The addresses and routes of a namespace, read in one process. */
export async function inspectInside(namespace: string): Promise<{ addresses: LinkJson[]; routes: RouteJson[] }> {
  const script = 'ip -j address; echo; ip -j -4 route; echo; ip -j -6 route';
  const text = await exec({ namespace }, ['sh', '-c', script], '');
  const documents = text.split('\n').filter((line) => line.trim() !== '');
  const parsed = documents.map((line) => JSON.parse(line) as unknown[]);
  return {
    addresses: (parsed[0] ?? []) as LinkJson[],
    routes: parsed.slice(1).flat() as RouteJson[],
  };
}

/** The parts of `ip -j -d link` and `ip -j address` that are read here. */
export interface LinkJson {
  readonly ifname: string;
  readonly address?: string;
  readonly master?: string;
  readonly ifalias?: string;
  readonly flags?: readonly string[];
  readonly link_type?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: ReadonlyArray<{
    readonly family: string;
    readonly local: string;
    readonly prefixlen: number;
    readonly scope: string;
  }>;
  readonly stats64?: {
    readonly rx: { readonly bytes: number; readonly packets: number };
    readonly tx: { readonly bytes: number; readonly packets: number };
  };
}

export interface RouteJson {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev: string;
  readonly protocol?: string;
  readonly metric?: number;
}
