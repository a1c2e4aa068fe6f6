/** Who gets what was billed: staking pool, foundation, farmer. */
import type { ContractValue, PaymentValue } from '../description/contracts.ts';
import { contracts } from '../description/contracts.ts';
import { EXISTENTIAL_DEPOSIT } from '../description/money.ts';
import { system } from '../description/system.ts';
import { tfgrid } from '../description/tfgrid.ts';
import type { Execution } from './context.ts';
import { nodeOf } from './grace.ts';
import { deposit } from './money.ts';

/** Nobody holds a key of this account. */
const STAKING_POOL = new TextEncoder().encode('gridnode development staking pool'.padEnd(32)).slice(0, 32);

/** The farmer's account, null for a name or where the farm's twin is gone. */
function farmerOf({ state }: Execution, contract: ContractValue): Uint8Array | null {
  const node = state.read(tfgrid.storage.Nodes, nodeOf(contract));
  const farm = node === null ? null : state.read(tfgrid.storage.Farms, node.farm_id);
  return farm === null ? null : (state.read(tfgrid.storage.Twins, farm.twin_id)?.account_id ?? null);
}

/** Pays out what a contract has in reserve; the payment state without it. */
export function distribute(
  context: Execution,
  contract: ContractValue,
  payer: Uint8Array,
  payment: PaymentValue,
): PaymentValue {
  const { standard_reserve: standard, additional_reserve: additional } = payment;
  if (standard + additional === 0n) return payment;
  const account = context.state.read(system.storage.Account, payer);
  account.data.reserved -= standard + additional;
  context.state.write(system.storage.Account, [payer], account);

  const foundation = context.state.read(tfgrid.storage.PricingPolicies, 1)?.foundation_account ?? STAKING_POOL;
  const farmer = farmerOf(context, contract);
  const forStaking = standard / 10n;
  const forFoundation = farmer === null ? standard - forStaking : (standard * 4n) / 10n;
  pay(context, STAKING_POOL, forStaking);
  pay(context, foundation, forFoundation);
  pay(context, farmer ?? foundation, standard - forStaking - forFoundation + additional);
  const standard_rewards = standard;
  const additional_rewards = additional;
  const contract_id = contract.contract_id;
  context.emit(contracts, 'RewardDistributed', { contract_id, standard_rewards, additional_rewards });
  return { ...payment, standard_reserve: 0n, additional_reserve: 0n, cycles: 0 };
}

/** A share too small to make an account is lost, as dust is. */
function pay(context: Execution, who: Uint8Array, amount: bigint): void {
  const isNew = context.state.read(system.storage.Account, who).providers === 0;
  if (amount > 0n && !(isNew && amount < EXISTENTIAL_DEPOSIT)) deposit(context, who, amount);
}
