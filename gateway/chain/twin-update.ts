/** Makes the identity's twin, or brings it up to date, as far as the operator allows. */
import { GridError } from '../../schemas/errors/index.ts';
import { fundsOf } from './account.ts';
import type { ChainClient, Twin } from './client.ts';
import type { CallLimits } from './failures.ts';
import { checkRelays, planUpdate, type TwinText, type UpdateMode } from './own-twin.ts';

export interface TwinWishes extends TwinText {
  /** Make the twin where there is none: accepts the grid's terms for the account and pays two fees. */
  readonly create: boolean;
  readonly update: UpdateMode;
}

export interface EnsuredTwin {
  readonly twin: Pick<Twin, 'id' | 'account' | 'relayText'> & TwinText;
  readonly done: 'nothing' | 'created' | 'updated';
  /** Before an update. */
  readonly before?: TwinText;
}

/**
 * The twin of the client's identity. One transaction at most where it exists, none where nothing differs.
 * @throws GridError `chain_twin` where it is absent and may not be made, `chain_account` for an empty
 *   account, `chain_relays` for names or a number of relays that the chain does not take
 */
export async function ensureOwnTwin(
  client: ChainClient,
  wishes: TwinWishes,
  limits: CallLimits = {},
): Promise<EnsuredTwin> {
  const found = await client.twinByAccount(client.publicKey, limits);
  if (found === undefined) return { twin: await createOwn(client, wishes, limits), done: 'created' };
  const { id, account, relay: relays, relayText, encryptionKey } = found;
  const before = { id, account, relays, relayText, encryptionKey };
  const plan = planUpdate(before, wishes, wishes.update);
  if (plan === undefined) return { twin: before, done: 'nothing' };
  checkRelays(plan.relays);
  await client.updateTwin({ relay: plan.relays, encryptionKey: plan.encryptionKey }, limits);
  return { twin: { ...before, ...plan, relayText: plan.relays.join('_') }, done: 'updated', before };
}

async function createOwn(client: ChainClient, wishes: TwinWishes, limits: CallLimits): Promise<EnsuredTwin['twin']> {
  const { address, publicKey } = client;
  if (!wishes.create) throw new GridError('chain_twin', { address });
  checkRelays(wishes.relays);
  if ((await fundsOf(client, limits)) === 'empty') {
    throw new GridError('chain_account', { address, reason: 'it is empty, and a twin is paid for by its account' });
  }
  if (!(await client.hasAcceptedTerms(publicKey, limits))) await client.acceptTerms(undefined, undefined, limits);
  const { relays, encryptionKey } = wishes;
  const id = await client.createTwin({ relay: relays, encryptionKey }, limits);
  return { id, account: publicKey, relays, relayText: relays.join('_'), encryptionKey };
}
