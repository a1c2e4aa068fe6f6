import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../modules/host/run.ts';
import { hasOfficialClient } from './official-client.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const able = hasOfficialClient && process.getuid?.() === 0 && existsSync('/usr/bin/unshare');

interface Outcome {
  readonly users: readonly { readonly id: number; readonly relay: string; readonly keyBytes: number }[];
  readonly clients: readonly {
    readonly asked: unknown;
    readonly atOnce: unknown;
    readonly ping: unknown;
    readonly outage: unknown;
    readonly after: unknown;
  }[];
}

// Its namespace gives it port 443 on loopback, the only one it can store on the chain.
describe.skipIf(!able)('the official client, through our relay to a node of ours', () => {
  let outcome: Outcome;
  beforeAll(async () => {
    const words = ['--net', '--', process.execPath, here('./official-scenario.ts')];
    const { stdout } = await run('unshare', words, { deadlineMs: 200_000 });
    outcome = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Outcome;
  }, 210_000);

  const version = { value: { zos: '0.1.0', zinit: '0.1.0' } };
  const answers = (twin: number | undefined, encrypted: boolean): unknown[] => [
    version,
    { value: { got: { contract_id: 42, text: 'ünï' }, encrypted, twin } },
    { error: '0 function is not found' },
  ];

  it.each([
    ['sr25519 and a session', 0, 0],
    ['sr25519 and a session of no letters beside it', 1, 0],
    ['ed25519', 2, 1],
  ])('with %s', (_name, client, user) => {
    const { id, relay, keyBytes } = outcome.users[user] ?? {};
    expect(relay).toBe(['localhost', '127.0.0.2'][user]);
    expect(keyBytes).toBe(33);
    const { asked, atOnce, ping, outage, after } = outcome.clients[client] ?? {};
    // A node with a key on the chain is asked in secret, one without in the clear.
    expect(asked).toEqual([...answers(id, true), ...answers(id, false)]);
    expect(atOnce).toEqual({ own: 200, others: [] });
    expect(ping).toEqual([{ value: 'Pong' }]);
    // Its relay was killed or stopped, and started again.
    expect(outage).toEqual([version]);
    expect(after).toEqual(answers(id, true));
  });
});
