import { inspectToken, type TokenReport } from '../../gateway/rmb/index.ts';
import { CliError, type Command, readOptions } from '../command.ts';
import { readInput, readTwinKeys } from '../rmb/input.ts';
import { shown, shownSignature, shownTime } from '../rmb/text.ts';

const usage = `usage: gridnode token FILE|-|TOKEN [--twin-key TWIN=TYPE:HEX]... [--json]

Shows the token that a client shows a relay: header, claims, the text that is signed, how
long it lives, and whether the signature is the twin's. The signature itself is not shown.

  FILE, -            read it from a file or from standard input. A token is a secret while
                     it lives: as an argument every user of this machine can see it
  --twin-key         account of a twin: 17=ed25519:HEX or 17=sr25519:HEX, 64 hex digits;
                     without the key the signature is not checked
  --json             everything, for programs

Exit status 1: not a token, or the signature is wrong.`;

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
    const text = ((await readInput(name))?.toString('utf8') ?? name).trim();
    if (text === '') throw new CliError(`${name === '-' ? 'standard input' : name} is empty`);
    // As it stands in a relay's address it is the query.
    const token = text.slice(text.lastIndexOf('?') + 1);
    const report = await inspectToken(token, { keys, now: Math.floor(Date.now() / 1000) });
    process.stdout.write(`${values.json ? JSON.stringify(report) : toText(report)}\n`);
    return report.signature.state === 'refused' ? 1 : 0;
  },
};

function toText(report: TokenReport): string {
  const { claims, remainingSeconds, problem } = report;
  const rows: [string, string][] = [
    ['header', json(report.header)],
    ['claims', json(claims)],
    ['issued', time(claims, 'iat')],
    ['expires', `${time(claims, 'exp')}${remainingSeconds === undefined ? '' : `, ${life(remainingSeconds)}`}`],
    ['signed', `${report.signed.length} bytes: ${shownWhole(report.signed)}`],
    ['signature', shownSignature(report.signature)],
    ...(problem === undefined ? [] : ([['relays say', `invalid jwt: jwt: ${problem}`]] as [string, string][])),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

function json(value: unknown): string {
  return value === undefined ? 'not base64url of JSON' : shown(JSON.stringify(value));
}

/** What is signed is only useful whole; anything but a token's letters is a stranger's. */
function shownWhole(text: string): string {
  return /^[\w.-]*$/.test(text) ? text : shown(text);
}

function time(claims: unknown, name: 'iat' | 'exp'): string {
  const value = (claims as Record<string, unknown> | null | undefined)?.[name];
  return typeof value === 'number' ? shownTime(value) : '-';
}

/** At the very second of its end a token still passes. */
function life(remaining: number): string {
  return remaining >= 0 ? `${remaining} s left` : `expired ${-remaining} s ago`;
}
