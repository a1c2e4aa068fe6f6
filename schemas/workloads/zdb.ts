/** zdb: a namespace of a 0-db on a hard disk. */
import { capacity } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, list, optional, struct } from '../gojson/codec.ts';
import { bool, size, text, uint } from '../gojson/values.ts';
import { defineWorkload } from './type.ts';

const MODES = ['user', 'seq'];

export const Zdb = struct(
  'zos.ZDB',
  {
    size: described(size, 'bytes, at least 1', { minimum: 1 }),
    mode: described(text, '`user` or `seq`', { enum: MODES }),
    password: optional(described(text, 'empty: none')),
    public: optional(described(bool, 'readable without the password')),
  },
  'A namespace of a 0-db.',
);

export const zdb = defineWorkload({
  name: 'zdb',
  summary: 'a namespace of a 0-db on a hard disk',
  goType: '*zos.ZDB',
  data: Zdb,
  result: struct(
    'zos.ZDBResult',
    {
      Namespace: described(text, 'workload id of the namespace'),
      IPs: described(list(text), 'addresses it answers on'),
      Port: described(uint, 'TCP port'),
    },
    'Where a namespace is reached.',
  ),
  change: (from, to) => {
    if (to.mode !== from.mode) return { kind: 'unchanged', reason: 'cannot change namespace mode' };
    if (to.size < from.size) return { kind: 'unchanged', reason: 'cannot shrink zdb namespace' };
    const same = to.size === from.size && to.password === from.password && to.public === from.public;
    return { kind: same ? 'nothing' : 'apply' };
  },
  pausable: true,
  validate: (data, { workload }) => {
    const where = { workload: workload.name };
    if (data.size === 0) throw new GridError('workload_size_invalid', where);
    if (!MODES.includes(data.mode)) throw new GridError('zdb_mode_invalid', { ...where, mode: data.mode.slice(0, 64) });
  },
  needs: (data) => capacity({ hru: Number(data.size) }),
  challenge: (data, add) => {
    add('size', data.size);
    add('mode', data.mode);
    add('password', data.password);
    add('public', data.public);
  },
  references: () => [],
});
