/** zos.network.*: the node's addresses and ports. */
import { list, map } from '../gojson/codec.ts';
import { text, uint16 } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const networkInterfaces = defineCommand({
  name: 'zos.network.interfaces',
  summary: "Addresses of the node's own interfaces by name.",
  caller: 'any',
  input: nothing,
  output: map(list(text)),
});

export const networkWireguardPorts = defineCommand({
  name: 'zos.network.list_wg_ports',
  summary: 'UDP ports that WireGuard interfaces of this node have taken.',
  caller: 'any',
  input: nothing,
  output: list(uint16),
});
