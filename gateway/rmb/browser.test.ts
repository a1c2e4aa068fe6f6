import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../modules/host/run.ts';
import { type TestTwin, World } from '../relay/testing/world.ts';
import { hexOf } from './hex.ts';
import { Identity, type KeyType, keyTypes } from './keys.ts';
import type { PageSetup } from './testing/page.ts';

const CHROMIUM = '/usr/bin/chromium';
const here = (name: string): string => join(import.meta.dirname, name);
const vectors = readFileSync(here('../../test/vectors/rmb.json'), 'utf8');

let folder: string;
let server: Server;
let browser: Browser;
let page: Page;
let world: World;
let users: Map<KeyType, { twin: TestTwin; secret: string }>;
const faults: string[] = [];

/** A page and the bundle's files, as a web server would give them. */
function serveFolder(): Server {
  const script = stripTypeScriptTypes(readFileSync(here('testing/page.ts'), 'utf8'));
  return createServer((request, response) => {
    const name = (request.url ?? '/').slice(1);
    if (name === '') response.setHeader('content-type', 'text/html').end('<!doctype html><title>RMB</title>');
    else if (name === 'page.js') response.setHeader('content-type', 'text/javascript').end(script);
    else if (readdirSync(folder).includes(name)) {
      response.setHeader('content-type', 'text/javascript').end(readFileSync(join(folder, name)));
    } else response.writeHead(404).end();
  });
}

const inPage = (name: string, argument: string): Promise<unknown> =>
  page.evaluate(`import('/page.js').then((page) => page.${name}(${argument}))`);

function setup(keyType: KeyType): PageSetup {
  const own = users.get(keyType);
  if (own === undefined) throw new Error(`no ${keyType} user`);
  return {
    relay: world.url,
    twins: [...world.chain.records.values()].map(({ id, account, encryptionKey }) => ({
      id,
      account: hexOf(account),
      encryptionKey: encryptionKey === null ? null : hexOf(encryptionKey),
    })),
    own: { id: own.twin.id, secret: own.secret, keyType },
    nodes: [17, 18],
  };
}

describe.skipIf(!existsSync(CHROMIUM))('in a browser', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gn-bundle-'));
    await run(process.execPath, [here('bundle.ts'), folder], { deadlineMs: 60_000 });
    world = await World.start();
    users = new Map();
    for (const [index, keyType] of keyTypes.entries()) {
      const secret = randomBytes(32).toString('hex');
      const identity = await Identity.fromSecret(secret, keyType);
      world.chain.put(7 + index, identity);
      users.set(keyType, { twin: { id: 7 + index, identity }, secret });
      const node = await world.chain.add(17 + index, keyType);
      const client = world.client(node);
      world.serve(client, node);
      await client.connect();
    }
    server = serveFolder();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'], timeout: 60_000 });
    page = await browser.newPage();
    page.on('pageerror', (error) => faults.push(error.message));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    server?.closeAllConnections();
    server?.close();
    await world?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  it('keys, tokens, envelopes, signatures and ciphers are those of the vectors', async () => {
    const { checked, wrong } = (await inPage('checkVectors', vectors)) as { checked: number; wrong: string[] };
    expect(wrong).toEqual([]);
    expect(checked).toBeGreaterThan(50);
  });

  for (const keyType of keyTypes) {
    it(`a client with an ${keyType} key calls nodes of both key types, encrypted and plain`, async () => {
      const { id } = setup(keyType).own;
      const echo = (encrypt: string) => ({
        echo: 'zos.x',
        twin: id,
        encrypted: encrypt === 'always',
        got: JSON.stringify({ from: 'page', encrypt }),
      });
      expect(await inPage('call', JSON.stringify(setup(keyType)))).toEqual([
        echo('always'),
        echo('never'),
        echo('always'),
        echo('never'),
        Array.from({ length: 20 }, (_, index) => `${index}`),
      ]);
    }, 60_000);

    it(`a client with an ${keyType} key answers`, async () => {
      const caller = world.client(await world.chain.add(30, 'sr25519'), { session: 'asker' });
      await caller.connect();
      await inPage('serve', JSON.stringify(setup(keyType)));
      try {
        for (const encrypt of ['always', 'never'] as const) {
          const answer = await caller.callJson({
            twin: setup(keyType).own.id,
            session: 'page',
            command: 'zos.page',
            encrypt,
            deadlineMs: 20_000,
          });
          expect(answer).toEqual({ page: 'zos.page', encrypted: encrypt === 'always' });
        }
      } finally {
        await inPage('stopServing', '');
        await caller.close();
      }
    }, 60_000);
  }

  it('a line without traffic is kept open by ping envelopes', async () => {
    const kept = {
      pings: [{ relay: world.url, roundTripMs: expect.any(Number) }],
      connected: true,
      lost: 0,
    };
    // A machine that stands still for a second may lose it once; without pings it is lost each time.
    for (let attempt = 1; ; attempt += 1) {
      const got = (await inPage('ping', JSON.stringify(setup('ed25519')))) as { lost: number };
      if (got.lost > 0 && attempt < 4) continue;
      expect(got).toEqual(kept);
      break;
    }
  }, 120_000);

  it('nothing failed unseen', () => expect(faults).toEqual([]));
});
