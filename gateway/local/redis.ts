/** The Redis that local programs share with the peer. */
import { Redis } from 'ioredis';
import type { Logger } from 'pino';

export interface RedisPlace {
  readonly address: { readonly path: string } | { readonly host: string; readonly port: number };
  readonly db: number;
  readonly password?: string | undefined;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;
const COMMAND_TIMEOUT_MS = 5000;

/**
 * `redis://HOST[:PORT][/DB]`, `tcp://HOST:PORT`, `unix:///path`. A password
 * comes from elsewhere, as a URL may stand in a process list. Throws `RangeError`.
 */
export function parseRedisUrl(url: string, password?: string): RedisPlace {
  const parsed = URL.parse(url);
  if (parsed === null) throw new RangeError('the Redis URL is not one: redis://localhost:6379 or unix:///path');
  if (parsed.password !== '' || parsed.username !== '') {
    throw new RangeError('no password in the Redis URL: every user of this machine reads arguments');
  }
  if (parsed.protocol === 'unix:' || parsed.protocol === 'redis+unix:') {
    return { address: { path: decodeURIComponent(parsed.pathname) }, db: 0, password };
  }
  if (parsed.protocol !== 'redis:' && parsed.protocol !== 'tcp:') {
    throw new RangeError(`${parsed.protocol}// is no Redis URL; use redis://HOST:PORT or unix:///path`);
  }
  const db = /^\/?(\d{0,5})$/.exec(parsed.pathname)?.[1];
  if (db === undefined || parsed.hostname === '') throw new RangeError('the Redis URL is redis://HOST[:PORT][/DB]');
  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  return { address: { host, port: Number(parsed.port || 6379) }, db: Number(db), password };
}

/**
 * One connection that reconnects for ever. Commands fail at once while it is
 * away and are never repeated by the library. `blockSeconds` is how long one
 * of its commands may wait by itself.
 */
export function openRedis(place: RedisPlace, role: string, log: Logger, blockSeconds = 0): Redis {
  const redis = new Redis({
    ...place.address,
    db: place.db,
    ...(place.password === undefined ? {} : { password: place.password }),
    protocol: 2,
    disableClientInfo: true,
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS + blockSeconds * 1000,
    retryStrategy: (attempt: number) =>
      Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2),
  });
  redis.setMaxListeners(0);
  let problem = '';
  redis.on('error', (error: Error) => {
    if (error.message !== problem) log.warn({ role, reason: error.message }, 'local Redis');
    problem = error.message;
  });
  redis.on('ready', () => {
    problem = '';
    log.info({ role }, 'local Redis connected');
  });
  return redis;
}
