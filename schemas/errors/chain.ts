/** Failures between the node and the chain. Numbers 7000 to 7099. */
import { z } from 'zod';
import { entry } from './table.ts';

const milliseconds = z.int().nonnegative();

export const chainErrors = {
  chain_dispatch: entry({
    number: 7000,
    stage: 'chain',
    fault: 'caller',
    retryable: false,
    details: z.object({
      /** `pallet.method` of the call. */
      call: z.string(),
      /** The pallet that refused, or the kind of a failure outside pallets, as `Token`. */
      pallet: z.string(),
      /** The error's name on the chain. */
      error: z.string(),
      docs: z.string(),
    }),
    message: (d) => `the chain refused ${d.call}: ${d.pallet}.${d.error}${d.docs === '' ? '' : ` (${d.docs})`}`,
  }),
  chain_rejected: entry({
    number: 7001,
    stage: 'chain',
    fault: 'caller',
    retryable: false,
    details: z.object({ call: z.string(), code: z.int(), reason: z.string() }),
    message: (d) => `the chain's transaction pool rejected ${d.call} with code ${d.code}: ${d.reason}`,
    remedy: 'check the balance and the key of the account, and that no other program signs with it',
  }),
  chain_lost: entry({
    number: 7002,
    stage: 'chain',
    fault: 'operator',
    retryable: true,
    details: z.object({ what: z.string(), endpoints: z.array(z.string()) }),
    message: (d) => `the chain cannot be reached: no answer about ${d.what} from ${d.endpoints.join(', ')}`,
    remedy: 'check that an endpoint can be reached; the node reconnects by itself',
  }),
  chain_deadline: entry({
    number: 7003,
    stage: 'chain',
    fault: 'operator',
    retryable: true,
    details: z.object({ what: z.string(), deadlineMs: milliseconds }),
    message: (d) => `the chain did not answer ${d.what} within ${d.deadlineMs} ms`,
    remedy: 'a transaction may still be included later: read the state before sending it again',
  }),
  chain_transaction_lost: entry({
    number: 7004,
    stage: 'chain',
    fault: 'operator',
    retryable: true,
    details: z.object({ call: z.string(), status: z.string() }),
    message: (d) => `the transaction ${d.call} left the pool without a block: ${d.status}`,
    remedy: 'read the state, then send it again',
  }),
  chain_not_found: entry({
    number: 7005,
    stage: 'chain',
    fault: 'caller',
    retryable: false,
    details: z.object({ what: z.string(), id: z.string() }),
    message: (d) => `${d.what} ${d.id} not found on the chain`,
  }),
  chain_account: entry({
    number: 7006,
    stage: 'chain',
    fault: 'operator',
    retryable: true,
    details: z.object({ address: z.string(), reason: z.string() }),
    message: (d) => `account ${d.address} cannot be used: ${d.reason}`,
    remedy: 'fund the account or fix the activation service',
  }),
  chain_key: entry({
    number: 7007,
    stage: 'chain',
    fault: 'operator',
    retryable: false,
    details: z.object({ reason: z.string() }),
    message: (d) => `the key cannot be used: ${d.reason}`,
    remedy: 'give the key with --key-file, --key-env or --key-fd',
  }),
  chain_registration: entry({
    number: 7008,
    stage: 'chain',
    fault: 'node',
    retryable: true,
    details: z.object({ missing: z.enum(['twin', 'node', 'farm']) }),
    // The node's daemons and clients know this sentence.
    message: () => 'registration is still in progress',
  }),
  chain_genesis: entry({
    number: 7009,
    stage: 'chain',
    fault: 'operator',
    retryable: false,
    details: z.object({ endpoint: z.string(), expected: z.string(), found: z.string() }),
    message: (d) => `${d.endpoint} serves another chain: genesis ${d.found}, expected ${d.expected}`,
    remedy: 'check the chain URL',
  }),
  chain_unsupported: entry({
    number: 7010,
    stage: 'chain',
    fault: 'caller',
    retryable: false,
    details: z.object({ what: z.string() }),
    message: (d) => `${d.what} is not served`,
  }),
  chain_twin: entry({
    number: 7011,
    stage: 'chain',
    fault: 'operator',
    retryable: true,
    details: z.object({ address: z.string() }),
    message: (d) => `account ${d.address} has no twin on this chain`,
    remedy:
      "fund the account and start with --create-twin, which accepts the grid's terms for it and pays the fees, or make the twin with another program",
  }),
  chain_relays: entry({
    number: 7012,
    stage: 'chain',
    fault: 'operator',
    retryable: false,
    details: z.object({ relays: z.array(z.string()), reason: z.string() }),
    message: (d) => `the chain takes no such relays for a twin (${d.relays.join(', ')}): ${d.reason}`,
    remedy: 'name at most 4 relays by host name, without port; --update-twin replace drops those of other programs',
  }),
  chain_behind: entry({
    number: 7013,
    stage: 'chain',
    fault: 'operator',
    retryable: true,
    details: z.object({
      /** Newest final block of the endpoint that answered. */
      block: z.int().nonnegative(),
      /** Newest final block known so far. */
      known: z.int().nonnegative(),
    }),
    message: (d) => `the chain's endpoint lags: its final block is ${d.block}, ${d.known} is known to be final`,
    remedy: 'wait until the endpoint has caught up, or name another',
  }),
  chain_restarted: entry({
    number: 7014,
    stage: 'chain',
    fault: 'operator',
    retryable: false,
    details: z.object({ endpoint: z.string(), expected: z.string(), found: z.string() }),
    message: (d) => `${d.endpoint} serves a chain that began anew: its block 1 is ${d.found}, it was ${d.expected}`,
    remedy: 'name an endpoint of the chain as it was, or start chaind again, which then begins anew with this one',
  }),
} as const;
