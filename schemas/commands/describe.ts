/** zos.api.*: the description of this very table. */
import { described } from '../gojson/codec.ts';
import { raw } from '../gojson/values.ts';
import { defineCommand, nothing } from './command.ts';

export const apiDescribe = defineCommand({
  name: 'zos.api.describe',
  summary: "The node's commands as an OpenRPC document.",
  caller: 'any',
  input: nothing,
  output: described(raw, 'an OpenRPC document; its `openrpc` says of which version of OpenRPC'),
});
