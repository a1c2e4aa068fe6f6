/** Bills: what a contract owes since its last one, from its owner's balance, and what follows when that is short. */
import { type ContractValue, contracts, type PaymentValue } from '../description/contracts.ts';
import { EXISTENTIAL_DEPOSIT, tftPrice } from '../description/money.ts';
import { system } from '../description/system.ts';
import { tfgrid } from '../description/tfgrid.ts';
import type { Execution } from './context.ts';
import { removeContract } from './contract-end.ts';
import { addressesCost, type DiscountLevel, discounted, extraFeeCost, inTft, nameCost, resourcesCost } from './cost.ts';
import { dependents, nodeOf, setGrace } from './grace.ts';
import { distribute } from './rewards.ts';

const { storage } = contracts;
const POLICY = 1;
/** Bills after which what they reserved is paid out. */
const CYCLES_TO_PAYOUT = 24;

interface Due {
  readonly standard: bigint;
  /** The extra fee of a dedicated node. */
  readonly additional: bigint;
  readonly level: DiscountLevel;
}

const NOTHING: Due = { standard: 0n, additional: 0n, level: 'None' };
const owed = (payment: PaymentValue): bigint => payment.standard_overdraft + payment.additional_overdraft;
const secondsOf = (context: Execution): bigint => BigInt(Math.floor(context.nowMs / 1000));

/** Bills every contract whose turn it is. */
export function billDue(context: Execution): void {
  const { everySeconds } = context.billing;
  if (everySeconds === 0) return;
  const latest = secondsOf(context) - BigInt(everySeconds);
  billAll(context, (payment) => payment.last_updated_seconds <= latest);
}

/** Bills every contract as if `seconds` had passed besides. */
export function billAllAfter(context: Execution, seconds: number): void {
  billAll(context, (payment, contract) => {
    backdate(context, contract.contract_id, payment, seconds);
    return true;
  });
}

/** Bills one contract as if `seconds` had passed besides. */
export function billAfter(context: Execution, contract: ContractValue, seconds: number): void {
  const payment = context.state.read(storage.ContractPaymentState, contract.contract_id);
  if (payment !== null) backdate(context, contract.contract_id, payment, seconds);
  bill(context, contract);
}

function backdate(context: Execution, id: bigint, payment: PaymentValue, seconds: number): void {
  const earlier = payment.last_updated_seconds - BigInt(seconds);
  const last_updated_seconds = earlier > 0n ? earlier : 0n;
  context.state.write(storage.ContractPaymentState, [id], { ...payment, last_updated_seconds });
}

function billAll(context: Execution, isDue: (payment: PaymentValue, contract: ContractValue) => boolean): void {
  const newest = context.state.read(storage.ContractID);
  for (let id = 1n; id <= newest; id += 1n) {
    const payment = context.state.read(storage.ContractPaymentState, id);
    const contract = payment === null ? null : context.state.read(storage.Contracts, id);
    if (payment !== null && contract !== null && isDue(payment, contract)) bill(context, contract);
  }
}

/** Whether the end of a contract needs a bill of its own. */
export function hasAccount(context: Execution, id: bigint): boolean {
  const payment = context.state.read(storage.ContractPaymentState, id);
  if (payment === null) return false;
  return context.billing.everySeconds > 0 || payment.standard_reserve + payment.additional_reserve + owed(payment) > 0n;
}

/** Bills a contract that ends, pays out, and removes it. */
export function billAndEnd(context: Execution, contract: ContractValue, cause: 'CanceledByUser' | 'OutOfFunds'): void {
  bill(context, { ...contract, state: { kind: 'Deleted', value: [{ kind: cause }] } });
}

function bill(context: Execution, given: ContractValue): void {
  const id = given.contract_id;
  const payer = context.state.read(tfgrid.storage.Twins, given.twin_id)?.account_id;
  const payment = context.state.read(storage.ContractPaymentState, id);
  if (payer === undefined || payment === null) return;
  const seconds = Math.max(0, Number(secondsOf(context) - payment.last_updated_seconds));
  const isWaived = standsBy(context, given);
  if (isWaived) context.emit(contracts, 'RentWaived', { contract_id: id });
  if (isWaived && given.state.kind === 'Created') return;

  const available = reservable(context, payer);
  const due = isWaived || seconds === 0 ? NOTHING : dueOf(context, given, seconds, available);
  const total = due.standard + due.additional + owed(payment);
  if (total === 0n && given.state.kind === 'Created') return;
  const isCovered = available >= total;
  const contract = nextState(context, given, isCovered);
  const paid = isCovered
    ? reserveAll(context, { contract, payer, payment, due, total })
    : reserveSome(context, { contract, payer, payment, due, available });
  settle(context, contract, payer, { ...paid, cycles: paid.cycles + 1, last_updated_seconds: secondsOf(context) });
}

/** A rented node that stands by costs nothing. */
function standsBy(context: Execution, contract: ContractValue): boolean {
  if (contract.contract_type.kind !== 'RentContract') return false;
  const power = context.state.read(tfgrid.storage.NodePower, nodeOf(contract));
  return power.state.kind === 'Down' && power.target.kind === 'Down';
}

/** uTFT that an account can set aside without ending. */
function reservable(context: Execution, who: Uint8Array): bigint {
  const { free } = context.state.read(system.storage.Account, who).data;
  return free > EXISTENTIAL_DEPOSIT ? free - EXISTENTIAL_DEPOSIT : 0n;
}

function tftPriceOf({ state }: Execution): number {
  const [average, least, most] = (['AverageTftPrice', 'MinTftPrice', 'MaxTftPrice'] as const).map((name) =>
    state.read(tftPrice.storage[name]),
  ) as [number, number, number];
  return Math.max(1, Math.min(Math.max(average, least), most));
}

function dueOf(context: Execution, contract: ContractValue, seconds: number, balance: bigint): Due {
  const { state } = context;
  const policy = state.read(tfgrid.storage.PricingPolicies, POLICY);
  const type = contract.contract_type;
  const node = state.read(tfgrid.storage.Nodes, nodeOf(contract));
  if (policy === null || (node === null && type.kind !== 'NameContract')) return NOTHING;
  const id = contract.contract_id;
  let units = 0;
  let additional = 0;
  if (type.kind === 'NameContract') units = nameCost(policy, seconds);
  else if (type.kind === 'NodeContract') {
    const { node_id, public_ips } = type.value[0];
    // Who rents the node has paid for its resources.
    const isRented = state.read(storage.ActiveRentContractForNode, node_id) !== null;
    const { used } = state.read(storage.NodeContractResources, id);
    units = isRented ? 0 : resourcesCost(policy, used, seconds);
    units += addressesCost(policy, public_ips, seconds);
    units += Number(state.read(storage.ContractBillingInformationByID, id).amount_unbilled);
  } else if (node !== null) {
    const share = (100 - policy.discount_for_dedication_nodes) / 100;
    units = Math.floor(resourcesCost(policy, node.resources, seconds) * share);
    additional = extraFeeCost(state.read(storage.DedicatedNodesExtraFee, node.id), seconds);
  }
  const price = tftPriceOf(context);
  const isCertified = node?.certification.kind === 'Certified';
  const { due, level } = discounted(inTft(units, price), seconds, balance, isCertified);
  return { standard: due, additional: inTft(additional, price), level };
}

/** Starts, ends or ends by deletion the grace period, as the balance allows. */
function nextState(context: Execution, contract: ContractValue, isCovered: boolean): ContractValue {
  const { contract_id: id, state } = contract;
  if (state.kind === 'Created' && !isCovered) setGrace(context, contract, true);
  if (state.kind === 'GracePeriod') {
    const blocks = BigInt(context.block) - state.value[0];
    if (isCovered && !isRentInGrace(context, contract)) setGrace(context, contract, false);
    else if (blocks >= BigInt(context.billing.graceBlocks)) {
      context.emit(contracts, 'ContractGracePeriodElapsed', { contract_id: id, grace_period: blocks });
      return { ...contract, state: { kind: 'Deleted', value: [{ kind: 'OutOfFunds' }] } };
    }
  }
  return state.kind === 'Deleted' ? contract : (context.state.read(storage.Contracts, id) ?? contract);
}

function isRentInGrace(context: Execution, contract: ContractValue): boolean {
  if (contract.contract_type.kind !== 'NodeContract') return false;
  const rent = context.state.read(storage.ActiveRentContractForNode, nodeOf(contract));
  return rent !== null && context.state.read(storage.Contracts, rent)?.state.kind === 'GracePeriod';
}

interface Turn {
  readonly contract: ContractValue;
  readonly payer: Uint8Array;
  readonly payment: PaymentValue;
  readonly due: Due;
}

function reserve(context: Execution, who: Uint8Array, amount: bigint): void {
  const account = context.state.read(system.storage.Account, who);
  account.data.free -= amount;
  account.data.reserved += amount;
  context.state.write(system.storage.Account, [who], account);
}

function reserveAll(context: Execution, { contract, payer, payment, due, total }: Turn & { total: bigint }) {
  reserve(context, payer, total);
  const bill = { contract_id: contract.contract_id, timestamp: secondsOf(context) };
  context.emit(contracts, 'ContractBilled', [{ ...bill, discount_level: { kind: due.level }, amount_billed: total }]);
  return {
    ...payment,
    standard_reserve: payment.standard_reserve + due.standard + payment.standard_overdraft,
    additional_reserve: payment.additional_reserve + due.additional + payment.additional_overdraft,
    standard_overdraft: 0n,
    additional_overdraft: 0n,
  };
}

function reserveSome(context: Execution, { contract, payer, payment, due, available }: Turn & { available: bigint }) {
  reserve(context, payer, available);
  const standard = payment.standard_overdraft + due.standard;
  const additional = payment.additional_overdraft + due.additional;
  const forStandard = available < standard ? available : standard;
  const missing = due.standard + due.additional - available;
  context.emit(contracts, 'ContractPaymentOverdrawn', {
    contract_id: contract.contract_id,
    timestamp: secondsOf(context),
    partially_billed_amount: available,
    overdraft: missing > 0n ? missing : 0n,
  });
  return {
    ...payment,
    standard_reserve: payment.standard_reserve + forStandard,
    additional_reserve: payment.additional_reserve + available - forStandard,
    standard_overdraft: standard - forStandard,
    additional_overdraft: additional - (available - forStandard),
  };
}

function settle(context: Execution, contract: ContractValue, payer: Uint8Array, payment: PaymentValue): void {
  const id = contract.contract_id;
  const ends = contract.state.kind === 'Deleted';
  const isPayout = ends || payment.cycles >= CYCLES_TO_PAYOUT;
  const after = isPayout ? distribute(context, contract, payer, payment) : payment;
  if (ends) {
    // The contracts of a rented node end with the rent.
    for (const dependent of dependents(context, contract)) billAndEnd(context, dependent, 'OutOfFunds');
    removeContract(context, contract);
    return;
  }
  context.state.write(storage.ContractPaymentState, [id], after);
  if (contract.contract_type.kind !== 'NodeContract') return;
  const information = context.state.read(storage.ContractBillingInformationByID, id);
  context.state.write(storage.ContractBillingInformationByID, [id], { ...information, amount_unbilled: 0n });
}
