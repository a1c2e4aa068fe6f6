/** Why a deployment does not fit, as data; the sentence is made by the error table. */
import type { ErrorDetails } from '../../schemas/errors/index.ts';

export type RefusalCode =
  | 'capacity_memory'
  | 'capacity_disk'
  | 'capacity_single_disk'
  | 'capacity_cpu'
  | 'capacity_machine_cpu'
  | 'capacity_public_ip'
  | 'workload_unsupported'
  | 'feature_unsupported'
  | 'gpu_unknown'
  | 'gpu_taken'
  | 'gpu_not_rented'
  | 'network_name_taken'
  | 'network_missing'
  | 'network_leaving'
  | 'address_outside_subnet'
  | 'address_reserved'
  | 'address_taken'
  | 'wireguard_port_taken'
  | 'mount_missing'
  | 'mount_kind'
  | 'mount_twice'
  | 'mount_too_small';

export type Refusal = { [C in RefusalCode]: { readonly code: C; readonly details: ErrorDetails<C> } }[RefusalCode];
