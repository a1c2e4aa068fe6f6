/** What both kinds of gateway have in common: backends, and the network they are reached in. */
import type { z } from 'zod';
import { parseIp } from '../addresses.ts';
import { GridError } from '../errors/index.ts';
import { described, list, optional, pointer } from '../gojson/codec.ts';
import { bool, text } from '../gojson/values.ts';
import { parseUrl, splitHostPort } from '../urls.ts';
import type { AddPiece, Reference } from './type.ts';

/** Fields beside `name` or `fqdn`. */
export const gatewayFields = {
  tls_passthrough: optional(described(bool, 'hand TLS on to the backend instead of ending it')),
  backends: described(list(text), 'at least one: `http://address[:port]`, with pass-through `address:port`', {
    minItems: 1,
  }),
  network: described(pointer(text), 'name of the private network of this node in which the backends are'),
};

interface Gateway {
  readonly tls_passthrough: boolean;
  readonly backends: readonly string[];
  readonly network?: z.output<(typeof gatewayFields)['network']>;
}

export function validateBackends({ tls_passthrough, backends }: Gateway, workload: string): void {
  if (backends.length === 0) throw new GridError('gateway_backends_missing', { workload });
  for (const backend of backends) {
    const reason = tls_passthrough ? passThroughProblem(backend) : httpProblem(backend);
    if (reason === undefined) continue;
    throw new GridError('gateway_backend_invalid', { workload, backend: backend.slice(0, 256), reason });
  }
}

function httpProblem(backend: string): string | undefined {
  const { scheme, hostname, problem } = parseUrl(backend);
  const shown = backend.slice(0, 256);
  if (problem !== undefined) return `failed to parse backend ${shown} with error: ${problem}`;
  if (scheme !== 'http') return 'scheme expected to be http';
  const address = parseIp(hostname);
  if (address === undefined || isLoopback(address)) {
    return `invalid ip address in backend: ${hostname.slice(0, 256)}`;
  }
  return undefined;
}

function passThroughProblem(backend: string): string | undefined {
  const failed = `failed to parse backend ${backend.slice(0, 256)} with error: `;
  const { host, port, problem } = splitHostPort(backend);
  if (problem !== undefined) return `${failed}${failed}${problem}`;
  if (parseIp(host) === undefined) return `${failed}invalid ip`;
  if (!/^\d+$/.test(port)) {
    return `${failed}strconv.ParseUint: parsing ${JSON.stringify(port.slice(0, 64))}: invalid syntax`;
  }
  return Number(port) > 0xffff ? `${failed}port '${port.slice(0, 64)}' must be <= 65535` : undefined;
}

function isLoopback(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] === 127;
  const zeros = (end: number) => address.subarray(0, end).every((byte) => byte === 0);
  if (zeros(15)) return address[15] === 1;
  return zeros(10) && address[10] === 0xff && address[11] === 0xff && address[12] === 127;
}

/** The challenge after the gateway's name. */
export function addGateway({ tls_passthrough, backends, network }: Gateway, add: AddPiece): void {
  add('tls_passthrough', tls_passthrough);
  for (const [i, backend] of backends.entries()) add('backends[]', backend, i);
  if (network !== undefined) add('network', network);
}

export function gatewayReferences({ network = '' }: Gateway): Reference[] {
  return network === '' ? [] : [{ kind: 'network', name: network }];
}
