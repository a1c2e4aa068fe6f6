/** SmartContractModule: node, name and rent contracts, their use and their bills. */

import { bool, type ValueOf } from '../scale/codec.ts';
import { contractErrors } from './contract-errors.ts';
import { PublicIP, Resources } from './grid-types.ts';
import { definePallet, map, optionalMap, single } from './pallet.ts';
import {
  AccountId,
  boundedBytes,
  bytes,
  choice,
  fixed,
  option,
  struct,
  u8,
  u16,
  u32,
  u64,
  u128,
  variant,
  vec,
} from './types.ts';

const root = 'pallet_smart_contract::types::';

export const Cause = choice(`${root}Cause`, 'CanceledByUser', 'OutOfFunds', 'CanceledByCollective');
export const ContractState = variant(`${root}ContractState`, {
  Created: [0],
  Deleted: [1, [Cause]],
  GracePeriod: [2, [u64]],
});
const NodeContract = struct(`${root}NodeContract`, {
  node_id: u32,
  deployment_hash: fixed(32),
  deployment_data: bytes,
  public_ips: u32,
  public_ips_list: vec(PublicIP),
});
const NameContract = struct(`${root}NameContract`, { name: bytes });
const RentContract = struct(`${root}RentContract`, { node_id: u32 });
const ContractData = variant(`${root}ContractData`, {
  NodeContract: [0, [NodeContract]],
  NameContract: [1, [NameContract]],
  RentContract: [2, [RentContract]],
});
export const Contract = struct(`${root}Contract`, {
  version: u32,
  state: ContractState,
  contract_id: u64,
  twin_id: u32,
  contract_type: ContractData,
  solution_provider_id: option(u64),
});

const ContractResources = struct(`${root}ContractResources`, { contract_id: u64, used: Resources });
const NruConsumption = struct(`${root}NruConsumption`, { contract_id: u64, timestamp: u64, window: u64, nru: u64 });
const BillingInformation = struct(`${root}ContractBillingInformation`, {
  previous_nu_reported: u64,
  last_updated: u64,
  amount_unbilled: u64,
});
const PaymentState = struct(`${root}ContractPaymentState`, {
  standard_reserve: u128,
  additional_reserve: u128,
  standard_overdraft: u128,
  additional_overdraft: u128,
  last_updated_seconds: u64,
  cycles: u16,
});
const ContractLock = struct(`${root}ContractLock`, {
  amount_locked: u128,
  extra_amount_locked: u128,
  lock_updated: u64,
  cycles: u16,
});
const ContractBill = struct(`${root}ContractBill`, {
  contract_id: u64,
  timestamp: u64,
  discount_level: choice(`${root}DiscountLevel`, 'None', 'Default', 'Bronze', 'Silver', 'Gold'),
  amount_billed: u128,
});
const Provider = struct(`${root}Provider`, { who: AccountId, take: u8 });
const SolutionProvider = struct(`${root}SolutionProvider`, {
  solution_provider_id: u64,
  providers: vec(Provider),
  description: bytes,
  link: bytes,
  approved: bool,
});
const ServiceContract = struct(`${root}ServiceContract`, {
  service_contract_id: u64,
  service_twin_id: u32,
  consumer_twin_id: u32,
  base_fee: u64,
  variable_fee: u64,
  metadata: bytes,
  accepted_by_service: bool,
  accepted_by_consumer: bool,
  last_bill: u64,
  state: choice(`${root}ServiceContractState`, 'Created', 'AgreementReady', 'ApprovedByBoth'),
});

const DeploymentData = boundedBytes(512);
const graceEvent = { contract_id: u64, node_id: u32, twin_id: u32 } as const;
const addressesOf = { contract_id: u64, public_ips: vec(PublicIP) } as const;

export const contracts = definePallet({
  name: 'SmartContractModule',
  index: 26,
  crate: 'pallet_smart_contract::pallet',
  storage: {
    Contracts: optionalMap([u64], Contract),
    ContractBillingInformationByID: map([u64], BillingInformation),
    NodeContractResources: map([u64], ContractResources),
    ContractIDByNodeIDAndHash: map([u32, fixed(32)], u64),
    ActiveNodeContracts: map([u32], vec(u64)),
    ContractLock: map([u64], ContractLock),
    ContractPaymentState: optionalMap([u64], PaymentState),
    ContractIDByNameRegistration: map([bytes], u64),
    ActiveRentContractForNode: optionalMap([u32], u64),
    ContractID: single(u64),
    SolutionProviders: optionalMap([u64], SolutionProvider),
    ServiceContracts: optionalMap([u64], ServiceContract),
    BillingFrequency: single(u64),
    DedicatedNodesExtraFee: map([u32], u64),
  },
  calls: {
    create_node_contract: [
      0,
      {
        node_id: u32,
        deployment_hash: fixed(32),
        deployment_data: DeploymentData,
        public_ips: u32,
        solution_provider_id: option(u64),
      },
    ],
    update_node_contract: [1, { contract_id: u64, deployment_hash: fixed(32), deployment_data: DeploymentData }],
    cancel_contract: [2, { contract_id: u64 }],
    create_name_contract: [4, { name: bytes }],
    add_nru_reports: [5, { reports: vec(NruConsumption) }],
    report_contract_resources: [6, { contract_resources: vec(ContractResources) }],
    create_rent_contract: [7, { node_id: u32, solution_provider_id: option(u64) }],
    create_solution_provider: [8, { description: bytes, link: bytes, providers: vec(Provider) }],
    bill_contract_for_block: [10, { contract_id: u64 }],
    set_dedicated_node_extra_fee: [20, { node_id: u32, extra_fee: u64 }],
  },
  events: {
    ContractCreated: [0, [Contract]],
    ContractUpdated: [1, [Contract]],
    NodeContractCanceled: [2, { contract_id: u64, node_id: u32, twin_id: u32 }],
    NameContractCanceled: [3, { contract_id: u64 }],
    IPsReserved: [4, addressesOf],
    IPsFreed: [5, addressesOf],
    ContractBilled: [8, [ContractBill]],
    TokensBurned: [9, { contract_id: u64, amount: u128 }],
    UpdatedUsedResources: [10, [ContractResources]],
    NruConsumptionReportReceived: [11, [NruConsumption]],
    RentContractCanceled: [12, { contract_id: u64 }],
    ContractGracePeriodStarted: [13, { ...graceEvent, block_number: u64 }],
    ContractGracePeriodEnded: [14, graceEvent],
    SolutionProviderCreated: [15, [SolutionProvider]],
    SolutionProviderApproved: [16, [u64, bool]],
    ServiceContractCreated: [17, [ServiceContract]],
    BillingFrequencyChanged: [23, [u64]],
    NodeExtraFeeSet: [24, { node_id: u32, extra_fee: u64 }],
    RentWaived: [25, { contract_id: u64 }],
    ContractGracePeriodElapsed: [26, { contract_id: u64, grace_period: u64 }],
    ContractPaymentOverdrawn: [
      27,
      { contract_id: u64, timestamp: u64, partially_billed_amount: u128, overdraft: u128 },
    ],
    RewardDistributed: [28, { contract_id: u64, standard_rewards: u128, additional_rewards: u128 }],
  },
  errors: contractErrors,
  constants: {
    MaxNameContractNameLength: [u32, 64],
    MaxDeploymentDataLength: [u32, 512],
    MaxNodeContractPublicIps: [u32, 512],
  },
});

export type ContractValue = ValueOf<typeof Contract>;
export type PaymentValue = ValueOf<typeof PaymentState>;
