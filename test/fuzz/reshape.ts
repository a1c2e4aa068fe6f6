/** Changes inside a form: fields of a protobuf message, parts of a token, values of a JSON text. */
import type { Dice, Reshape } from './mutate.ts';

interface Field {
  readonly tag: Uint8Array;
  readonly type: number;
  readonly content: Uint8Array;
}

/** A field changed, dropped, doubled or moved; lengths fit again. */
export const reshapeProtobuf: Reshape = (bytes, dice, scramble) => {
  const fields = splitFields(bytes);
  if (fields === undefined || fields.length === 0) return undefined;
  const at = dice.roll(fields.length);
  const field = fields[at] as Field;
  const to = dice.roll(fields.length);
  switch (dice.roll(6)) {
    case 0:
      fields.splice(at, 1);
      break;
    case 1:
      fields.splice(to, 0, field);
      break;
    case 2:
      fields.splice(at, 1);
      fields.splice(to, 0, field);
      break;
    case 3:
      fields[at] = { ...(fields[to] as Field), content: field.content };
      break;
    default:
      // A part of a message is a message too, as addresses are.
      fields[at] = { ...field, content: reshapeProtobuf(field.content, dice, scramble) ?? scramble(field.content) };
  }
  return Buffer.concat(fields.map(joinField));
};

function joinField({ tag, type, content }: Field): Uint8Array {
  return Buffer.concat(type === 2 ? [tag, varint(content.length), content] : [tag, content]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  for (; left > 127; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return Uint8Array.from([...bytes, left]);
}

function splitFields(bytes: Uint8Array): Field[] | undefined {
  const fields: Field[] = [];
  let at = 0;
  const skip = (): number | undefined => {
    const start = at;
    while ((bytes[at] ?? 0) >= 0x80) at += 1;
    at += 1;
    if (at > bytes.length || at - start > 10) return undefined;
    let value = 0;
    for (let index = at - 1; index >= start; index -= 1) value = value * 128 + ((bytes[index] ?? 0) & 0x7f);
    return value;
  };
  while (at < bytes.length) {
    const start = at;
    const tag = skip();
    if (tag === undefined) return undefined;
    const tagEnd = at;
    const type = tag % 8;
    if (type !== 0 && type !== 2) return undefined;
    const value = skip();
    if (value === undefined) return undefined;
    const from = type === 2 ? at : tagEnd;
    if (type === 2) at += value;
    if (at > bytes.length) return undefined;
    fields.push({ tag: bytes.subarray(start, tagEnd), type, content: bytes.subarray(from, at) });
  }
  return fields;
}

/** A part of the token changed under its base64url. */
export const reshapeToken: Reshape = (bytes, dice, scramble) => {
  const parts = Buffer.from(bytes).toString('latin1').split('.');
  const at = dice.roll(parts.length);
  const inner = Buffer.from(parts[at] ?? '', 'base64url');
  const changed = reshapeJson(inner, dice, scramble) ?? scramble(inner);
  parts[at] = Buffer.from(changed).toString('base64url');
  return Buffer.from(parts.join('.'), 'latin1');
};

const EDGE_VALUES = [
  ...[
    null,
    true,
    0,
    -1,
    1.5,
    1e21,
    -0,
    255,
    65536,
    2 ** 32,
    2 ** 53,
    1e308,
    '',
    'a',
    '0',
    '10.0.0.0/8',
    '::1',
    '\ud800',
  ],
  ...[[], {}, [[]], { a: 1 }, 'x'.repeat(300), '2026-01-01T00:00:00Z', Number.MAX_SAFE_INTEGER],
];

/** A value of a JSON text replaced, doubled, wrapped, or under another key; the text stays JSON. */
export const reshapeJson: Reshape = (bytes, dice) => {
  let root: unknown;
  try {
    root = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
  const holder = { root };
  const places: [holder: Record<string, unknown>, key: string][] = [];
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || places.length > 5000) return;
    for (const key of Object.keys(value)) {
      places.push([value as Record<string, unknown>, key]);
      look((value as Record<string, unknown>)[key]);
    }
  };
  look(holder);
  for (let left = 1 + dice.roll(3); left > 0; left -= 1) change(dice, places);
  return Buffer.from(JSON.stringify(holder.root) ?? 'null');
};

function change(dice: Dice, places: readonly [Record<string, unknown>, string][]): void {
  const [holder, key] = dice.one(places);
  const [otherHolder, otherKey] = dice.one(places);
  const value = holder[key];
  switch (dice.roll(6)) {
    case 0:
      // A copy: a value put into itself would have no end.
      holder[key] = structuredClone(otherHolder[otherKey]);
      break;
    case 1:
      holder[key] = [structuredClone(value), structuredClone(value)];
      break;
    case 2:
      delete holder[key];
      break;
    case 3:
      holder[dice.one([otherKey, key.toUpperCase(), '__proto__x', `${key}s`])] = structuredClone(value);
      break;
    default:
      holder[key] = structuredClone(dice.one(EDGE_VALUES));
  }
}
