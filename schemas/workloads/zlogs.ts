/** zlogs: streams what a machine prints to a URL. */
import { NOTHING } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, struct } from '../gojson/codec.ts';
import { text } from '../gojson/values.ts';
import { parseUrl } from '../urls.ts';
import { defineWorkload } from './type.ts';
import { workloadsByName } from './zmachine.ts';

const SCHEMES = ['redis', 'ws', 'wss'];

export const ZLogs = struct(
  'zos.ZLogs',
  {
    zmachine: described(text, 'name of a zmachine of this deployment', { minLength: 1 }),
    output: described(text, 'URL, `redis:`, `ws:` or `wss:`, opened from the network of the machine', { minLength: 1 }),
  },
  'Where what a machine prints goes.',
);

export const zlogs = defineWorkload({
  name: 'zlogs',
  summary: 'streams what a machine prints to a URL',
  goType: '*zos.ZLogs',
  data: ZLogs,
  result: undefined,
  change: undefined,
  pausable: false,
  validate: (data, context) => {
    const workload = context.workload.name;
    if (context.once(workloadsByName).get(data.zmachine)?.type !== 'zmachine') {
      throw new GridError('zlogs_machine_missing', { workload, name: data.zmachine.slice(0, 256) });
    }
    const { scheme, problem } = parseUrl(data.output);
    if (problem !== undefined) throw new GridError('zlogs_output_unreadable', { workload, reason: problem });
    if (!SCHEMES.includes(scheme)) {
      throw new GridError('zlogs_output_scheme', { workload, scheme: scheme.slice(0, 64), schemes: [...SCHEMES] });
    }
  },
  needs: () => NOTHING,
  challenge: (data, add) => {
    add('zmachine', data.zmachine);
    add('output', data.output);
  },
  references: (data) => [{ kind: 'machine', name: data.zmachine }],
});
