/**
 * The gateway: a relay client that lets verified requests in and answers them
 * from the node's modules. Flags: `--relay URL[,URL]`, one of `--key-file FILE`,
 * `--key-env NAME`, `--key-fd NUMBER`, `--relay-domain NAME[,NAME]` (where the chain
 * should name other hosts than the URLs do), `--update-twin union|replace`,
 * `--create-twin true`, `--require-encryption true`, `--limits FILE` (docs/door.md), `--admin-twins ID[,ID]` (may call
 * `zos.debug.*`), `--http HOST:PORT` (numbers and health; off without it).
 * Local programs in the style of rmb-peer (docs/local-services.md): `--local-redis URL`,
 * `--local-commands NAME[,NAME]`, `--local-send true`, `--local-on-bus true`.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Histogram } from 'prom-client';
import type { NodeFacts } from '../modules/api-gateway/interface.ts';
import { chain } from '../modules/api-gateway/interface.ts';
import { flist } from '../modules/flistd/interface.ts';
import { network } from '../modules/networkd/interface.ts';
import { nodeMachine, performanceMonitor } from '../modules/noded/interface.ts';
import { storage } from '../modules/storaged/interface.ts';
import { vmd } from '../modules/vmd/interface.ts';
import { defineDaemon, runDaemon } from '../modules/zbus/daemon.ts';
import type { Client } from '../modules/zbus/definition.ts';
import { span } from '../modules/zbus/trace.ts';
import type { Infer } from '../modules/zbus/wire.ts';
import { planner, provision, statistics } from '../provision/interface.ts';
import { checkRelays, relayHosts, type UpdateMode, updateModes } from './chain/own-twin.ts';
import { addressFromAccount } from './chain/ss58.ts';
import { TwinWatch } from './chain/twin-watch.ts';
import { boundsOf } from './commands/apart.ts';
import { COMMAND_DEADLINE_MS, Dispatcher } from './commands/dispatch.ts';
import { handlers, isOwn } from './commands/index.ts';
import { Door } from './door/door.ts';
import { readLimits } from './door/limits-file.ts';
import { publishedLimits } from './door/published-limits.ts';
import { FileReplayLog } from './door/replay-log.ts';
import { Health } from './http/health.ts';
import { NodeMetrics } from './http/node-metrics.ts';
import { HttpServer, parseListenAddress } from './http/server.ts';
import { LocalFront } from './local/front.ts';
import { localOptions, readLocalOptions } from './local/options.ts';
import { busTwins, followTwins } from './rmb/bus-twins.ts';
import { PayloadCipher } from './rmb/cipher.ts';
import { RmbClient } from './rmb/client.ts';
import { registerClientMetrics } from './rmb/client-metrics.ts';
import { identityOptions, readIdentity, refuseSecretArguments } from './rmb/identity-source.ts';
import { SignatureVerifier } from './rmb/signature.ts';
import { TwinCache } from './rmb/twins.ts';

const MODULE = 'rmb-gateway';
const REGISTRATION_POLL_MS = 250;
const CONNECT_DEADLINE_MS = 30_000;
/** Requests that are being refused beside those that run, and their bytes. */
const REFUSING = 256;
const REFUSING_BYTES = 16 * 1024 * 1024;
/** What the chain said of a twin is believed so long; its events end it sooner. */
const TWIN_CACHE_MS = 300_000;

export const gateway = defineDaemon({
  name: 'gateway',
  module: MODULE,
  options: [
    'relay',
    'relay-domain',
    ...identityOptions,
    'update-twin',
    'create-twin',
    'require-encryption',
    'limits',
    'admin-twins',
    'http',
    'traits',
    'broker',
    ...localOptions,
  ],
  start: async ({ bus, log, metrics, root, state, options, signal }) => {
    if (options.relay === undefined) throw new Error('gateway: --relay URL is required');
    const httpAddress = options.http === undefined ? undefined : parseListenAddress(options.http);
    const relays = options.relay.split(',');
    const twinWishes = readTwinWishes(options, relays);
    const limits = await readLimits(options.limits);
    const admins = readAdmins(options['admin-twins']);
    const requireEncryption = options['require-encryption'] === 'true';
    const broker = options.broker ?? `unix://${join(state, 'redis.sock')}`;
    const local = readLocalOptions(options, { broker, answers: isOwn });
    const identity = await readIdentity(options);

    const { registry } = metrics;
    let client: RmbClient | undefined;
    const chainClient = bus.of(chain);
    const ownTwin = new TwinWatch({
      chain: chainClient,
      own: { relays: twinWishes.relays, encryptionKey: identity.encryptionKey },
      address: addressFromAccount(identity.publicKey),
      create: twinWishes.create,
      update: twinWishes.update,
      log,
      registry,
    });
    const watching = ownTwin.run(signal);
    const health = new Health({
      bus,
      module: MODULE,
      relayConnected: () => client?.connected,
      twinProblems: () => ownTwin.problems(),
    });
    const numbers = new NodeMetrics({ bus, module: MODULE, registries: [registry] });
    const http = new HttpServer({ metrics: () => numbers.text(), problems: () => health.problems(), log });
    if (httpAddress !== undefined) {
      // Requests are answered without it, so a port that is taken closes no door.
      await http.listen(httpAddress).then(
        (port) => log.info({ ...httpAddress, port }, 'metrics and health are served'),
        (error: Error) => log.error({ ...httpAddress, reason: error.message }, 'metrics and health are not served'),
      );
    }
    const facts = await untilRegistered(chainClient, signal, (reason) =>
      log.info({ reason }, 'waiting for the node to be on the chain'),
    );
    ownTwin.changed(facts.TwinID);
    log.info({ node: facts.NodeID, twin: facts.TwinID, farm: facts.FarmID }, 'the node is on the chain');

    const seconds = new Histogram({
      name: 'gateway_command_seconds',
      help: 'time to answer, by command and outcome',
      labelNames: ['command', 'outcome'],
      registers: [registry],
    });
    const twins = new TwinCache(busTwins(chainClient), { lifetimeMs: TWIN_CACHE_MS });
    const verifier = new SignatureVerifier();
    const replayLog = await FileReplayLog.open(join(root, 'replay.log'), {
      log,
      registry,
      replayEntries: limits.replayEntries,
    });
    const peer = new RmbClient({
      // More than run at once: the door can say no before the relays have to wait.
      maxServing: limits.concurrency + REFUSING,
      maxServingBytes: limits.bytesInAll + REFUSING_BYTES,
      relays,
      identity,
      twinId: facts.TwinID,
      twins,
      verifier,
      log,
    });
    client = peer;
    registerClientMetrics(peer, registry);
    const cipher = new PayloadCipher(identity);
    const door = new Door({
      twinId: facts.TwinID,
      twins,
      verifier,
      cipher,
      answer: (request, twin, answer) => peer.answer(request, twin, answer),
      limits,
      requireEncryption,
      log,
      registry,
      replayLog,
    });
    const dispatcher = new Dispatcher({
      handlers,
      node: {
        chain: chainClient,
        storage: bus.of(storage),
        network: bus.of(network),
        flist: bus.of(flist),
        vmd: bus.of(vmd),
        provision: bus.of(provision),
        statistics: bus.of(statistics),
        planner: bus.of(planner),
        machine: bus.of(nodeMachine),
        performance: bus.of(performanceMonitor),
        status: (module, asking) => bus.status(module, asking),
        traits: options.traits?.split(',') ?? [],
      },
      admins: () => admins,
      bounds: boundsOf(limits),
      log,
      limits: () =>
        publishedLimits(limits, {
          requireEncryption,
          twinCacheMs: TWIN_CACHE_MS,
          commandDeadlineMs: COMMAND_DEADLINE_MS,
          nowSeconds: Math.floor(Date.now() / 1000),
        }),
      onRefused: (check, refusal) => door.count(check, refusal),
      onDone: (command, ok, took) => seconds.observe({ command, outcome: ok ? 'ok' : 'error' }, took),
    });
    const own = door.handler(({ command, payload, twin }) =>
      span(`command ${command}`, { 'gridnode.module': MODULE }, () =>
        dispatcher.answer({ command, payload, twin: twin.id }),
      ),
    );
    const front =
      local === undefined
        ? undefined
        : new LocalFront({ ...local, peer, door, twins, verifier, cipher, log, registry });
    peer.serve(front?.before(own) ?? own);
    front?.start();
    const following = followTwins(
      (until) => bus.stream(chain, 'Twins', { signal: until }),
      {
        forget: (id) => {
          twins.forget(id);
          ownTwin.changed(id);
        },
        forgetAll: () => {
          twins.forgetAll();
          ownTwin.changed(0);
        },
        onInterrupted: (reason) => log.warn({ reason }, 'twin events interrupted'),
      },
      signal,
    );
    await peer.connect({ deadlineMs: CONNECT_DEADLINE_MS, signal }).catch((error: Error) => {
      if (signal.aborted) throw error;
      // It goes on trying; ending the process would only begin the same again, and /health tells meanwhile.
      log.error({ reason: error.message }, 'no relay is connected yet');
    });
    return async () => {
      await http.close();
      await front?.close();
      await peer.close();
      await verifier.close();
      await replayLog.close();
      await following;
      await watching;
    };
  },
});

if (import.meta.main) {
  refuseSecretArguments(process.argv.slice(2));
  await runDaemon(gateway);
}

/** What the operator wants the chain to say of this twin. @throws Error, GridError `chain_relays` for what it cannot say */
function readTwinWishes(
  options: { readonly 'relay-domain'?: string; readonly 'update-twin'?: string; readonly 'create-twin'?: string },
  urls: readonly string[],
): { readonly relays: readonly string[]; readonly create: boolean; readonly update: UpdateMode } {
  const relays = options['relay-domain']?.toLowerCase().split(',') ?? relayHosts(urls);
  const wanted = options['update-twin'] ?? 'never';
  const update = updateModes.find((mode) => mode === wanted);
  if (update === undefined) throw new Error(`gateway: --update-twin ${wanted}: use ${updateModes.join(', ')}`);
  const create = options['create-twin'] === 'true';
  if (create || update !== 'never') checkRelays(relays);
  return { relays, create, update };
}

/** Twins that may call `zos.debug.*`, as `5,17`. @throws Error for what is no twin id */
function readAdmins(text: string | undefined): ReadonlySet<number> {
  const ids = text === undefined ? [] : text.split(',').map(Number);
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 1 || id > 0xffffffff);
  if (wrong !== undefined) throw new Error(`gateway: --admin-twins ${text}: twin ids are from 1 to 4294967295`);
  return new Set(ids);
}

/** The node's own numbers; asks until the chain has them, as a new node is registered while it starts. */
async function untilRegistered(
  client: Client<typeof chain>,
  signal: AbortSignal,
  onWait: (reason: string) => void,
): Promise<Infer<typeof NodeFacts>> {
  let last = '';
  for (;;) {
    try {
      return await client.Node({}, { signal, deadlineMs: 10_000 });
    } catch (error) {
      signal.throwIfAborted();
      const reason = (error as Error).message;
      if (reason !== last) onWait(reason);
      last = reason;
    }
    await sleep(REGISTRATION_POLL_MS, undefined, { signal });
  }
}
