/** qsfs: a file system spread over 0-dbs of other nodes. */
import type { z } from 'zod';
import { capacity, GiB } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, list, optional, struct } from '../gojson/codec.ts';
import { hex, size, text, uint32 } from '../gojson/values.ts';
import { type AddPiece, applied, defineWorkload } from './type.ts';

const Encryption = struct(
  'zos.Encryption',
  {
    algorithm: described(text, '`AES`'),
    key: described(hex, '32 bytes by convention'),
  },
  'How blocks are encrypted.',
);

const Backend = struct(
  'zos.ZdbBackend',
  {
    address: described(text, '`address:port` of a 0-db'),
    namespace: described(text, 'its namespace there'),
    password: optional(described(text, 'of the namespace')),
  },
  'A namespace of a 0-db on some node.',
);
type Backend = z.output<typeof Backend>;

const Config = struct(
  'zos.QuantumSafeFSConfig',
  {
    minimal_shards: described(uint32, 'shards that are enough to read; at most `expected_shards`'),
    expected_shards: described(uint32, 'shards that are written'),
    redundant_groups: optional(described(uint32, 'groups that may be lost')),
    redundant_nodes: optional(described(uint32, 'nodes of a group that may be lost')),
    max_zdb_data_dir_size: optional(described(uint32, 'MiB of the local 0-db')),
    encryption: described(Encryption, 'of the data'),
    meta: struct(
      'zos.QuantumSafeMeta',
      {
        type: described(text, '`zdb`'),
        config: struct(
          'zos.QuantumSafeConfig',
          {
            prefix: described(text, 'of the keys'),
            encryption: described(Encryption, 'of the metadata'),
            backends: described(list(Backend), 'where the metadata is kept'),
          },
          'Where and how metadata is kept.',
        ),
      },
      'The store of metadata.',
    ),
    groups: described(
      list(
        struct(
          'zos.ZdbGroup',
          {
            backends: described(list(Backend), 'its 0-dbs'),
          },
          '0-dbs that may be lost together.',
        ),
      ),
      'where the shards are kept',
    ),
    compression: struct(
      'zos.QuantumCompression',
      { algorithm: described(text, '`snappy`') },
      'How blocks are compressed.',
    ),
  },
  'How the file system is spread, encrypted and compressed.',
);

export const Qsfs = struct(
  'zos.QuantumSafeFS',
  {
    cache: described(size, 'bytes of local cache'),
    config: described(Config, 'how it is spread'),
  },
  'A file system spread over 0-dbs of other nodes.',
);

export const qsfs = defineWorkload({
  name: 'qsfs',
  summary: 'a file system spread over 0-dbs of other nodes',
  goType: '*zos.QuantumSafeFS',
  data: Qsfs,
  result: struct(
    'zos.QuantumSafeFSResult',
    {
      path: described(text, 'where the node has it mounted'),
      metrics_endpoint: described(text, 'URL of its metrics'),
    },
    'Where the file system is.',
  ),
  change: applied,
  pausable: false,
  validate: ({ config: { minimal_shards: minimal, expected_shards: expected } }, { workload }) => {
    if (minimal > expected) throw new GridError('qsfs_shards', { workload: workload.name, minimal, expected });
  },
  needs: (data) => capacity({ cru: 1, mru: GiB, sru: Number(data.cache) }),
  challenge: ({ cache, config }, add) => {
    add('cache', cache);
    add('config.minimal_shards', config.minimal_shards);
    add('config.expected_shards', config.expected_shards);
    add('config.redundant_groups', config.redundant_groups);
    add('config.redundant_nodes', config.redundant_nodes);
    add('config.max_zdb_data_dir_size', config.max_zdb_data_dir_size);
    addEncryption('config', config.encryption, add);
    add('config.meta.type', config.meta.type);
    add('config.meta.config.prefix', config.meta.config.prefix);
    addEncryption('config.meta.config', config.meta.config.encryption, add);
    addBackends('config.meta.config', config.meta.config.backends, add);
    for (const [i, group] of config.groups.entries()) addBackends(`config.groups[${i}]`, group.backends, add);
    add('config.compression.algorithm', config.compression.algorithm);
  },
  references: () => [],
});

function addEncryption(path: string, { algorithm, key }: z.output<typeof Encryption>, add: AddPiece): void {
  add(`${path}.encryption.algorithm`, algorithm);
  add(`${path}.encryption.key`, key);
}

function addBackends(path: string, backends: readonly Backend[], add: AddPiece): void {
  for (const [i, { address, namespace, password }] of backends.entries()) {
    add(`${path}.backends[].address`, address, i);
    add(`${path}.backends[].namespace`, namespace, i);
    add(`${path}.backends[].password`, password, i);
  }
}
