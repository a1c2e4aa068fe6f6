import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ZinitClient } from './control.ts';
import { startOrder } from './order.ts';
import { markProcess } from './process.ts';
import { parseUnit } from './unit.ts';
import { quoteWord, splitWords } from './words.ts';

describe('words', () => {
  it('splits as a shell does', () => {
    expect(splitWords(`a 'b c' "d \\"e" f\\ g ''`)).toEqual(['a', 'b c', 'd "e', 'f g', '']);
    expect(() => splitWords(`a 'b`)).toThrow(/no closing '/);
  });
  it('reads back what it quotes', () => {
    for (const word of ["it's", '', 'a b', '$HOME `x`', '/plain/path'])
      expect(splitWords(quoteWord(word))).toEqual([word]);
  });
});

describe('units', () => {
  it('reads the format of zinit and ignores what zinit ignores', () => {
    const unit = parseUnit(
      'vmd',
      'exec: vmd --broker x\ntest: probe vmd\nafter: [boot, networkd]\nsignal: {stop: sigint}\nlog: none\nshutdown_timeout: 3\nother: 1\n',
    );
    expect(unit).toMatchObject({
      exec: ['vmd', '--broker', 'x'],
      after: ['boot', 'networkd'],
      stopSignal: 'SIGINT',
      log: 'none',
    });
    expect(unit.shutdownTimeoutMs).toBe(3000);
  });
  it.each([
    ['', /document/],
    ['exec: ""', /missing exec directive/],
    ['exec: x\nsignal: {stop: LOUD}', /signal.stop: is not a signal/],
    ['exec: "a \'b"', /no closing/],
    ['exec: x\nlog: loud', /log/],
    ['{', /not YAML/],
  ])('refuses %j and names the field', (text, message) => {
    expect(() => parseUnit('x', text)).toThrow(message);
  });
  it('orders by dependency and refuses circles and unknown names', () => {
    const unit = (name: string, after: string[]) =>
      [name, parseUnit(name, `exec: x\nafter: ${JSON.stringify(after)}`)] as const;
    const order = startOrder(new Map([unit('c', ['b']), unit('a', []), unit('b', ['a'])])).map((u) => u.name);
    expect(order).toEqual(['a', 'b', 'c']);
    expect(() => startOrder(new Map([unit('a', ['b']), unit('b', ['a'])]))).toThrow(/a -> b -> a/);
    expect(() => startOrder(new Map([unit('a', ['zz'])]))).toThrow(/'zz', which is not defined/);
  });
});

describe('supervisor process', () => {
  let state: string;
  let children: ChildProcess[];
  const client = (): ZinitClient => new ZinitClient(join(state, 'zinit.sock'));

  beforeEach(async () => {
    state = await mkdtemp(join(tmpdir(), 'gn-zinit-'));
    children = [];
  });
  afterEach(async () => {
    await client()
      .shutdown()
      .catch(() => undefined);
    for (const child of children) child.kill('SIGKILL');
    await rm(state, { recursive: true, force: true });
  });

  async function begin(units: Record<string, string>): Promise<ChildProcess> {
    await mkdir(join(state, 'zinit'), { recursive: true });
    for (const [name, text] of Object.entries(units)) await writeFile(join(state, 'zinit', `${name}.yaml`), text);
    const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--state', state], {
      stdio: 'ignore',
    });
    children.push(child);
    await until(async () => (await client().list()).length > 0);
    return child;
  }
  async function until(check: () => Promise<boolean>, ms = 20_000): Promise<void> {
    const end = Date.now() + ms;
    while (!(await check().catch(() => false))) {
      if (Date.now() > end) throw new Error('did not happen in time');
      await sleep(20);
    }
  }
  const stateOf = async (name: string): Promise<string> => (await client().status(name)).state;

  it('starts in order, each ready before the next, and logs', async () => {
    const first = join(state, 'first');
    await begin({
      second: `exec: sh -c 'test -e ${first} && echo ordered; exec sleep 100'\nafter: [first]`,
      first: `exec: sh -c 'sleep 0.3; touch ${first}; exec sleep 100'\ntest: test -e ${first}`,
      once: 'exec: "true"\noneshot: true',
    });
    await until(async () => (await stateOf('second')) === 'running' && (await stateOf('once')) === 'success');
    await until(async () => (await readFile(await client().log('second'), 'utf8')).includes('ordered'));
    expect((await stat(join(state, 'zinit.sock'))).mode & 0o077).toBe(0);
  });

  it('restarts what dies with growing delays and says why', async () => {
    await begin({ dies: `exec: sh -c 'exit 3'`, lives: 'exec: sleep 100' });
    await until(async () => (await client().status('dies')).restarts >= 2);
    expect((await client().status('dies')).reason).toMatch(/ended with status 3; starts again in \d+ ms|^$/);
    const before = await client().status('lives');
    await client().kill('lives', 'SIGKILL');
    await until(async () => {
      const now = await client().status('lives');
      return now.state === 'running' && now.pid !== before.pid;
    });
  });

  it('stops units in reverse, and one that ignores its signal is killed', async () => {
    const order = join(state, 'order');
    // Ready as soon as it hears its signal.
    const trap = (name: string, does: string, then: string) => {
      const ready = join(state, `${name}.ready`);
      return `exec: bash -c 'trap "${does}" TERM; touch ${ready}; ${then}'\ntest: test -e ${ready}`;
    };
    const tells = (name: string) => trap(name, `echo ${name} >> ${order}; exit`, 'while :; do sleep 0.05; done');
    await begin({
      a: tells('a'),
      b: `${tells('b')}\nafter: [a]`,
      deaf: `${trap('deaf', '', 'sleep 100')}\nshutdown_timeout: 0.2`,
    });
    await until(async () => (await stateOf('b')) === 'running' && (await stateOf('deaf')) === 'running');
    const pid = (await client().status('deaf')).pid ?? 0;
    await client().shutdown();
    expect(await readFile(order, 'utf8')).toBe('b\na\n');
    expect(markProcess(pid)).toBeUndefined();
  });

  /** Runs a unit that takes its time to end, and stops it: it was told and is still there. */
  const beingStopped = async () => {
    const [ready, told] = [join(state, 'ready'), join(state, 'told')];
    const trap = `trap "touch ${told}; sleep 1; exit" TERM; touch ${ready}`;
    await begin({ slow: `exec: bash -c '${trap}; while :; do sleep 0.05; done'\ntest: test -e ${ready}` });
    await until(async () => (await stateOf('slow')) === 'running');
    const pid = (await client().status('slow')).pid ?? 0;
    const stopping = client().stop('slow');
    await until(() => stat(told).then(() => true));
    return { pid, stopping };
  };

  it('ends only when a unit that is being stopped already is gone', async () => {
    const { pid, stopping } = await beingStopped();
    await Promise.all([client().shutdown(), stopping]);
    expect(markProcess(pid)).toBeUndefined();
  });

  it('starts a unit that is being stopped once it is gone, and the stop ends', async () => {
    const { pid, stopping } = await beingStopped();
    await client().start('slow');
    await stopping;
    await until(async () => {
      const now = await client().status('slow');
      return now.state === 'running' && now.pid !== undefined && now.pid !== pid;
    });
    expect(markProcess(pid)).toBeUndefined();
    const record = JSON.parse(await readFile(join(state, 'zinit', 'run', 'slow.json'), 'utf8')) as { pid: number };
    expect(record.pid).toBe((await client().status('slow')).pid);
  });

  it('ends what a unit leaves in its group however soon it is over itself', async () => {
    const left = join(state, 'left');
    await begin({ short: `exec: sh -c 'sleep 1000 & echo $! >> ${left}; exit 1'` });
    await until(async () => (await client().status('short')).restarts >= 3);
    await client().stop('short');
    const pids = (await readFile(left, 'utf8')).trim().split('\n').map(Number);
    expect(pids.length).toBeGreaterThanOrEqual(3);
    for (const pid of pids) await until(async () => markProcess(pid) === undefined);
  });

  it('ends the processes a killed supervisor left before starting them again', async () => {
    const child = await begin({ keeps: 'exec: sleep 1000' });
    await until(async () => (await stateOf('keeps')) === 'running');
    const old = (await client().status('keeps')).pid ?? 0;
    child.kill('SIGKILL');
    await sleep(100);
    expect(markProcess(old)).toBeDefined();
    await begin({});
    await until(async () => (await stateOf('keeps')) === 'running');
    expect((await client().status('keeps')).pid).not.toBe(old);
    expect(markProcess(old)).toBeUndefined();
  });

  it('answers unknown commands and units with what there is', async () => {
    await begin({ only: 'exec: sleep 100' });
    await expect(client().status('other')).rejects.toThrow("no unit 'other'; there are only");
    await expect(client().kill('only', 'SIGNOPE' as NodeJS.Signals)).rejects.toThrow(/not a signal/);
  });
});
