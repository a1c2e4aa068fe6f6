/** registrar: the node's numbers on the chain, once it has them. */
import { defineInterface } from '../zbus/definition.ts';
import { uint32 } from '../zbus/wire.ts';

/**
 * While the node is being registered both methods fail with exactly
 * `registration is still in progress`: existing callers look for that text.
 */
export const registrar = defineInterface({
  module: 'registrar',
  object: 'registrar',
  version: '0.0.1',
  methods: {
    NodeID: { args: {}, returns: [uint32], fails: true, order: 'read' },
    TwinID: { args: {}, returns: [uint32], fails: true, order: 'read' },
  },
  streams: {},
});
