/**
 * Refusals of a deployment's text, structure and signatures. Numbers 2000 to 2099; 0 where the text
 * is the sentence nodes have always used and clients match on.
 */
import { z } from 'zod';
import { type ErrorEntry, entry } from './table.ts';

const count = z.int().nonnegative();
const workload = z.string();

/** Tenants choose these texts; an error does not grow with them. */
function clip(value: string): string {
  return value.length <= 128 ? value : `${value.slice(0, 128).toWellFormed()}…`;
}

/** A rule of the structure, in the sentence nodes use. */
function rule<D extends z.ZodType>(details: D, message: ErrorEntry<D>['message']): ErrorEntry<D> {
  return entry({ number: 0, stage: 'deployment', fault: 'caller', retryable: false, details, message });
}

/** A refusal with a number of its own. */
function refusal<D extends z.ZodType>(
  number: number,
  details: D,
  message: ErrorEntry<D>['message'],
  remedy: string,
): ErrorEntry<D> {
  return entry({ number, stage: 'deployment', fault: 'caller', retryable: false, details, message, remedy });
}

const inWorkload = z.object({ workload });
const inPeer = z.object({ workload, peer: count });
const lengths = z.object({ workload, bytes: count, expected: count });
const lowerThan = z.object({ workload, requested: count, minimum: count });

export const deploymentErrors = {
  deployment_too_large: refusal(
    2000,
    z.object({ bytes: count, limit: count }),
    (d) => `deployment has ${d.bytes} bytes of JSON, more than the ${d.limit} accepted`,
    'shorten metadata, descriptions or environment, or split it into several deployments',
  ),
  deployment_too_deep: refusal(
    2001,
    z.object({ depth: count, limit: count }),
    (d) => `deployment nests ${d.depth} levels deep, more than the ${d.limit} accepted`,
    'flatten the objects',
  ),
  deployment_amount: refusal(
    2012,
    z.object({ what: z.enum(['workloads', 'networks']), amount: count, limit: count }),
    (d) => `deployment has ${d.amount} ${d.what}, more than the ${d.limit} a node makes for one contract`,
    'split it into several deployments',
  ),
  machine_mounts_too_many: refusal(
    2013,
    z.object({ workload, mounts: count, limit: count }),
    (d) => `machine '${clip(d.workload)}' has ${d.mounts} mounts, more than the ${d.limit} that fit a machine`,
    'use fewer and larger disks',
  ),
  deployment_syntax: refusal(
    2002,
    z.object({ reason: z.string() }),
    (d) => `deployment is not valid JSON: ${d.reason}`,
    'send the deployment as one JSON object in UTF-8',
  ),
  deployment_field: rule(z.object({ field: z.string(), reason: z.string() }), (d) => d.reason),
  payload_invalid: entry({
    number: 2003,
    stage: 'command',
    fault: 'caller',
    retryable: false,
    details: z.object({ command: z.string(), field: z.string(), reason: z.string() }),
    message: (d) => `payload of ${d.command} cannot be read: ${d.reason}`,
    remedy: 'see the JSON Schema of the command for its input',
  }),

  workload_version_too_high: rule(
    z.object({ workload, version: count, deployment: count }),
    (d) =>
      `workload '${clip(d.workload)}' version '${d.version}' cannot be higher than deployment version '${d.deployment}'`,
  ),
  workload_name_invalid: rule(
    z.object({ name: z.string(), reason: z.string() }),
    (d) => `name '${clip(d.name)}' is invalid: ${d.reason}`,
  ),
  workload_name_duplicate: rule(
    z.object({ name: z.string() }),
    (d) => `multiple workloads with the same name '${d.name}'`,
  ),
  workload_type_unknown: rule(
    z.object({ workload, type: z.string() }),
    (d) => `invalid reservation type '${clip(d.type)}'`,
  ),
  workload_type_unsupported: refusal(
    2010,
    z.object({ workload, type: z.string(), runs: z.array(z.string()) }),
    (d) =>
      `this node does not run workloads of type '${d.type}' (workload '${d.workload}'); it runs ${d.runs.join(', ')}`,
    'choose a node whose zos.system.node_features_get lists the type',
  ),
  workload_data_undecodable: rule(
    z.object({ workload, goType: z.string(), field: z.string(), reason: z.string() }),
    (d) => `failed to load data into object of type '${d.goType}': ${d.reason}`,
  ),
  workload_id_invalid: refusal(
    2011,
    z.object({ id: z.string() }),
    (d) => `'${d.id}' is not a workload id`,
    'write it as <twin>-<contract>-<name>',
  ),
  workload_size_invalid: rule(inWorkload, () => 'invalid size'),

  network_range_missing: rule(inWorkload, () => 'network IP range cannot be empty'),
  network_subnet_missing: rule(inWorkload, () => 'network resource subnet cannot empty'),
  network_private_key_missing: rule(inWorkload, () => 'network resource wireguard private key cannot empty'),
  network_peer_subnet_missing: rule(inPeer, () => 'peer wireguard subnet cannot empty'),
  network_peer_allowed_ips_missing: rule(inPeer, () => 'peer wireguard allowedIPs cannot empty'),
  network_peer_public_key_missing: rule(inPeer, () => 'peer wireguard public key cannot empty'),
  mycelium_key_length: rule(lengths, (d) => `invalid mycelium key length, expected ${d.expected}`),
  mycelium_peers_unsupported: rule(
    z.object({ workload, peers: count }),
    () => 'user defined peers list is not supported right now',
  ),

  machine_interfaces: rule(
    z.object({ workload, interfaces: count }),
    () => 'only one network private network is supported at the moment',
  ),
  machine_ip_missing: rule(inWorkload, () => 'invalid IP'),
  machine_cpu_missing: rule(inWorkload, () => "cpu capacity can't be 0"),
  machine_memory_low: rule(lowerThan, () => "mem capacity can't be less that 250M"),
  machine_disk_low: rule(lowerThan, (d) => `disk size can't be less that ${d.minimum}. Set to 0 for minimum`),
  machine_public_ip_missing: rule(z.object({ workload, name: z.string() }), () => 'public ip is not found'),
  machine_public_ip_shared: rule(
    z.object({ workload, name: z.string(), machines: z.array(z.string()) }),
    () => 'public ip is assigned to multiple vms',
  ),
  machine_network_reserved: rule(
    z.object({ workload, network: z.string() }),
    (d) => `'${d.network}' is reserved network name`,
  ),
  mycelium_seed_length: rule(lengths, (d) => `invalid mycelium seed length expected ${d.expected} bytes`),

  zdb_mode_invalid: rule(z.object({ workload, mode: z.string() }), () => 'invalid mode'),
  qsfs_shards: rule(
    z.object({ workload, minimal: count, expected: count }),
    () => "minimal shards can't be greater than expected shards",
  ),
  public_ip_unselected: rule(inWorkload, () => 'public ip workload with no selections'),
  gateway_name_invalid: rule(z.object({ workload, name: z.string() }), (d) => `name ${clip(d.name)} is invalid`),
  gateway_fqdn_invalid: rule(z.object({ workload, fqdn: z.string() }), (d) => `fqdn ${clip(d.fqdn)} is invalid`),
  gateway_backends_missing: rule(inWorkload, () => 'backends list can not be empty'),
  gateway_backend_invalid: rule(
    z.object({ workload, backend: z.string(), reason: z.string() }),
    (d) => `failed to validate backend '${d.backend}': ${d.reason}`,
  ),
  zlogs_machine_missing: rule(
    z.object({ workload, name: z.string() }),
    (d) => `no zmachine with name '${clip(d.name)}' found`,
  ),
  zlogs_output_unreadable: rule(
    z.object({ workload, reason: z.string() }),
    (d) => `failed to parse output url: ${d.reason}`,
  ),
  zlogs_output_scheme: rule(
    z.object({ workload, scheme: z.string(), schemes: z.array(z.string()) }),
    (d) => `invalid output schema '${d.scheme}' not supported`,
  ),

  upgrade_identity: rule(z.object({ twin: count, contract: z.string() }), () => 'cannot change deployment or twin id'),
  upgrade_version: rule(
    z.object({ expected: count, actual: count }),
    (d) => `expecting deployment version ${d.expected}, got ${d.actual}`,
  ),
  upgrade_workload_version: rule(
    z.object({ workload, expected: count, actual: count }),
    (d) => `invalid version number for workload '${d.workload}' expected '${d.expected}'`,
  ),
  upgrade_workload_type: rule(
    z.object({ workload, from: z.string(), to: z.string() }),
    (d) => `cannot change workload type '${d.workload}'`,
  ),
  upgrade_unsupported: rule(
    z.object({ workload, type: z.string() }),
    (d) => `workload '${d.type}' does not support upgrade: upgrade validation error`,
  ),

  signature_requests_too_many: refusal(
    2020,
    z.object({ requests: count, limit: count }),
    (d) => `deployment asks for ${d.requests} signatures, more than the ${d.limit} a node verifies`,
    'ask fewer twins to sign',
  ),
  signature_missing: rule(z.object({ twin: count }), (d) => `missing required signature for twin '${d.twin}'`),
  signature_key_unavailable: entry({
    number: 0,
    stage: 'deployment',
    fault: 'node',
    retryable: true,
    details: z.object({ twin: count, reason: z.string() }),
    message: (d) => `failed to get public key for twin '${d.twin}': ${d.reason}`,
  }),
  signature_undecodable: rule(z.object({ twin: count, reason: z.string() }), (d) => `invalid signature: ${d.reason}`),
  signature_mismatch: rule(
    z.object({ twin: count, type: z.enum(['ed25519', 'sr25519']) }),
    () => 'failed to verify signature',
  ),
  signature_originator_missing: rule(
    z.object({ twin: count }),
    () => 'originator twin id must be in the signature requests',
  ),
  signature_weight: rule(
    z.object({ required: count, reached: count }),
    () => 'required signature weight is not reached',
  ),
} as const;
