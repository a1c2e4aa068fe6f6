/** zmount: a disk for a machine. */
import { capacity } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, struct } from '../gojson/codec.ts';
import { size, text } from '../gojson/values.ts';
import { type Context, defineWorkload } from './type.ts';
import { zmachine } from './zmachine.ts';

export const ZMount = struct(
  'zos.ZMount',
  {
    size: described(size, 'bytes, at least 1', { minimum: 1 }),
  },
  'A disk.',
);

export const zmount = defineWorkload({
  name: 'zmount',
  summary: 'a disk for a machine; its name is the tag a machine sees it under',
  goType: '*zos.ZMount',
  data: ZMount,
  result: struct(
    'zos.ZMountResult',
    { volume_id: described(text, 'workload id of the disk') },
    'What a running disk says of itself.',
  ),
  change: (from, to, context) => {
    if (to.size === from.size) return { kind: 'nothing' };
    if (to.size < from.size) return { kind: 'unchanged', reason: 'not safe to shrink a disk' };
    if (isMounted(context)) return { kind: 'unchanged', reason: 'disk is mounted, please delete the VM first' };
    return { kind: 'apply' };
  },
  pausable: false,
  validate: (data, { workload }) => {
    if (data.size === 0) throw new GridError('workload_size_invalid', { workload: workload.name });
  },
  needs: (data) => capacity({ sru: Number(data.size) }),
  challenge: (data, add) => add('size', data.size),
  references: () => [],
});

/** Whether a machine that runs or is paused has the disk; nodes do not look at light machines. */
function isMounted({ deployment, workload, dataOf }: Context): boolean {
  return deployment.workloads.some((machine) => {
    if (machine.result.state !== 'ok' && machine.result.state !== 'paused') return false;
    return dataOf(zmachine, machine)?.mounts.some((mount) => mount.name === workload.name) ?? false;
  });
}
