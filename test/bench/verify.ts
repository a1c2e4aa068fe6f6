/**
 * Envelopes a second that one process decodes and verifies, both key types:
 * bytes in, `decodeEnvelope`, the challenge, the signature through
 * `SignatureVerifier`. Many twins, as a gateway sees them, each often enough
 * that its key is known.
 */
import { randomUUID } from 'node:crypto';
import {
  address,
  challenge,
  createEnvelope,
  decodeEnvelope,
  encodeEnvelope,
  type KeyType,
  SignatureVerifier,
  type TwinRecord,
} from '../../gateway/rmb/index.ts';
import { CALLERS, identityOf, NODE, twinsOf } from './peers/twins.ts';

const ENVELOPES = 4096;
/** Envelopes that are verified at any moment. */
const LANES = 128;
const TURNS = 5;
const TURN_MS = 600;

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const metrics: Record<string, number> = {};
  for (const keyType of ['ed25519', 'sr25519'] as const) {
    const envelopes = await signed(keyType);
    const verifier = new SignatureVerifier();
    try {
      const turns: Turn[] = [];
      await verifyFor(verifier, envelopes, TURN_MS);
      for (let turn = 0; turn < TURNS; turn += 1) turns.push(await verifyFor(verifier, envelopes, TURN_MS));
      metrics[`${keyType}_per_second`] = Math.round(median(turns.map(({ perSecond }) => perSecond)));
      metrics[`${keyType}_cpu_us`] = Math.round(median(turns.map(({ micros }) => micros)) * 10) / 10;
    } finally {
      await verifier.close();
    }
  }
  return { name: 'verify', metrics };
}

interface Signed {
  readonly twin: TwinRecord;
  readonly bytes: Uint8Array;
}

async function signed(keyType: KeyType): Promise<readonly Signed[]> {
  const twins = await twinsOf(keyType);
  const signers = await Promise.all(
    CALLERS.map(async (id) => ({
      identity: await identityOf(id, keyType),
      twin: (await twins.twin(id)) as TwinRecord,
    })),
  );
  return Array.from({ length: ENVELOPES }, (_, index) => {
    const { identity, twin } = signers[index % signers.length] as (typeof signers)[number];
    const envelope = createEnvelope({
      uid: randomUUID(),
      timestamp: BigInt(Math.floor(Date.now() / 1000)),
      expiration: 60n,
      source: address(twin.id, 'bench'),
      destination: address(NODE),
      message: { case: 'request', value: { command: 'zos.system.version' } },
      schema: 'application/json',
      payload: { case: 'plain', value: Buffer.from('null') },
    });
    envelope.signature = identity.sign(challenge(envelope));
    return { twin, bytes: encodeEnvelope(envelope) };
  });
}

interface Turn {
  readonly perSecond: number;
  readonly micros: number;
}

async function verifyFor(verifier: SignatureVerifier, envelopes: readonly Signed[], durationMs: number): Promise<Turn> {
  const before = process.cpuUsage();
  const started = performance.now();
  let verified = 0;
  let at = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() - started < durationMs) {
      const { twin, bytes } = envelopes[at % envelopes.length] as Signed;
      at += 1;
      const envelope = decodeEnvelope(bytes);
      const fault = await verifier.verify(twin.account, challenge(envelope), envelope.signature);
      if (fault !== undefined) throw new Error(fault);
      verified += 1;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(before);
  return { perSecond: verified / seconds, micros: (user + system) / verified };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
