/** zos.system.*: what the node is. */
import { list, struct } from '../gojson/codec.ts';
import { text } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const systemVersion = defineCommand({
  name: 'zos.system.version',
  summary: 'Versions of the node software and its supervisor; clients use it as ping.',
  caller: 'any',
  input: nothing,
  output: struct('Version', { zos: text, zinit: text }),
});

export const systemHypervisor = defineCommand({
  name: 'zos.system.hypervisor',
  summary: 'Name of the hypervisor the node itself runs under, empty on bare metal.',
  caller: 'any',
  input: nothing,
  output: text,
});

export const systemNodeFeatures = defineCommand({
  name: 'zos.system.node_features_get',
  summary: 'Workload types and network features this node runs.',
  caller: 'any',
  input: nothing,
  output: list(text),
});
