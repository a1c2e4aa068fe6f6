/** volume: a folder of its own size shared into a machine. */
import { capacity } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { struct } from '../gojson/codec.ts';
import { text, unit } from '../gojson/values.ts';
import { defineWorkload } from './type.ts';

export const Volume = struct('zos.Volume', {
  /** Bytes. */
  size: unit,
});

export const volume = defineWorkload({
  name: 'volume',
  goType: '*zos.Volume',
  data: Volume,
  result: struct('zos.VolumeResult', { id: text }),
  updatable: true,
  pausable: false,
  validate: ({ size }, { workload }) => {
    if (size === 0) throw new GridError('workload_size_invalid', { workload: workload.name });
  },
  needs: ({ size }) => capacity({ sru: size }),
  challenge: ({ size }) => [['size', String(size)]],
  references: () => [],
});
