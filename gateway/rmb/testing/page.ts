/** What the browser test runs in its page: types are stripped, nothing else is done to it. */
import type * as Rmb from '../browser.ts';

const at = '/rmb.js';
const rmb: typeof Rmb = await import(at);
const { bytesOfHex, hexOf } = rmb;

const hex = (text: string): Uint8Array => bytesOfHex(text) ?? new Uint8Array(0);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

export interface PageTwin {
  readonly id: number;
  readonly account: string;
  readonly encryptionKey: string | null;
}

export interface PageSetup {
  readonly relay: string;
  readonly twins: readonly PageTwin[];
  readonly own: { readonly id: number; readonly secret: string; readonly keyType: Rmb.KeyType };
  readonly nodes: readonly number[];
}

const twinsOf = ({ twins }: PageSetup): Rmb.TwinSource => ({
  twin: async (id) => {
    const found = twins.find((twin) => twin.id === id);
    if (found === undefined) return undefined;
    const { account, encryptionKey } = found;
    return { id, account: hex(account), relay: [], encryptionKey: encryptionKey === null ? null : hex(encryptionKey) };
  },
});

async function connect(setup: PageSetup, timing: Rmb.RmbClientOptions['timing'] = {}): Promise<Rmb.RmbClient> {
  const { id, secret, keyType } = setup.own;
  const client = new rmb.RmbClient({
    relays: [setup.relay],
    identity: await rmb.Identity.fromSecret(secret, keyType),
    twinId: id,
    session: 'page',
    twins: twinsOf(setup),
    timing,
  });
  await client.connect({ deadlineMs: 20_000 });
  return client;
}

/** The answers of each node to an encrypted and to a plain call, and to many at once. */
export async function call(setup: PageSetup): Promise<unknown[]> {
  const client = await connect(setup);
  try {
    const answers: unknown[] = [];
    for (const twin of setup.nodes) {
      for (const encrypt of ['always', 'never'] as const) {
        const argument = { from: 'page', encrypt };
        answers.push(await client.callJson({ twin, command: 'zos.x', argument, encrypt, deadlineMs: 20_000 }));
      }
    }
    const many = Array.from({ length: 20 }, (_, index) =>
      client.callJson<{ got: string }>({
        twin: setup.nodes[0] ?? 0,
        command: `zos.n${index}`,
        argument: index,
        deadlineMs: 20_000,
      }),
    );
    answers.push((await Promise.all(many)).map(({ got }) => got));
    return answers;
  } finally {
    await client.close();
  }
}

/** Round trip of a ping, and whether a line without traffic was ever lost within twice its silence. */
export async function ping(setup: PageSetup): Promise<{ pings: Rmb.RelayPing[]; connected: boolean; lost: number }> {
  const client = await connect(setup, { pingMs: 100, silenceMs: 1500 });
  let lost = 0;
  try {
    const until = Date.now() + 3000;
    while (Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      if (!client.connected) lost += 1;
    }
    return { pings: await client.ping(), connected: client.connected, lost };
  } finally {
    await client.close();
  }
}

let serving: Rmb.RmbClient | undefined;

/** Answers what others ask with what was asked. */
export async function serve(setup: PageSetup): Promise<void> {
  const client = await connect(setup);
  serving = client;
  const twins = twinsOf(setup);
  client.serve(async ({ envelope }) => {
    const twin = await twins.twin(envelope.source?.twin ?? 0);
    if (twin === undefined || envelope.message.case !== 'request') return;
    const payload = JSON.stringify({
      page: envelope.message.value.command,
      encrypted: envelope.payload.case === 'cipher',
    });
    await client.answer(envelope, twin, { kind: 'response', payload });
  });
}

export async function stopServing(): Promise<void> {
  await serving?.close();
}

interface Vectors {
  readonly keys: Record<string, Record<string, string>>;
  readonly jwt: readonly Record<string, string>[];
  readonly envelopes: readonly Record<string, string>[];
  readonly negative: readonly Record<string, string>[];
  readonly e2e: readonly Record<string, string>[];
}

/** Names of vectors that came out otherwise than they should, and how many were looked at. */
export async function checkVectors(vectors: Vectors): Promise<{ checked: number; wrong: string[] }> {
  const wrong: string[] = [];
  let checked = 0;
  const expect = (name: string, got: unknown, wanted: unknown): void => {
    checked += 1;
    if (got !== wanted) wrong.push(`${name}: ${got}, not ${wanted}`);
  };
  const verifier = rmb.platform.newVerifier();
  for (const key of Object.values(vectors.keys)) {
    for (const keyType of ['ed25519', 'sr25519'] as const) {
      const identity = await rmb.Identity.fromSecret(key.secret ?? '', keyType);
      expect(`${key.name} ${keyType}`, hexOf(identity.publicKey), key[`${keyType}_public_hex`]);
      expect(`${key.name} secp256k1`, hexOf(identity.encryptionKey), key.e2e_secp256k1_public_compressed_hex);
      const message = crypto.getRandomValues(new Uint8Array(16));
      expect(`${key.name} own`, await verifier.verify(identity.publicKey, message, identity.sign(message)), undefined);
    }
  }
  const node = await rmb.Identity.fromSecret(vectors.keys.N?.secret ?? '', 'ed25519');
  expect('own token', rmb.createToken(node, 17, 'node-a', 1700000000), vectors.jwt[1]?.token);
  for (const { name, token, account_public_hex } of vectors.jwt) {
    const { signed, signature } = rmb.parseToken(token ?? '');
    expect(`token ${name}`, await verifier.verify(hex(account_public_hex ?? ''), signed, signature), undefined);
  }
  for (const vector of vectors.envelopes) {
    const envelope = rmb.decodeEnvelope(hex(vector.envelope_hex ?? ''));
    expect(`${vector.name} again`, rmb.encodeEnvelope(envelope).length > 0, true);
    if (vector.challenge_md5_hex === undefined) continue;
    expect(`${vector.name} challenge`, hexOf(rmb.challenge(envelope)), vector.challenge_md5_hex);
    const account = hex(vector.account_public_hex ?? '');
    expect(
      `${vector.name} signature`,
      await verifier.verify(account, rmb.challenge(envelope), envelope.signature),
      undefined,
    );
  }
  for (const vector of vectors.negative) {
    const envelope = rmb.decodeEnvelope(hex(vector.envelope_hex ?? ''));
    const account = hex(vector.account_public_hex ?? '');
    const fault = await verifier.verify(account, rmb.challenge(envelope), envelope.signature);
    expect(vector.name ?? '', fault, vector.must === 'accept' ? undefined : vector.rust_inner_error);
  }
  for (const vector of vectors.e2e) {
    const identity = await rmb.Identity.fromSecret(vector.secret_a_hex ?? '', 'sr25519');
    const other = hex(vector.public_b_hex ?? '');
    expect(`${vector.name} agreement`, hexOf(identity.agree(other)), vector.shared_x_hex);
    const cipher = new rmb.PayloadCipher(identity);
    expect(
      `${vector.name} decrypted`,
      text(cipher.decrypt(hex(vector.cipher_field_hex ?? ''), other)),
      vector.plaintext_utf8,
    );
    const damaged = hex(vector.cipher_field_hex ?? '');
    damaged[20] = (damaged[20] ?? 0) ^ 1;
    let refused = false;
    try {
      cipher.decrypt(damaged, other);
    } catch (error) {
      refused = error instanceof rmb.CipherError;
    }
    expect(`${vector.name} damaged`, refused, true);
  }
  return { checked, wrong };
}
