/** `healthcheck`: whether the node can be used now. Findings by what was looked at; empty lists are healthy. */
import { open, rm, statfs } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import type { Task } from '../task.ts';

const CHECK_FILE = '.healthcheck';
/** Below this the cache cannot take the next image. */
const LEAST_FREE_BYTES = 64 * 1024 ** 2;
const CHECK_DEADLINE_MS = 15_000;
const CONNECT_DEADLINE_MS = 5_000;
/** Signed requests carry the time; relays and nodes refuse what is off by more. */
const CLOCK_OFF_MS = 60_000;
/** A finding is looked at again before it is believed. */
const TRIES = 3;
const AGAIN_AFTER_MS = 10_000;

/** What is wrong, a sentence each. What it throws is a finding, too. */
export type Check = (signal: AbortSignal) => Promise<readonly string[]>;

export function healthCheck(checks: Readonly<Record<string, Check>>, clock: Clock): Task {
  return {
    name: 'healthcheck',
    description: 'Checks that the node is in a usable state: its cache, its network, its clock',
    schedule: '0 */15 * * * *',
    jitterSeconds: 0,
    firstAfterSeconds: 5,
    deadlineMs: TRIES * (CHECK_DEADLINE_MS + AGAIN_AFTER_MS) + 5_000,
    isHeavy: false,
    run: async (signal) => {
      const found = await Promise.all(
        Object.entries(checks).map(async ([name, check]) => [name, await settled(check, clock, signal)] as const),
      );
      return Object.fromEntries(found);
    },
  };
}

async function settled(check: Check, clock: Clock, signal: AbortSignal): Promise<readonly string[]> {
  for (let tried = 1; ; tried++) {
    const findings = await once(check, signal);
    if (findings.length === 0 || tried === TRIES) return findings;
    await clock.sleep(AGAIN_AFTER_MS, signal);
  }
}

async function once(check: Check, signal: AbortSignal): Promise<readonly string[]> {
  const deadline = AbortSignal.timeout(CHECK_DEADLINE_MS);
  const late = new Promise<never>((_resolve, reject) => {
    deadline.addEventListener('abort', () => reject(new Error(`not finished within ${CHECK_DEADLINE_MS} ms`)));
  });
  try {
    return await Promise.race([check(AbortSignal.any([signal, deadline])), late]);
  } catch (error) {
    signal.throwIfAborted();
    return [error instanceof Error ? error.message : String(error)];
  }
}

/** The folder can be written, and has room. `folder` may throw where the node has none. */
export function cacheCheck(folder: (signal: AbortSignal) => Promise<string>): Check {
  return async (signal) => {
    const path = await folder(signal);
    const findings: string[] = [];
    try {
      await writeAndRead(join(path, CHECK_FILE));
    } catch (error) {
      findings.push(`failed to write to cache: ${(error as Error).message}`);
    }
    const { bavail, bsize } = await statfs(path);
    if (bavail * bsize < LEAST_FREE_BYTES) {
      findings.push(`cache has ${bavail * bsize} bytes free, less than ${LEAST_FREE_BYTES}`);
    }
    return findings;
  };
}

/** Bytes that reached the medium and came back. */
async function writeAndRead(path: string): Promise<void> {
  const written = Buffer.from(`${process.pid} ${Date.now()}\n`);
  const file = await open(path, 'w+', 0o600);
  try {
    await file.write(written);
    await file.sync();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(written.length), 0, written.length, 0);
    if (!buffer.subarray(0, bytesRead).equals(written)) throw new Error(`${path} holds other bytes than were written`);
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}

/** Of each service at least one of its URLs takes a connection. */
export function networkCheck(services: Readonly<Record<string, readonly string[]>>): Check {
  return async (signal) => {
    const findings = await Promise.all(
      Object.entries(services).map(async ([service, urls]) => {
        if (urls.length === 0) return [];
        const failures = await Promise.all(urls.map((url) => reach(url, signal)));
        if (failures.some((failure) => failure === undefined)) return [];
        return [`all ${service} instances are unreachable: ${failures.join('; ')}`];
      }),
    );
    return findings.flat();
  };
}

const PORTS: Readonly<Record<string, number>> = { 'ws:': 80, 'http:': 80, 'wss:': 443, 'https:': 443 };

/** Why no connection comes about, if none does. */
function reach(text: string, signal: AbortSignal): Promise<string | undefined> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const port = url === undefined || url.port !== '' ? Number(url?.port) : PORTS[url.protocol];
  if (url === undefined || port === undefined || url.hostname === '') return Promise.resolve(`invalid URL '${text}'`);
  // No path and no query: they may hold what only this node should know.
  const shown = `${url.protocol}//${url.host}`;
  return new Promise((resolve) => {
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ''), port });
    const settle = (failure?: string): void => {
      socket.destroy();
      signal.removeEventListener('abort', onAbort);
      resolve(failure === undefined ? undefined : `${shown} is not reachable: ${failure}`);
    };
    const onAbort = (): void => settle('given up');
    socket.setTimeout(CONNECT_DEADLINE_MS, () => settle(`no connection within ${CONNECT_DEADLINE_MS} ms`));
    socket.once('error', (error) => settle(error.message));
    socket.once('connect', () => settle());
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** `chainTime`: milliseconds since 1970 of the chain's latest block. */
export function clockCheck(chainTime: (signal: AbortSignal) => Promise<number>, clock: Clock): Check {
  return async (signal) => {
    const offMs = clock.now() - (await chainTime(signal));
    if (Math.abs(offMs) <= CLOCK_OFF_MS) return [];
    const direction = offMs > 0 ? 'ahead of' : 'behind';
    return [
      `this clock is ${Math.round(Math.abs(offMs) / 1000)} s ${direction} the chain's, or the chain stands still`,
    ];
  };
}
