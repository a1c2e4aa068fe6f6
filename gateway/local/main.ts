/** A stand-alone peer with rmb-peer's local interface: one twin, its relays, a Redis. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { openLog } from '../../modules/zbus/process-log.ts';
import { finishStartup } from '../../modules/zbus/startup.ts';
import { isGridError } from '../../schemas/errors/index.ts';
import { ChainClient } from '../chain/client.ts';
import { redirectLibraryLog } from '../chain/library-log.ts';
import { compareTwin } from '../chain/own-twin.ts';
import { changedTwins } from '../chain/twin-events.ts';
import { ensureOwnTwin } from '../chain/twin-update.ts';
import { Door } from '../door/door.ts';
import { FileReplayLog } from '../door/replay-log.ts';
import type { Problem } from '../http/health.ts';
import { HttpServer } from '../http/server.ts';
import { followTwins } from '../rmb/bus-twins.ts';
import { PayloadCipher } from '../rmb/cipher.ts';
import { RmbClient } from '../rmb/client.ts';
import { readIdentity } from '../rmb/identity-source.ts';
import { SignatureVerifier } from '../rmb/signature.ts';
import { TwinCache } from '../rmb/twins.ts';
import { LocalFront } from './front.ts';
import { type PeerOptions, parsePeerOptions, usage } from './options.ts';

const STOP_DEADLINE_MS = 10_000;
const CONNECT_DEADLINE_MS = 30_000;
const REDIS_PATIENCE_MS = 5000;

process.title = 'gridnode-peer';
if (process.argv.includes('--help') || process.argv.includes('-h')) {
  process.stdout.write(`${usage}\n`);
  process.exit(0);
}

await run(process.argv.slice(2)).catch((error: unknown) => {
  const known = isGridError(error) || error instanceof RangeError || (error as Error).name === 'KeyError';
  const text = isGridError(error, 'chain_twin')
    ? `no twin found on this network with given key (${error.message})`
    : known || (error as { code?: string }).code !== undefined
      ? (error as Error).message
      : ((error as Error).stack ?? String(error));
  process.stderr.write(`gridnode peer: ${text}\n`);
  process.exit(1);
});

async function run(argv: readonly string[]): Promise<void> {
  const options = parsePeerOptions(argv);
  const identity = await readIdentity(options.identity);
  if (options.keyType !== undefined && options.keyType !== identity.keyType) {
    throw new RangeError(`--key-type is ${options.keyType}, the key is of type ${identity.keyType}`);
  }
  const log = openLog({ name: 'peer', level: options.logLevel });
  redirectLibraryLog((line) => log.debug({ library: line }, 'chain library'));
  const stopping = new AbortController();
  const { signal } = stopping;

  const chain = await ChainClient.connect({
    endpoints: options.chain,
    identity,
    ...(options.genesis === undefined ? {} : { genesis: options.genesis }),
  });
  const twin = await ownTwin(chain, options, identity.encryptionKey, (fields, text) => log.warn(fields, text));
  log.info({ twin: twin.id, account: chain.address }, 'twin');

  const twins = new TwinCache({ twin: (id) => chain.twin(id) });
  const verifier = new SignatureVerifier();
  const registry = new Registry();
  const state = join(options.state, `${twin.id}`);
  await mkdir(state, { recursive: true, mode: 0o700 });
  const replayLog = await FileReplayLog.open(join(state, 'replay.log'), { log, registry });
  const peer = new RmbClient({ relays: options.relays, identity, twinId: twin.id, twins, verifier, log });
  const cipher = new PayloadCipher(identity);
  const door = new Door({
    twinId: twin.id,
    ...{ twins, verifier, cipher, log, registry, replayLog },
    answer: (request, to, answer) => peer.answer(request, to, answer),
    requireEncryption: options.requireEncryption,
  });
  const { redis, commands } = options;
  const front = new LocalFront({
    ...{ redis, commands, peer, door, twins, verifier, cipher, log, registry },
    mayAsk: true,
  });
  if (commands.size === 0) log.info('no command is served; name those that have a service with --serve');
  peer.serve(front.handler);
  front.start();

  const http = new HttpServer({ metrics: () => registry.metrics(), log, problems: async () => problems() });
  function problems(): Problem[] {
    const found: Problem[] = [];
    if (!peer.connected) found.push({ part: 'relay', reason: 'no relay is connected' });
    if (!front.connected) found.push({ part: 'bus', reason: 'the local Redis is not connected' });
    return found;
  }
  if (options.http !== undefined) {
    collectDefaultMetrics({ register: registry });
    await http.listen(options.http);
  }
  const following = followTwins(
    (until) => changedTwins(chain, until),
    {
      forget: (id) => twins.forget(id),
      forgetAll: () => twins.forgetAll(),
      onInterrupted: (reason) => log.warn({ reason }, 'twin events interrupted'),
    },
    signal,
  );

  const stop = async (reason: string): Promise<void> => {
    if (signal.aborted) return;
    log.info({ signal: reason }, 'stopping');
    setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
    stopping.abort();
    await front.close();
    await http.close();
    await peer.close();
    await following;
    await verifier.close();
    await replayLog.close();
    await chain.close();
    process.exit(0);
  };
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      stop(name).catch((error: unknown) => {
        log.error({ err: error }, 'stop failed');
        process.exit(1);
      });
    });
  }
  await front.settled(REDIS_PATIENCE_MS, signal);
  await peer.connect({ deadlineMs: CONNECT_DEADLINE_MS, signal }).catch((error: Error) => {
    if (!signal.aborted) log.warn({ reason: error.message }, 'no relay yet, trying on');
  });
  log.info({ relays: options.relays, commands: [...commands] }, 'ready');
  finishStartup();
}

async function ownTwin(
  chain: ChainClient,
  options: PeerOptions,
  encryptionKey: Uint8Array,
  warn: (fields: object, text: string) => void,
): Promise<{ readonly id: number }> {
  const own = { relays: options.relayHosts, encryptionKey };
  const { create, update } = options;
  const { twin } = await ensureOwnTwin(chain, { ...own, create, update });
  const { missing, extra, key } = compareTwin(twin, own);
  if (missing.length > 0 || key !== 'same') {
    warn(
      { missingRelays: missing, otherRelays: extra, encryptionKey: key },
      'the chain does not name what this peer has: others may not reach it or encrypt to it; --update-twin union mends it for a fee',
    );
  }
  return twin;
}
