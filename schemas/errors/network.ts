/** Refusals and failures of networkd. Numbers 5000 to 5099. */
import { z } from 'zod';
import { entry } from './table.ts';

const stage = 'network';

export const networkErrors = {
  network_port_taken: entry({
    number: 5000,
    stage,
    fault: 'caller',
    retryable: true,
    details: z.object({ port: z.int(), holder: z.enum(['network', 'node', 'socket']) }),
    // The start of the sentence is what existing clients look for.
    message: (d) =>
      `wireguard listen port already in use, pick another one: UDP port ${d.port} is ${
        { network: 'held by another network', node: 'kept for the node itself', socket: 'open on the host' }[d.holder]
      }`,
    remedy: 'zos.network.list_wg_ports names the ports of networks and node',
  }),
  network_invalid: entry({
    number: 5001,
    stage,
    fault: 'caller',
    retryable: false,
    details: z.object({ field: z.string(), reason: z.string() }),
    message: (d) => `network request is not usable: ${d.field} ${d.reason}`,
  }),
  network_unknown: entry({
    number: 5002,
    stage,
    fault: 'caller',
    retryable: false,
    details: z.object({ network: z.string() }),
    message: (d) => `network ${JSON.stringify(d.network)} not found on this node`,
    remedy: 'deploy a network workload with this name first',
  }),
  network_not_offered: entry({
    number: 5003,
    stage,
    fault: 'caller',
    retryable: false,
    details: z.object({ feature: z.string() }),
    message: (d) => `this node does not offer ${d.feature}`,
    remedy: 'choose a node that lists the feature',
  }),
  network_no_public_config: entry({
    number: 0,
    stage,
    fault: 'operator',
    retryable: false,
    details: z.object({}),
    message: () => 'no public configuration',
  }),
  network_no_public_ipv6: entry({
    number: 0,
    stage,
    fault: 'operator',
    retryable: false,
    details: z.object({}),
    message: () => 'no public ipv6 found',
  }),
  network_leases_exhausted: entry({
    number: 5006,
    stage,
    fault: 'node',
    retryable: true,
    details: z.object({ total: z.int() }),
    message: (d) => `all ${d.total} uplink addresses of 100.127.0.0/16 are leased to networks`,
    remedy: 'delete a network or choose another node',
  }),
  network_setup_failed: entry({
    number: 5007,
    stage,
    fault: 'node',
    retryable: true,
    details: z.object({ network: z.string(), step: z.string(), reason: z.string() }),
    message: (d) => `network ${d.network}: ${d.step} failed: ${d.reason}`,
  }),
  network_wireguard_missing: entry({
    number: 5008,
    stage,
    fault: 'operator',
    retryable: false,
    details: z.object({ reason: z.string() }),
    message: (d) => `neither the kernel nor wireguard-go gives a WireGuard device: ${d.reason}`,
    remedy: 'install the package wireguard-go',
  }),
  network_tap_taken: entry({
    number: 5009,
    stage,
    fault: 'caller',
    retryable: false,
    details: z.object({ tap: z.string(), bridge: z.string() }),
    message: (d) => `interface ${d.tap} exists already on ${d.bridge}`,
    remedy: 'remove it first',
  }),
  network_device_unknown: entry({
    number: 5010,
    stage,
    fault: 'caller',
    retryable: false,
    details: z.object({ device: z.string(), namespace: z.string() }),
    message: (d) =>
      `interface ${JSON.stringify(d.device)} not found${d.namespace === '' ? '' : ` in namespace ${JSON.stringify(d.namespace)}`}`,
  }),
  network_namespace_taken: entry({
    number: 5011,
    stage,
    fault: 'operator',
    retryable: false,
    details: z.object({ bridge: z.string(), owner: z.string() }),
    message: (d) => `another node has its networks here: interface ${d.bridge} belongs to ${JSON.stringify(d.owner)}`,
    remedy: 'start this node in a network namespace of its own, or purge the other one first',
  }),
  network_exit_invalid: entry({
    number: 5012,
    stage,
    fault: 'caller',
    retryable: false,
    details: z.object({ device: z.string() }),
    message: () => 'invalid exit bridge must be a physical nic or the default bridge',
  }),
  network_in_use: entry({
    number: 5014,
    stage,
    fault: 'caller',
    retryable: true,
    details: z.object({ network: z.string(), holder: z.string(), amount: z.number() }),
    message: (d) =>
      `network ${d.network} still has ${d.amount} interfaces of machines of other deployments, as of ${d.holder}`,
    remedy: 'delete those machines first; the network goes with the last of them',
  }),
  network_exit_taken: entry({
    number: 5013,
    stage,
    fault: 'caller',
    retryable: false,
    details: z.object({ device: z.string() }),
    message: (d) => `device is '${d.device}' already used`,
  }),
} as const;
