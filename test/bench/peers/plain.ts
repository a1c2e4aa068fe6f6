/** A peer that believes every request and answers at once, signed and encrypted: `node plain.ts RELAY KEYTYPE`. */
import { PayloadCipher } from '../../../gateway/rmb/cipher.ts';
import { RmbClient } from '../../../gateway/rmb/client.ts';
import type { KeyType } from '../../../gateway/rmb/keys.ts';
import { identityOf, PLAIN, twinsOf } from './twins.ts';

const [, , relay = '', keyType] = process.argv;
const identity = await identityOf(PLAIN, keyType as KeyType);
const twins = await twinsOf(keyType as KeyType);
const cipher = new PayloadCipher(identity);
const client = new RmbClient({ relays: [relay], identity, twinId: PLAIN, twins });
const payload = '[{"name":"pool","type":"ssd","size":1099511627776,"used":1073741824}]';
client.serve(async ({ envelope }) => {
  const twin = await twins.twin(envelope.source?.twin ?? 0);
  if (twin?.encryptionKey == null) throw new Error('a request of an unknown twin');
  if (envelope.payload.case === 'cipher') cipher.decrypt(envelope.payload.value, twin.encryptionKey);
  await client.answer(envelope, twin, { kind: 'response', payload });
});
await client.connect();
process.stdout.write('{"msg":"ready"}\n');
