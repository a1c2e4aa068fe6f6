/** volume: a folder of its own size shared into a machine. */
import { capacity } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, struct } from '../gojson/codec.ts';
import { size, text } from '../gojson/values.ts';
import { defineWorkload } from './type.ts';

export const Volume = struct(
  'zos.Volume',
  {
    size: described(size, 'bytes, at least 1', { minimum: 1 }),
  },
  'A folder with a quota.',
);

export const volume = defineWorkload({
  name: 'volume',
  summary: 'a folder with a quota, shared into a machine',
  goType: '*zos.Volume',
  data: Volume,
  result: struct(
    'zos.VolumeResult',
    { id: described(text, 'workload id of the volume') },
    'What a running volume says of itself.',
  ),
  change: (from, to) => {
    if (to.size >= from.size) return { kind: 'apply' };
    const sizes = `old: ${from.size}, requested: ${to.size}`;
    return { kind: 'error', reason: `cannot shrink volume to be less than provisioned space. ${sizes}` };
  },
  pausable: false,
  validate: (data, { workload }) => {
    if (data.size === 0) throw new GridError('workload_size_invalid', { workload: workload.name });
  },
  needs: (data) => capacity({ sru: Number(data.size) }),
  challenge: (data, add) => add('size', data.size),
  references: () => [],
});
