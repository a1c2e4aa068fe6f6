/** The web services of a grid for a development chain: grid proxy, GraphQL, KYC status. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { RmbClient } from '../../../rmb/client.ts';
import type { Identity } from '../../../rmb/keys.ts';
import { parseRelayDomains, TwinCache } from '../../../rmb/twins.ts';
import { waitReady } from '../../../rmb/wasm-crypto.ts';
import { GridReader, text } from './grid.ts';
import { NodeQuestions } from './node-answers.ts';
import { WebServer } from './server.ts';

/** The services' own line, beside other programs of the same twin. */
const SESSION = 'web';
const TWIN_LIFETIME_MS = 5000;
const TWIN_DEADLINE_MS = 60_000;
const TWIN_POLL_MS = 100;

export interface WebOptions {
  /** WebSocket URL of the development chain. */
  readonly chain: string;
  /** Relays over which nodes are asked about themselves. */
  readonly relays: readonly string[];
  /** Who asks: an account with a twin on the chain. */
  readonly identity: Identity;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly log: Logger;
}

export interface RunningWeb {
  /** Base of the grid proxy; `/graphql` below it is the indexer's. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Waits up to a minute for the identity's twin on the chain. @throws Error where none appears, or the port is taken */
export async function startWeb({ chain, relays, identity, host, port, log }: WebOptions): Promise<RunningWeb> {
  await waitReady();
  const reader = new GridReader(chain);
  const closers: (() => Promise<void>)[] = [() => reader.close()];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const client = new RmbClient({
      relays,
      identity,
      twinId: await ownTwin(reader, identity),
      session: SESSION,
      twins: new TwinCache({ twin: (id) => findTwin(reader, id) }, { lifetimeMs: TWIN_LIFETIME_MS }),
      log,
    });
    closers.push(() => client.close());
    // Questions wait for a line; a relay that comes later is found.
    client.connect().catch((error: Error) => log.warn({ reason: error.message }, 'no relay is connected yet'));
    const server = new WebServer({ grid: () => reader.grid(), questions: new NodeQuestions(client) }, log);
    const actual = await server.listen(host, port);
    closers.push(() => server.close());
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${actual}`;
    log.info({ url }, 'web services of the development chain listen');
    return { url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A development node makes its people while it starts. */
async function ownTwin(reader: GridReader, { publicKey }: Identity): Promise<number> {
  const until = Date.now() + TWIN_DEADLINE_MS;
  for (;;) {
    const { twins } = await reader.grid();
    const own = [...twins.values()].find(({ account_id }) => Buffer.compare(account_id, publicKey) === 0);
    if (own !== undefined) return own.id;
    if (Date.now() > until) throw new Error('the key has no twin on the development chain');
    await sleep(TWIN_POLL_MS);
  }
}

async function findTwin(reader: GridReader, id: number) {
  const twin = (await reader.grid()).twins.get(id);
  if (twin === undefined) return undefined;
  const { account_id: account, relay, pk } = twin;
  return {
    id,
    account,
    relay: parseRelayDomains(text(relay)),
    encryptionKey: pk === null || pk.length === 0 ? null : pk,
  };
}
