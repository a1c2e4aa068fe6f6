import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeProblem } from './problem.ts';
import { checkJson, JsonReader, MAX_DEPTH } from './reader.ts';

function plain(json: JsonReader): unknown {
  switch (json.kind()) {
    case 'null':
      return json.null() ? null : undefined;
    case 'bool':
      return json.bool();
    case 'string':
      return json.string();
    case 'number':
      return json.digits() ?? JSON.parse(json.token());
    case 'array': {
      const items: unknown[] = [];
      for (let more = json.openArray(); more; more = json.nextItem()) items.push(plain(json));
      return items;
    }
    case 'object': {
      const value: Record<string, unknown> = Object.create(null);
      for (let more = json.openObject(); more; more = json.nextMember()) {
        const key = json.isKey(new Uint8Array()) ? '' : json.key();
        value[key] = plain(json);
      }
      return value;
    }
  }
}

function read(text: string): unknown {
  const json = new JsonReader(text);
  const value = plain(json);
  json.end();
  json.close();
  return value;
}

/** What the platform's parser says; numbers it rounds to zero or infinity included. */
function reference(text: string): { value: unknown } | 'refused' {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return 'refused';
  }
}

function ours(text: string): { value: unknown } | 'refused' {
  try {
    return { value: read(text) };
  } catch (error) {
    if (error instanceof DecodeProblem && error.kind === 'syntax') return 'refused';
    throw error;
  }
}

function complaintOf(work: () => unknown): string {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return (error as Error).message;
  }
}

function complaint(text: string): string {
  return complaintOf(() => checkJson(text));
}

function unended(text: string): string {
  return text === '12' ? 'accepted' : 'unexpected end of JSON input';
}

describe('JsonReader', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.nat(3), (json, indent) => {
        const text = JSON.stringify(JSON.parse(json), null, indent);
        expect(ours(text)).toEqual(reference(text));
      }),
    );
  });

  it('refuses what JSON.parse refuses: one character changed, removed or added', () => {
    const character = fc.constantFrom(...'{}[]",:\\truefalsn0123456789.-+eE \n\t\u0000\u00a0\u2028/*');
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), fc.nat(), character, fc.nat(2), (json, at, letter, action) => {
        const i = at % (json.length + 1);
        const text =
          json.slice(0, i) + (action === 1 ? '' : letter) + json.slice(action === 0 ? i : Math.min(json.length, i + 1));
        // Unpaired surrogates are Go's U+FFFD here, so only the verdict is compared.
        expect(ours(text) === 'refused').toBe(reference(text) === 'refused');
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['', 'unexpected end of JSON input'],
    ['{', 'unexpected end of JSON input'],
    ['"a', 'unexpected end of JSON input'],
    ['x', "invalid character 'x' looking for beginning of value at offset 0"],
    ['[1,]', "invalid character ']' looking for beginning of value at offset 3"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string at offset 7"],
    ['{"a" 1}', "invalid character '1' after object key at offset 5"],
    ['{"a":1 "b"}', "invalid character '\"' after object key:value pair at offset 7"],
    ['[1 2]', "invalid character '2' after array element at offset 3"],
    ['1 1', "invalid character '1' after top-level value at offset 2"],
    ['01', "invalid character '1' after top-level value at offset 1"],
    ['tru3', "invalid character '3' in literal true (expecting 'e') at offset 3"],
    ['-x', "invalid character 'x' in numeric literal at offset 1"],
    ['1.x', "invalid character 'x' after decimal point in numeric literal at offset 2"],
    ['1e+', 'unexpected end of JSON input'],
    ['"\\x"', "invalid character 'x' in string escape code at offset 2"],
    ['"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape at offset 5"],
    ['"\n"', "invalid character '\\n' in string literal at offset 1"],
    [
      '\ufeff{}',
      "invalid character '\\ufeff' (a byte order mark, which some editors put first) looking for beginning of value at offset 0",
    ],
    ['{\u00a0}', "invalid character '\\u00a0' looking for beginning of object key string at offset 1"],
    ["'a'", "invalid character '\\'' looking for beginning of value at offset 0"],
    ['\u00e9', "invalid character '\u00e9' looking for beginning of value at offset 0"],
    ['/* */1', "invalid character '/' looking for beginning of value at offset 0"],
  ])('says what is wrong with %j', (text, expected) => {
    expect(complaint(text)).toBe(expected);
  });

  it('says the same whether a text is read or checked', () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 3 }),
        fc.nat(),
        fc.constantFrom(...'{}[]",:\\t0.-e \n\u00e9'),
        (json, at, letter) => {
          const i = at % (json.length + 1);
          const text = json.slice(0, i) + letter + json.slice(i);
          expect(complaintOf(() => read(text))).toBe(complaint(text));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('reads a text that is a part of another, shorter than the one before, or beyond ASCII', () => {
    const long = `${JSON.stringify({ key: 'x'.repeat(100_000) })} `.slice(0, -1);
    expect(read(long)).toEqual(JSON.parse(long));
    for (const text of ['{"k', '"', '12', 'tru', '{"a":1', '[1']) expect(complaint(text)).toBe(unended(text));
    expect(ours('{"\u00e9\ud83d\ude00":"\u2028\u0122","\u0122":[7]}')).toEqual({
      value: { 'é😀': '\u2028\u0122', Ģ: [7] },
    });
  });

  it('replaces unpaired surrogates and keeps pairs', () => {
    expect(ours('"\\ud800x\\udc00\\ud83d\\ude00"')).toEqual({ value: '\ufffdx\ufffd😀' });
  });

  it('bounds the depth, also of texts that are broken otherwise', () => {
    expect(complaint('['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH))).toBe('accepted');
    for (const open of ['[', '{"a":']) expect(complaint(open.repeat(1_000_000))).toBe('exceeded max depth');
  });
});
