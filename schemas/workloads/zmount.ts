/** zmount: a virtual disk of a machine. */
import { capacity } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { struct } from '../gojson/codec.ts';
import { text, unit } from '../gojson/values.ts';
import { defineWorkload } from './type.ts';

export const ZMount = struct('zos.ZMount', {
  /** Bytes. */
  size: unit,
});

export const zmount = defineWorkload({
  name: 'zmount',
  goType: '*zos.ZMount',
  data: ZMount,
  result: struct('zos.ZMountResult', { volume_id: text }),
  updatable: true,
  pausable: false,
  validate: ({ size }, { workload }) => {
    if (size === 0) throw new GridError('workload_size_invalid', { workload: workload.name });
  },
  needs: ({ size }) => capacity({ sru: size }),
  challenge: ({ size }) => [['size', String(size)]],
  references: () => [],
});
