/** What is fuzzed: each reader of bytes that strangers send, with what must hold whatever they are. */
import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { Door } from '../../gateway/door/door.ts';
import { checkShape } from '../../gateway/door/shape.ts';
import { readLocalRequest, readServiceReply } from '../../gateway/local/messages.ts';
import { problemOfReturn } from '../../gateway/local/names.ts';
import { hasFailFast, pongReply } from '../../gateway/relay/replies.ts';
import { readRefusal } from '../../gateway/rmb/answer.ts';
import {
  decodeEnvelope,
  encodeEnvelope,
  findFieldProblem,
  formatAddress,
  parseAddress,
} from '../../gateway/rmb/envelope.ts';
import {
  challenge,
  Identity,
  PayloadCipher,
  parseRelayDomains,
  parseToken,
  SignatureVerifier,
  TokenError,
} from '../../gateway/rmb/index.ts';
import { isGridError } from '../../schemas/errors/index.ts';
import { DecodeProblem } from '../../schemas/gojson/problem.ts';
import { checkJson, JsonReader } from '../../schemas/gojson/reader.ts';
import { readText } from '../../schemas/gojson/source.ts';
import {
  type Command,
  challengePieces,
  commands,
  type Deployment,
  challenge as deploymentChallenge,
  formatDeployment,
  parseDeployment,
  parseInput,
  validateDeployment,
} from '../../schemas/index.ts';
import { meaning } from '../security/vector-envelopes.ts';
import type { Reshape } from './mutate.ts';
import { reshapeJson, reshapeProtobuf, reshapeToken } from './reshape.ts';

export interface Target {
  readonly seeds: readonly Uint8Array[];
  readonly words: readonly Uint8Array[];
  /** Files whose blocks guide the search. */
  readonly files: RegExp;
  readonly reshape?: Reshape;
  /** A short name of what came out; throws where a promise is broken. */
  readonly run: (bytes: Uint8Array) => string | Promise<string>;
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/rmb.json', import.meta.url), 'utf8'));
const deployments = JSON.parse(readFileSync(new URL('../vectors/deployment.json', import.meta.url), 'utf8'));
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const bytesOf = (...texts: string[]): Uint8Array[] => texts.map((text) => Uint8Array.from(Buffer.from(text)));
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`broken: ${what}`);
}

const show = (value: unknown): string => JSON.stringify(value);

/** Runs `work`; a refusal that is meant to be is its name, anything else is a crash. */
function named(work: () => string): string {
  try {
    return work();
  } catch (error) {
    if (isGridError(error)) return error.code;
    if (error instanceof DecodeProblem) return `${error.kind}`;
    if (error instanceof TokenError) return error.message.slice(0, 24);
    throw error;
  }
}

const envelopeSeeds = [...vectors.envelopes, ...vectors.negative].map(({ envelope_hex }: { envelope_hex: string }) =>
  hex(envelope_hex),
);
const envelopeWords = [
  ...['0a', '12', '18', '20', '2a', '32', '3a', '42', '4a', '52', '5a', '62', '6a', '72', '7a', '8201', '8a01'].map(
    hex,
  ),
  ...['8080808010', 'ffffffffffffffffff01', 'ffffffff0f', '0800', '1200', '0807', 'c328', 'eda080'].map(hex),
  ...bytesOf('zos.system.version', 'application/json', 'fail-fast'),
];

/** An envelope that decodes keeps its meaning through our encoder, and nothing that reads it throws. */
function runEnvelope(bytes: Uint8Array): string {
  return named(() => {
    const envelope = decodeEnvelope(bytes);
    const again = decodeEnvelope(encodeEnvelope(envelope));
    must(show(meaning(again)) === show(meaning(envelope)), 'encoding an envelope changes it');
    pongReply(envelope);
    hasFailFast(envelope.tags);
    parseRelayDomains(envelope.federation ?? '');
    const problem = findFieldProblem(envelope);
    if (envelope.source !== undefined && envelope.destination !== undefined) {
      must(challenge(envelope).length === 16, 'a challenge has 16 bytes');
      const text = formatAddress(envelope.source);
      must(formatAddress(parseAddress(text)) === text, 'an address changes in its text');
    } else must(problem !== undefined, 'an envelope without an address is no request');
    if (problem !== undefined) return `field ${problem.details.field}`;
    const shape = checkShape(envelope);
    return `${envelope.message.case} ${typeof shape === 'string' ? shape : (shape?.code ?? 'fits')}`;
  });
}

function runToken(bytes: Uint8Array): string {
  return named(() => {
    const { claims, signature, signed } = parseToken(textOf(bytes));
    must(signature.length === 65 && signed.length > 0, 'a token has a signature');
    must(Number.isInteger(claims.sub) && claims.sub >= 0 && claims.sub <= 0xffff_ffff, 'sub is a twin');
    must(Number.isInteger(claims.exp) && Number.isInteger(claims.iat), 'times are integers');
    return claims.sid === undefined ? 'token' : 'token with a session';
  });
}

const MAX_JSON = 64 * 1024;

/** Our strict reader takes what the language's takes, but for depth and bytes that are not UTF-8. */
function runJson(bytes: Uint8Array): string {
  let theirs = true;
  try {
    JSON.parse(textOf(bytes));
  } catch {
    theirs = false;
  }
  const ours = named(() => {
    const text = readText(bytes, MAX_JSON);
    checkJson(text);
    return new JsonReader(text).kind();
  });
  if (ours === 'syntax') {
    // A byte order mark and bytes that are not UTF-8 are read away by the language's decoder.
    const exact = Buffer.from(textOf(bytes)).equals(bytes) && textOf(bytes).codePointAt(0) !== 0xfeff;
    must(!theirs || !exact, 'a JSON text is refused');
  } else if (ours !== 'depth') must(theirs, 'no JSON text is read');
  return ours;
}

/** What checking a deployment comes to, in full. */
function verdictOf(deployment: Deployment): string {
  try {
    validateDeployment(deployment);
    return 'valid';
  } catch (error) {
    if (isGridError(error)) return show([error.code, error.message]);
    throw error;
  }
}

function runDeployment(bytes: Uint8Array): string {
  return named(() => {
    const deployment = parseDeployment(bytes);
    const text = formatDeployment(deployment);
    must(formatDeployment(parseDeployment(text)) === text, 'a deployment changes when it is read again');
    // A copy has to read its data alone.
    const copy = { ...deployment, workloads: deployment.workloads.map((workload) => ({ ...workload })) };
    const outcome = verdictOf(copy);
    must(verdictOf(deployment) === outcome, 'data means something else when it is read with its deployment');
    const pieces = named(() =>
      challengePieces(copy)
        .map(([, piece]) => piece)
        .join(''),
    );
    must(named(() => deploymentChallenge(deployment)) === pieces, 'a challenge is not what its pieces are');
    return `deployment of ${Math.min(deployment.workloads.length, 3)} workloads`;
  });
}

function runCommand(bytes: Uint8Array): string {
  const command: Command | undefined = commands[(bytes[0] ?? 0) % commands.length] as Command | undefined;
  if (command === undefined) return 'none';
  return `${command.name} ${named(() => {
    parseInput(command, bytes.subarray(1));
    return 'read';
  })}`;
}

const reshapeCommand: Reshape = (bytes, dice, scramble) => {
  const input = reshapeJson(bytes.subarray(1), dice, scramble);
  return input === undefined ? undefined : Buffer.concat([Uint8Array.of(dice.roll(commands.length)), input]);
};

function runRefusal(bytes: Uint8Array): string {
  const refusal = readRefusal(bytes);
  return refusal === undefined ? 'none' : refusal.code;
}

/** What local programs write into queues: a message, or a problem and whom to tell of it. */
function runLocal(bytes: Uint8Array): string {
  const text = textOf(bytes);
  const results = [readLocalRequest(text), readServiceReply(text)].map((reading) => {
    if ('message' in reading) return 'read';
    const { problem, ret, ref, dst } = reading.unreadable;
    must(problem.length > 0 && problem.length < 1000, 'a problem is a sentence');
    for (const part of [ret, ref, dst]) must(part === undefined || typeof part === 'string', 'a reference is a text');
    return ret === undefined ? 'nobody to tell' : problemOfReturn(ret) === undefined ? 'told' : 'told to nobody';
  });
  return results.join(', ');
}

/** The whole door, for a node whose twins have keys; nothing that was not signed gets in. */
async function doorTarget(): Promise<Target> {
  const account = hex(vectors.envelopes[0].account_public_hex);
  const node = await Identity.fromSecret(vectors.keys.N.secret, 'ed25519');
  const twin = { account, relay: ['x'], encryptionKey: node.encryptionKey };
  const verifier = new SignatureVerifier({ threads: 1 });
  let nowMs = 1_700_000_010_000;
  const door = new Door({
    twinId: 17,
    twins: { twin: async (id) => (id === 99 ? undefined : { ...twin, id }) },
    verifier,
    cipher: new PayloadCipher(node),
    answer: async () => undefined,
    log: pino({ level: 'silent' }),
    limits: { ratePerSecond: 1e6, rateBurst: 1e6 },
    now: () => nowMs,
  });
  const user = await Identity.fromSecret(vectors.keys.A.secret, 'ed25519');
  // Half of the changed envelopes are signed anew, or none would be seen by the checks behind the signature.
  const reshape: Reshape = (bytes, dice, scramble) => {
    const changed = reshapeProtobuf(bytes, dice, scramble);
    return changed === undefined || dice.roll(2) === 0 ? changed : signedAnew(changed, user);
  };
  return {
    seeds: envelopeSeeds,
    words: envelopeWords,
    files: /gateway\/(door|rmb)\//,
    reshape,
    run: async (bytes) => {
      nowMs += 1;
      if (nowMs > 1_700_000_290_000) nowMs = 1_700_000_010_000;
      const verdict = await door.admit(bytes);
      if (verdict.outcome === 'ignored') return verdict.reason;
      if (verdict.outcome === 'refused') return `${verdict.check} ${verdict.refusal.code}`;
      verdict.request.leave();
      const { signature } = decodeEnvelope(bytes);
      const fault = await verifier.verify(account, challenge(decodeEnvelope(bytes)), signature);
      must(fault === undefined, 'something unsigned got in');
      return 'admitted';
    },
  };
}

function signedAnew(bytes: Uint8Array, signer: Identity): Uint8Array {
  try {
    const envelope = decodeEnvelope(bytes);
    envelope.signature = signer.sign(challenge(envelope));
    return encodeEnvelope(envelope);
  } catch {
    return bytes;
  }
}

const jsonSeeds = bytesOf(
  '{"contract_id":42}',
  '[1,-0.5e+3,true,false,null,"\\u00e9\\ud83d\\ude00\\n",{}]',
  '{"name":"x","nested":[[[{"a":{}}]]]}',
  ' "text" ',
);
const jsonWords = bytesOf(
  ...['{', '}', '[', ']', '"', ':', ',', '\\u', '\\ud800', '1e400', '-0', '18446744073709551616', '9007199254740993'],
  ...['null', 'true', '\u00ff', '\ufeff', '\u2028', '"__proto__":', '"constructor":', '"contract_id":', '"workloads":'],
  ...['"type":"zmachine"', '"data":{', '"signature_requirement":', '[[[[[[[[[[[[[[[[', '\u017f', '0x', '.', 'E+'],
);

/** Texts of deployments in the vectors. */
function deploymentSeeds(): Uint8Array[] {
  const found: Uint8Array[] = [];
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('workloads' in value) found.push(Uint8Array.from(Buffer.from(JSON.stringify(value))));
    for (const part of Object.values(value)) look(part);
  };
  look(deployments);
  return found.filter(({ length }) => length < 3000).slice(0, 12);
}

const tokenSeeds = bytesOf(...vectors.jwt.map(({ token }: { token: string }) => token));
const tokenWords = bytesOf('.', '=', '-', '_', 'eyJ', 'fQ', 'ZSE', 'bnVsbA', 'MQ', 'IiI', '\u0000', '%', '+', '/');

export const targets: Readonly<Record<string, () => Target | Promise<Target>>> = {
  envelope: () => ({
    seeds: envelopeSeeds,
    words: envelopeWords,
    files: /gateway\/(rmb|door|relay)\//,
    reshape: reshapeProtobuf,
    run: runEnvelope,
  }),
  token: () => ({
    seeds: tokenSeeds,
    words: tokenWords,
    files: /gateway\/rmb\//,
    reshape: reshapeToken,
    run: runToken,
  }),
  json: () => ({ seeds: jsonSeeds, words: jsonWords, files: /schemas\//, reshape: reshapeJson, run: runJson }),
  deployment: () => ({
    seeds: deploymentSeeds(),
    words: jsonWords,
    files: /schemas\//,
    reshape: reshapeJson,
    run: runDeployment,
  }),
  command: () => ({
    seeds: commands.map((_, index) => Buffer.concat([Uint8Array.of(index), jsonSeeds[0] ?? new Uint8Array()])),
    words: jsonWords,
    files: /schemas\//,
    reshape: reshapeCommand,
    run: runCommand,
  }),
  refusal: () => ({
    seeds: bytesOf('{"error":{"code":"twin_unknown","details":{"twin":9}}}'),
    words: [...jsonWords, ...bytesOf('"error":', '"details":', '"code":', 'capacity_memory')],
    files: /(gateway\/rmb|schemas)\//,
    reshape: reshapeJson,
    run: runRefusal,
  }),
  local: () => ({
    seeds: bytesOf(...vectors.redis_json.map(({ json }: { json: object }) => JSON.stringify(json))),
    words: [...jsonWords, ...bytesOf('"ret":', '"ref":', '"dst":[', 'msgbus.', '"err":{"code":', '"dat":"', '==')],
    files: /gateway\/local\//,
    reshape: reshapeJson,
    run: runLocal,
  }),
  door: doorTarget,
};
