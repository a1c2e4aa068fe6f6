/** An account that can pay: activated by a service when it is empty, with the terms accepted. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GridError } from '../../schemas/errors/index.ts';
import type { Account, ChainClient } from './client.ts';
import type { CallLimits } from './failures.ts';

/** At most this much, in uTFT, counts as empty. */
const EMPTY_BELOW = 10_000n;
const ACTIVATION_MS = 10_000;
const CREDIT_MS = 10_000;
const LOOK_EVERY_MS = 500;
/** The account exists already. */
const CONFLICT = 409;

/** Whether the client's account can pay for anything. */
export async function fundsOf(client: ChainClient, limits: CallLimits = {}): Promise<'some' | 'empty'> {
  return (await client.account(client.publicKey, limits)).data.free > EMPTY_BELOW ? 'some' : 'empty';
}

async function activate(url: string, address: string): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ substrateAccountID: address }),
    redirect: 'error',
    signal: AbortSignal.timeout(ACTIVATION_MS),
  });
  await response.body?.cancel();
  if (!response.ok && response.status !== CONFLICT) throw new Error(`${url} answered ${response.status}`);
}

async function credited(client: ChainClient): Promise<boolean> {
  const giveUpAt = Date.now() + CREDIT_MS;
  while (Date.now() < giveUpAt) {
    if ((await fundsOf(client)) === 'some') return true;
    await sleep(LOOK_EVERY_MS);
  }
  return false;
}

/** Tries the activation services in order. @throws GridError `chain_account` when none helped */
async function fund(client: ChainClient, activationUrls: readonly string[]): Promise<void> {
  const reasons: string[] = [];
  for (const url of activationUrls) {
    try {
      await activate(url, client.address);
      if (await credited(client)) return;
      reasons.push(`${url} took the request but no funds came within ${CREDIT_MS} ms`);
    } catch (error) {
      reasons.push((error as Error).message);
    }
  }
  const reason = reasons.length === 0 ? 'it is empty and no activation service is set' : reasons.join('; ');
  throw new GridError('chain_account', { address: client.address, reason });
}

export async function ensureAccount(
  client: ChainClient,
  activationUrls: readonly string[],
  termsLink: string,
  termsHash: string,
): Promise<Account> {
  if ((await fundsOf(client)) === 'empty') await fund(client, activationUrls);
  if (!(await client.hasAcceptedTerms(client.publicKey))) await client.acceptTerms(termsLink, termsHash);
  return await client.account(client.publicKey);
}
