/** Connections to the broker: address, options that never send a call twice, reconnection. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Logger, pino } from 'pino';
import { ZbusError } from './errors.ts';

export type BusLog = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export const silentLog: BusLog = pino({ level: 'silent' });

export type BrokerAddress =
  | { readonly path: string }
  | { readonly host: string; readonly port: number; readonly password?: string };

/**
 * `unix://` uses the path alone and ignores the host part; `tcp://` takes the
 * user name as the password, as the Go library does.
 */
export function parseBroker(url: string): BrokerAddress {
  const parsed = URL.parse(url);
  if (parsed === null)
    throw new Error(`broker '${url}' is not a URL; use unix:///path/to/redis.sock or tcp://host:port`);
  const scheme = parsed.protocol.slice(0, -1);
  if (scheme === 'unix') return { path: decodeURIComponent(parsed.pathname) };
  if (scheme !== 'tcp') throw new Error(`unknown scheme '${scheme}' expecting tcp or unix`);
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: Number(parsed.port || 6379),
    ...(parsed.username === '' ? {} : { password: decodeURIComponent(parsed.username) }),
  };
}

const LOOK_AGAIN_MS = 100;
const RECONNECT_FIRST_MS = 20;
const RECONNECT_MOST_MS = 1_000;

/**
 * One connection that reconnects for ever. Commands are refused while it is
 * down and never repeated: a push whose answer was lost must not run twice.
 */
export function openConnection(address: BrokerAddress, role: string, log: BusLog): Redis {
  const options = {
    ...address,
    // RESP2 is understood by every Redis a node may carry and has all this needs.
    protocol: 2 as const,
    disableClientInfo: true,
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    // The driver's own new subscription ends the process when the broker is lost once more meanwhile.
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    retryStrategy: reconnectDelayMs,
  };
  const redis = new Redis(options);
  writeTogether(redis);
  // Every call that waits for the connection listens once.
  redis.setMaxListeners(0);
  let down = false;
  redis.on('error', (error: Error) => {
    if (!down) log.warn({ role, reason: error.message }, 'broker connection lost, reconnecting');
    down = true;
  });
  redis.on('ready', () => {
    if (down) log.info({ role }, 'broker connection is back');
    down = false;
  });
  return redis;
}

/** Milliseconds until a lost connection is tried again. */
export function reconnectDelayMs(times: number): number {
  return Math.min(RECONNECT_MOST_MS, RECONNECT_FIRST_MS * 2 ** Math.min(times, 10)) * (0.5 + Math.random() / 2);
}

/** Commands of one turn of the event loop leave in one write: the broker's time goes to system calls else. */
function writeTogether(redis: Redis): void {
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (command, target) => {
    const { stream } = redis;
    if (stream !== undefined && stream !== null && stream.writableCorked === 0) {
      stream.cork();
      process.nextTick(() => stream.uncork());
    }
    return send(command, target);
  };
}

/** A connection that is ready or says when it is. */
export interface Connection {
  readonly status: string;
  once(event: 'ready', listener: () => void): unknown;
  off(event: 'ready', listener: () => void): unknown;
}

/** Resolves once the connection can take commands. @throws ZbusError `bus_lost` or `cancelled` */
export async function whenReady(redis: Connection, withinMs: number, signal?: AbortSignal): Promise<void> {
  if (redis.status === 'ready') return;
  if (signal?.aborted) throw new ZbusError('cancelled', 'given up before the broker was ready');
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const giveUp = (): void =>
    reject(
      new ZbusError('bus_lost', `no connection to the broker for ${withinMs} ms; check that its redis-server runs`, {
        waitedMs: withinMs,
      }),
    );
  // A process that was busy loading meets its timers first and only then what the sockets have for it.
  let timer = setTimeout(() => {
    timer = setTimeout(giveUp, LOOK_AGAIN_MS);
  }, withinMs);
  const onAbort = (): void => reject(new ZbusError('cancelled', 'given up while waiting for the broker'));
  redis.once('ready', resolve);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    redis.off('ready', resolve);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** Sleeps, or less when the signal aborts. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => undefined);
}

/** Ends a connection without waiting for what it still holds. */
export function closeConnection(redis: { disconnect(reconnect?: boolean): void } | undefined): void {
  redis?.disconnect(false);
}
