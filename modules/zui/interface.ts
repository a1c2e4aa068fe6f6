/** zui: the node's own screen, which shows what daemons complain about. */
import { defineInterface } from '../zbus/definition.ts';
import { slice, str } from '../zbus/wire.ts';

export const screen = defineInterface({
  module: 'zui',
  object: 'zui',
  version: '0.0.1',
  methods: {
    PushErrors: {
      args: { label: str, errors: slice(str) },
      returns: [],
      fails: true,
      order: { by: 'label' },
      doc: 'No errors take the label away.',
    },
  },
  streams: {},
});
