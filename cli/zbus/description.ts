/** An interface as data that other programs read. */
import type { InterfaceDefinition } from '../../modules/zbus/index.ts';
import { wiresOf } from '../../modules/zbus/interfaces.ts';
import type { Wire } from '../../modules/zbus/wire.ts';
import { fullName } from './catalogue.ts';

/** Types by their Go names; a method's `fails` says that it may return an error beside its results. */
export function describeInterface(definition: InterfaceDefinition): object {
  const { module, object, version } = definition;
  const queue = fullName(definition);
  return {
    module,
    object,
    version,
    queue,
    methods: Object.fromEntries(
      Object.entries(definition.methods).map(([name, method]) => [
        name,
        {
          args: Object.entries(method.args).map(([arg, { go }]) => ({ name: arg, type: go })),
          variadic: method.variadic !== undefined,
          returns: method.returns.map(({ go }) => go),
          fails: method.fails,
          order: method.order ?? 'object',
          ...(method.doc === undefined ? {} : { doc: method.doc }),
        },
      ]),
    ),
    streams: Object.fromEntries(
      Object.entries(definition.streams).map(([name, { go }]) => [name, { type: go, channel: `${queue}.${name}` }]),
    ),
    types: Object.fromEntries([...wiresOf(definition)].map(([go, wire]) => [go, describeType(wire)])),
  };
}

function describeType(wire: Wire): object {
  switch (wire.kind) {
    case 'struct':
      return { kind: 'struct', fields: wire.fields.map(([name, { go }]) => ({ name, type: go })) };
    case 'slice':
      return { kind: 'slice', of: wire.of.go };
    case 'pointer':
      return { kind: 'pointer', to: wire.to.go };
    case 'map':
      return { kind: 'map', key: wire.key.go, value: wire.value.go };
    case 'fixed':
      return { kind: 'fixed', length: wire.length };
    default:
      return { kind: wire.kind };
  }
}
