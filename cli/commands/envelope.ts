import { type EnvelopeReport, formatAddress, hexOf, inspectEnvelope } from '../../gateway/rmb/index.ts';
import { GridError } from '../../schemas/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { readHex, readInput, readTwinKeys } from '../rmb/input.ts';
import { shown, shownBytes, shownSignature, shownTime } from '../rmb/text.ts';
import { table } from '../table.ts';

const usage = `usage: gridnode envelope FILE|HEX|- [--twin-key TWIN=TYPE:HEX]... [--json]

Shows an RMB envelope: its fields, each piece of what is signed and the challenge that
comes of them, whether the signature is the twin's, how long it lives, and why a node
would refuse it. Two clients that disagree see in the pieces where they part.

  FILE               the envelope's bytes, or their hex digits; - reads standard input
  --twin-key         account of a twin: 17=ed25519:HEX or 17=sr25519:HEX, 64 hex digits;
                     without the source's key the signature is not checked
  --json             everything, for programs; bytes as hex

Exit status 1: not an envelope, or the signature is wrong.`;

export const command: Command = {
  usage,
  async run(args) {
    const { values, positionals } = readOptions(
      args,
      { 'twin-key': { type: 'string', multiple: true, default: [] }, json: { type: 'boolean', default: false } },
      usage,
    );
    const [name] = positionals;
    if (name === undefined || positionals.length > 1) throw new CliError(usage);
    const keys = readTwinKeys(values['twin-key']);
    const bytes = await readBytes(name);
    const now = Math.floor(Date.now() / 1000);
    let report: EnvelopeReport;
    try {
      report = await inspectEnvelope(bytes, { keys, now });
    } catch (error) {
      if (!(error instanceof GridError)) throw error;
      if (!values.json) throw new CliError(`${error.message} (${bytes.length} bytes in all)`);
      process.stdout.write(`${JSON.stringify({ sizeBytes: bytes.length, problem: error.message })}\n`);
      return 1;
    }
    process.stdout.write(`${values.json ? JSON.stringify(toJson(report)) : toText(report)}\n`);
    return report.signature.state === 'refused' ? 1 : 0;
  },
};

async function readBytes(name: string): Promise<Uint8Array> {
  const read = await readInput(name);
  if (read === undefined) {
    const bytes = readHex(name);
    if (bytes !== undefined) return bytes;
    throw new CliError(`${shown(name)} is neither a file nor hex digits${oddHex(name)}`);
  }
  if (read.length === 0) throw new CliError(`${name === '-' ? 'standard input' : name} is empty`);
  return readHex(read.toString('latin1')) ?? read;
}

function oddHex(text: string): string {
  const digits = text.replaceAll(/\s+/g, '').replace(/^0x/i, '');
  const at = digits.search(/[^0-9a-fA-F]/);
  if (at > 0) return ` (hex digits end at character ${at}: ${shown(digits.charAt(at))})`;
  return at < 0 && digits.length % 2 === 1 ? ` (${digits.length} hex digits are no whole bytes)` : '';
}

function toText(report: EnvelopeReport): string {
  const { envelope, problems, pieces } = report;
  const { source, destination, message, payload } = envelope;
  const text = (value: string | undefined): string => (value === undefined ? '-' : shown(value));
  const at = (value: typeof source): string => (value === undefined ? '-' : shown(formatAddress(value)));
  const what =
    message.case === 'request'
      ? shown(message.value.command)
      : message.case === 'error'
        ? `${message.value.code} ${shown(message.value.message)}`
        : '';
  const rows: [string, string][] = [
    ['size', `${report.sizeBytes} bytes`],
    ['uid', shown(envelope.uid)],
    ['kind', `${message.case ?? 'none'} ${what}`.trimEnd()],
    ['from', at(source)],
    ['to', at(destination)],
    ['sent', shownTime(envelope.timestamp)],
    ['lives', `${envelope.expiration} s, ${life(report.remainingSeconds)}`],
    ['tags', text(envelope.tags)],
    ['schema', text(envelope.schema)],
    ['federation', text(envelope.federation)],
    ['relays', envelope.relays.length === 0 ? '-' : envelope.relays.map((one) => shown(one)).join(' ')],
    ['payload', payload.case === undefined ? 'none' : `${payload.case}, ${payload.value.length} bytes`],
    ['challenge', report.challenge === undefined ? '-' : hexOf(report.challenge)],
    ['signature', shownSignature(report.signature)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const hashed = pieces.map(({ field, bytes }) => [
    field,
    `${bytes.length}`,
    bytes.length === 0 ? '' : shownBytes(bytes),
  ]);
  return [
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    '',
    'hashed, one after another without anything between:',
    table(['field', 'bytes', 'text'], hashed),
    ...(problems.length === 0
      ? []
      : ['', 'a node would say:', ...problems.map((problem) => `  ${shownLine(problem)}`)]),
  ].join('\n');
}

/** Words of ours around words of the message. */
const shownLine = (text: string): string =>
  text
    .split(' ')
    .map((word) => (word === '' ? '' : shown(word)))
    .join(' ');

function life(remaining: number): string {
  return remaining > 0 ? `${remaining} s left` : `expired ${-remaining} s ago`;
}

function toJson({ envelope, pieces, challenge, ...report }: EnvelopeReport): object {
  const { source, destination, message, payload } = envelope;
  const address = (value: typeof source): object | undefined =>
    value && { twin: value.twin, ...(value.connection === undefined ? {} : { connection: value.connection }) };
  return {
    ...report,
    challenge: challenge && hexOf(challenge),
    envelope: {
      uid: envelope.uid,
      tags: envelope.tags,
      timestamp: Number(envelope.timestamp),
      expiration: Number(envelope.expiration),
      source: address(source),
      destination: address(destination),
      kind: message.case,
      ...(message.case === 'request' ? { command: message.value.command } : {}),
      ...(message.case === 'error' ? { code: message.value.code, message: message.value.message } : {}),
      signature: envelope.signature && hexOf(envelope.signature),
      schema: envelope.schema,
      federation: envelope.federation,
      ...(payload.case === undefined ? {} : { [payload.case]: hexOf(payload.value) }),
      relays: envelope.relays,
    },
    pieces: pieces.map(({ field, bytes }) => ({ field, hex: hexOf(bytes) })),
  };
}
