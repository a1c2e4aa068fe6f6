import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isGridError } from '../../schemas/errors/index.ts';
import { checkRelays, compareTwin, planUpdate, relayHosts, type TwinText } from './own-twin.ts';

const key = (fill: number): Uint8Array => new Uint8Array(33).fill(fill);
const twin = (relays: string, fill?: number): TwinText => ({
  relays: relays === '' ? [] : relays.split('_'),
  encryptionKey: fill === undefined ? null : key(fill),
});
const same = { missing: [], extra: [], key: 'same' };

describe("a twin's relays", () => {
  it.each([
    ['a.example_b.example', 'b.example_a.example'],
    ['A.Example_b.example', 'a.example_B.EXAMPLE'],
    ['a.example_a.example', 'a.example'],
    ['_a.example_', 'a.example'],
    ['', ''],
  ])('are a set: %j is %j', (stored, own) => {
    expect(compareTwin(twin(stored, 1), twin(own, 1))).toEqual(same);
    for (const mode of ['union', 'replace'] as const) {
      expect(planUpdate(twin(stored, 1), twin(own, 1), mode)).toBeUndefined();
    }
  });

  it('differ by what is missing and what is extra, and change only as allowed', () => {
    const [stored, own] = [twin('old.example_both.example', 1), twin('both.example_new.example', 1)];
    expect(compareTwin(stored, own)).toEqual({ missing: ['new.example'], extra: ['old.example'], key: 'same' });
    expect(planUpdate(stored, own, 'never')).toBeUndefined();
    expect(planUpdate(stored, own, 'union')?.relays).toEqual(['both.example', 'new.example', 'old.example']);
    expect(planUpdate(stored, own, 'replace')?.relays).toEqual(['both.example', 'new.example']);
    // What another program of the twin wrote stays, and is no reason to write.
    expect(planUpdate(stored, twin('both.example', 1), 'union')).toBeUndefined();
  });

  it('come from URLs as hosts alone', () => {
    expect(relayHosts(['wss://Relay.Example:443/', 'ws://relay.example', 'ws://localhost:8080'])).toEqual([
      'localhost',
      'relay.example',
    ]);
  });

  it.each([
    [['a.example', 'b.example', 'c.example', 'd.example', 'e.example'], '5 relays are more than 4'],
    [['relay.example:443'], 'not a host name alone'],
    [['[::1]'], 'not a host name alone'],
    [['a_b.example'], 'not a host name alone'],
    [[''], 'not a host name alone'],
    [['relay.example.'], 'empty part'],
    [['relay..example'], 'empty part'],
    [['.example'], 'empty part'],
    [['r.example'], 'the chain wants two'],
    [['1.2.3.4'], 'the chain wants two'],
    [['x'], 'the chain wants two'],
    [Array.from({ length: 4 }, (_, index) => `${index}${'a'.repeat(300)}`), 'longer than 1024'],
  ])('are refused before the chain refuses them: %j', (relays, text) => {
    let thrown: unknown;
    try {
      checkRelays(relays);
    } catch (error) {
      thrown = error;
    }
    expect(isGridError(thrown, 'chain_relays') && thrown.message).toContain(text);
  });

  it('of four hosts and of addresses pass', () => {
    checkRelays(['relay.grid.example', 'localhost', '10.1.2.3', 'aa.b']);
    checkRelays([]);
  });
});

describe("a twin's key", () => {
  it('is published when it is absent or another, with the relays kept', () => {
    for (const stored of [twin('a.example'), twin('a.example', 2)]) {
      expect(planUpdate(stored, twin('a.example', 1), 'never')).toBeUndefined();
      for (const mode of ['union', 'replace'] as const) {
        expect(planUpdate(stored, twin('a.example', 1), mode)).toEqual(twin('a.example', 1));
      }
    }
    expect(compareTwin(twin('', 2), twin('', 1)).key).toBe('other');
    expect(compareTwin(twin(''), twin('', 1)).key).toBe('absent');
    expect(compareTwin({ relays: [], encryptionKey: new Uint8Array(0) }, twin('', 1)).key).toBe('absent');
  });

  it('and the relays are never erased, whatever is stored and wanted', () => {
    const relays = fc.subarray(['aa.x', 'bb.x', 'cc.x', 'dd.x']);
    const text = fc.record({ relays, encryptionKey: fc.option(fc.integer({ min: 1, max: 3 }).map(key)) });
    fc.assert(
      fc.property(text, text, fc.constantFrom('union' as const, 'replace' as const), (stored, own, mode) => {
        const plan = planUpdate(stored, own, mode);
        const after = plan ?? stored;
        if (stored.encryptionKey !== null) expect(after.encryptionKey).not.toBeNull();
        if (stored.relays.length > 0) expect(after.relays.length).toBeGreaterThan(0);
        if (mode === 'union') expect(after.relays).toEqual(expect.arrayContaining(stored.relays));
        if (own.relays.length > 0) {
          const { missing, extra } = compareTwin(after, own);
          expect(missing).toEqual([]);
          if (mode === 'replace') expect(extra).toEqual([]);
        }
        if (own.encryptionKey !== null) expect(after.encryptionKey).toEqual(own.encryptionKey);
        // Once written, nothing is left to write.
        expect(planUpdate(after, own, mode)).toBeUndefined();
      }),
    );
  });
});
