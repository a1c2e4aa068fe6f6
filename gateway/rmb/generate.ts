/** Makes `envelope_pb.ts` from `envelope.proto`; needs Debian's `protobuf-compiler`. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../modules/host/run.ts';

const folder = dirname(fileURLToPath(import.meta.url));
const plugin = join(folder, '../../node_modules/.bin/protoc-gen-es');

await run(
  'protoc',
  [
    `--plugin=protoc-gen-es=${plugin}`,
    `--proto_path=${folder}`,
    `--es_out=${process.argv[2] ?? folder}`,
    '--es_opt=target=ts,import_extension=ts',
    'envelope.proto',
  ],
  { deadlineMs: 60_000 },
);
