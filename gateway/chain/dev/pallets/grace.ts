/** Grace periods: a rented node's contracts go into them and out of them with the rent. */
import { type ContractValue, contracts } from '../description/contracts.ts';
import { type Execution, refuse } from './context.ts';

const { storage } = contracts;

/** Id of the node that a contract is about, 0 for a name. */
export function nodeOf({ contract_type: type }: ContractValue): number {
  return type.kind === 'NameContract' ? 0 : type.value[0].node_id;
}

export function findContract(context: Execution, id: bigint): ContractValue {
  return context.state.read(storage.Contracts, id) ?? refuse(contracts, 'ContractNotExists');
}

/** Contracts whose grace depends on this one's. */
export function dependents(context: Execution, contract: ContractValue): ContractValue[] {
  if (contract.contract_type.kind !== 'RentContract') return [];
  const ids = context.state.read(storage.ActiveNodeContracts, nodeOf(contract));
  return ids.flatMap((id) => context.state.read(storage.Contracts, id) ?? []);
}

function owes(context: Execution, id: bigint): boolean {
  const payment = context.state.read(storage.ContractPaymentState, id);
  return payment !== null && payment.standard_overdraft + payment.additional_overdraft > 0n;
}

/** Puts a contract into its grace period or takes it out again, with the event that tells the node. */
export function setGrace(context: Execution, contract: ContractValue, inGrace: boolean): void {
  const facts = { contract_id: contract.contract_id, node_id: nodeOf(contract), twin_id: contract.twin_id };
  const block_number = BigInt(context.block);
  const state: ContractValue['state'] = inGrace ? { kind: 'GracePeriod', value: [block_number] } : { kind: 'Created' };
  context.state.write(storage.Contracts, [contract.contract_id], { ...contract, state });
  if (inGrace) context.emit(contracts, 'ContractGracePeriodStarted', { ...facts, block_number });
  else context.emit(contracts, 'ContractGracePeriodEnded', facts);
  for (const dependent of dependents(context, contract)) {
    // Who has not paid for an address waits for that.
    if (!inGrace && owes(context, dependent.contract_id)) continue;
    setGrace(context, dependent, inGrace);
  }
}
