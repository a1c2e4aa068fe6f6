/** The relay's command line. Throws `Error` that names the flag. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { DEFAULT_QUEUE_LIMITS, type QueueLimits } from './queue-budget.ts';
import { DEFAULT_TWIN_LIMITS, type MessageLimits } from './rate.ts';
import { type FederationOptions, MAX_SESSIONS, MAX_SESSIONS_PER_TWIN } from './relay.ts';

export interface RelayFlags {
  readonly broker: string;
  readonly logLevel: string;
  readonly host: string;
  readonly port: number;
  readonly domains: readonly string[];
  readonly twinLimits: MessageLimits | 'none';
  readonly queueLimits: QueueLimits;
  readonly maxSessions: number;
  readonly maxSessionsPerTwin: number;
  readonly singleUseTokens: boolean;
  readonly federation: FederationOptions | undefined;
}

const MIB = 1024 * 1024;

const options = {
  broker: { type: 'string' },
  state: { type: 'string' },
  'log-level': { type: 'string', default: 'info' },
  listen: { type: 'string', default: '127.0.0.1:8380' },
  domain: { type: 'string', multiple: true, default: ['localhost'] },
  limit: { type: 'string' },
  'no-limit': { type: 'boolean', default: false },
  'queue-bytes': { type: 'string', default: `${DEFAULT_QUEUE_LIMITS.totalBytes}` },
  'max-sessions': { type: 'string', default: `${MAX_SESSIONS}` },
  'max-sessions-per-twin': { type: 'string', default: `${MAX_SESSIONS_PER_TWIN}` },
  'single-use-tokens': { type: 'boolean', default: false },
  federate: { type: 'boolean', default: false },
  'federation-port': { type: 'string', default: '443' },
  'federation-ca': { type: 'string' },
  'federation-route': { type: 'string', multiple: true, default: [] },
  'federation-allow': { type: 'string', multiple: true, default: [] },
  proxy: { type: 'string', multiple: true, default: [] },
} satisfies ParseArgsOptionsConfig;

export function readRelayFlags(args: readonly string[]): RelayFlags {
  // As on the network's relays `--limit` has two values; the second is all that may stand alone.
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
  const broker =
    values.broker ?? (values.state === undefined ? undefined : `unix://${join(values.state, 'redis.sock')}`);
  if (broker === undefined) throw new Error('relay: --broker URL or --state DIR is required');
  const [, host, port] = /^\[?([^\]]+)\]?:(\d{1,5})$/.exec(values.listen) ?? [];
  if (host === undefined || Number(port) > 65_535) throw new Error(`relay: --listen ${values.listen} is not HOST:PORT`);
  if (positionals.length !== (values.limit === undefined ? 0 : 1)) {
    throw new Error(`relay: --limit COUNT BYTES has two numbers, and nothing else stands without a flag`);
  }
  const twinLimits = values['no-limit']
    ? 'none'
    : values.limit === undefined
      ? DEFAULT_TWIN_LIMITS
      : { count: whole('limit', values.limit), bytes: whole('limit', positionals[0] ?? '') };
  const federation = {
    port: whole('federation-port', values['federation-port']),
    routes: new Map(values['federation-route'].map(route)),
    allowed: values['federation-allow'],
    proxies: values.proxy,
    ...(values['federation-ca'] === undefined ? {} : { ca: readFileSync(values['federation-ca'], 'utf8') }),
  };
  const totalBytes = whole('queue-bytes', values['queue-bytes']);
  return {
    broker,
    logLevel: values['log-level'],
    host,
    port: Number(port),
    domains: values.domain,
    twinLimits,
    queueLimits: { ...DEFAULT_QUEUE_LIMITS, totalBytes, twinBytes: Math.min(16 * MIB, totalBytes) },
    maxSessions: whole('max-sessions', values['max-sessions']),
    maxSessionsPerTwin: whole('max-sessions-per-twin', values['max-sessions-per-twin']),
    singleUseTokens: values['single-use-tokens'],
    federation: values.federate ? federation : undefined,
  };
}

function whole(flag: string, text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new Error(`relay: --${flag} ${text} is not a number above 0`);
  return Number(text);
}

function route(text: string): [string, URL] {
  const [, name = '', target = ''] = /^([^=]+)=(https?:\/\/.+)$/.exec(text) ?? [];
  const url = URL.parse(target);
  if (url === null) throw new Error(`relay: --federation-route ${text} is not NAME=URL`);
  return [name.toLowerCase(), url];
}
