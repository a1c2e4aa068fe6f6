/** Which request gets which answer. */
import { z } from 'zod';
import { accountFromAddress } from '../../ss58.ts';
import { runQuery } from './graphql.ts';
import type { Grid } from './grid.ts';
import { BadQuery, type Listing, list, type Query } from './listing.ts';
import type { NodeQuestions } from './node-answers.ts';
import { listed, nested, nodeListing, nodeRows, oneNode } from './nodes.ts';
import {
  addressListing,
  addressRows,
  contractListing,
  contractRows,
  farmListing,
  farmRows,
  stats,
  twinListing,
  twinRows,
} from './records.ts';

export interface Reply {
  readonly status: number;
  readonly body: unknown;
  /** Rows in all, for clients that asked for it. */
  readonly count?: number | undefined;
}

export interface Asked {
  readonly method: string;
  /** Host of an absolute URL, as clients write it to a proxy; empty for one that came here by itself. */
  readonly host: string;
  readonly path: string;
  readonly query: Query;
  readonly body: string;
}

export interface Services {
  readonly grid: () => Promise<Grid>;
  readonly questions: NodeQuestions;
}

type Route = (services: Services, asked: Asked, id: number) => Promise<Reply>;

const VERSION = 'gridnode development';
const ok = (body: unknown): Reply => ({ status: 200, body });
const refused = (status: number, error: string): Reply => ({ status, body: { error } });

function page<Row>(rows: readonly Row[], { query }: Asked, listing: Listing<Row>, show: (row: Row) => unknown): Reply {
  const { rows: chosen, count } = list(rows, query, listing);
  return { status: 200, body: chosen.map(show), count };
}

const asItIs = <T>(row: T): T => row;

const nodeList: Route = async ({ grid, questions }, asked) =>
  page(await nodeRows(await grid(), questions), asked, nodeListing, listed);

const node: Route = async ({ grid, questions }, _asked, id) => {
  const row = await oneNode(await grid(), id, questions);
  return row === undefined ? refused(404, `node ${id} is not found`) : ok(nested(row));
};

const nodeStatus: Route = async ({ grid, questions }, _asked, id) => {
  const row = await oneNode(await grid(), id, questions);
  return row === undefined ? refused(404, `node ${id} is not found`) : ok({ status: row.json.status });
};

const nodeStatistics: Route = async ({ grid, questions }, _asked, id) => {
  const row = await oneNode(await grid(), id, questions);
  if (row === undefined) return refused(404, `node ${id} is not found`);
  return row.answers === undefined ? refused(502, `node ${id} does not answer`) : ok(row.answers.statistics);
};

const nodeGpus: Route = async ({ grid, questions }, _asked, id) => {
  const row = await oneNode(await grid(), id, questions);
  return row === undefined ? refused(404, `node ${id} is not found`) : ok(row.json.gpus);
};

const farmList: Route = async ({ grid, questions }, asked) => {
  const now = await grid();
  return page(farmRows(now, await nodeRows(now, questions)), asked, farmListing, ({ json }) => json);
};

const contract: Route = async ({ grid }, _asked, id) => {
  const found = contractRows(await grid()).find(({ contract_id }) => contract_id === id);
  return found === undefined ? refused(404, `contract ${id} is not found`) : ok(found);
};

/** Bills are events, which nobody collects here: none are listed, also where the chain was told to bill. */
const bills: Route = async ({ grid }, asked, id) => {
  const found = contractRows(await grid()).some(({ contract_id }) => contract_id === id);
  const count = asked.query.get('ret_count') === 'true' ? 0 : undefined;
  return found ? { status: 200, body: [], count } : refused(404, `contract ${id} is not found`);
};

/** What was spent is the sum of bills. */
const consumption: Route = async ({ grid }, _asked, id) =>
  (await grid()).twins.has(id)
    ? ok({ last_hour_consumption: 0, overall_consumption: 0 })
    : refused(404, `twin ${id} is not found`);

const counts: Route = async ({ grid, questions }, { query }) => {
  const now = await grid();
  const statuses = query.getAll('status').flatMap((value) => value.split(',').filter(Boolean));
  return ok(stats(now, await nodeRows(now, questions), statuses));
};

const Question = z.object({
  query: z.string().max(64 * 1024),
  variables: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).nullish(),
});

const graphql: Route = async ({ grid }, { method, body }) => {
  if (method !== 'POST') return refused(405, 'GraphQL is asked by POST');
  const question = Question.safeParse(readJson(body));
  if (!question.success) return refused(400, `not a GraphQL question: ${question.error.issues[0]?.message}`);
  return ok(await runQuery(await grid(), question.data.query, question.data.variables ?? {}));
};

/** A development chain checks nobody's papers: whoever has a twin on it counts as verified. */
const kycStatus: Route = async ({ grid }, { query }) => {
  const { twins } = await grid();
  const byId = query.get('twin_id');
  const twin = byId === null ? twinOfAccount(twins, query.get('client_id') ?? '') : twins.get(Number(byId));
  if (twin === undefined) return refused(404, 'no twin of this account is on the development chain');
  return ok({ result: { idenfyRef: '', clientId: `${twin.id}`, status: 'VERIFIED' } });
};

function twinOfAccount(twins: Grid['twins'], address: string): { readonly id: number } | undefined {
  let account: Uint8Array;
  try {
    account = accountFromAddress(address);
  } catch {
    throw new BadQuery('client_id is not an SS58 address of a 32-byte account');
  }
  return [...twins.values()].find(({ account_id }) => Buffer.compare(account_id, account) === 0);
}

const routes: readonly (readonly [pattern: RegExp, route: Route])[] = [
  [/^\/(ping)?$/, async () => ok({ ping: 'pong' })],
  [/^\/version$/, async () => ok({ version: VERSION })],
  [/^\/health$/, async ({ grid }) => ok({ total_state_ok: (await grid()).nowMs > 0, db_conn: 'ok', rmb_conn: 'ok' })],
  [/^\/(?:nodes|gateways)$/, nodeList],
  [/^\/(?:nodes|gateways)\/(\d+)$/, node],
  [/^\/nodes\/(\d+)\/status$/, nodeStatus],
  [/^\/nodes\/(\d+)\/statistics$/, nodeStatistics],
  [/^\/nodes\/(\d+)\/gpu$/, nodeGpus],
  [/^\/farms$/, farmList],
  [/^\/public_ips$/, async ({ grid }, asked) => page(addressRows(await grid()), asked, addressListing, asItIs)],
  [/^\/twins$/, async ({ grid }, asked) => page(twinRows(await grid()), asked, twinListing, asItIs)],
  [/^\/twins\/(\d+)\/consumption$/, consumption],
  [/^\/contracts$/, async ({ grid }, asked) => page(contractRows(await grid()), asked, contractListing, asItIs)],
  [/^\/contracts\/(\d+)$/, contract],
  [/^\/contracts\/(\d+)\/bills$/, bills],
  [/^\/stats$/, counts],
  [/^\/graphql$/, graphql],
  [/^\/api\/v1\/status$/, kycStatus],
  [/^\/api\/v1\/health$/, async () => ok({ result: { status: 'Healthy' } })],
];

/** Hosts whose questions are answered when this service is named as a proxy. */
const KYC_HOST = /^kyc\.([a-z0-9-]+\.)*(grid\.tf|threefold\.me)$/;

/** The answer; what was asked wrongly is answered with 400, what is not served with 404. */
export async function answer(services: Services, asked: Asked): Promise<Reply> {
  if (asked.host !== '' && !KYC_HOST.test(asked.host)) {
    return refused(403, `this is a proxy for kyc.*.grid.tf alone, not for ${asked.host}`);
  }
  for (const [pattern, route] of routes) {
    const found = pattern.exec(asked.path);
    if (found === null) continue;
    if (asked.method !== 'GET' && route !== graphql) return refused(405, `${asked.path} is asked by GET`);
    try {
      return await route(services, asked, Number(found[1]));
    } catch (error) {
      if (error instanceof BadQuery) return refused(400, error.message);
      throw error;
    }
  }
  return refused(404, `${asked.path} is not served by a development node`);
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
