/**
 * JSON Schema 2020-12 of any schema of this folder. What has a name is written once, as a definition
 * that everything else refers to.
 */
import { z } from 'zod';
import { commands, taskResults } from '../commands/index.ts';
import { ContractData, NetworkMetadata, NodeContract } from '../contract.ts';
import { Deployment, Workload } from '../deployment.ts';
import { type About, aboutOf, isOmitted } from '../gojson/codec.ts';
import { workloadTypeNames, workloadTypes } from '../workloads/index.ts';
import { withExamples } from './type-examples.ts';

export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

/**
 * `accepted`: all that nodes accept of a client, so nearly everything may be absent or null.
 * `written`: what nodes and proper clients write; fields are there unless they may be left out.
 */
export type Form = 'accepted' | 'written';

/** Whose words a schema describes: in the `accepted` form only those of a request are read with tolerance. */
type Side = 'request' | 'answer';

/** Keywords that only describe. */
const WORDS: readonly string[] = ['description', 'examples', 'deprecated'];

interface Made {
  readonly json: JsonSchema;
  /** Whether nodes accept null, and absence in an object: both are read as the empty value. */
  readonly mayBeAbsent: boolean;
}

/** Makes schemas of one form that share their definitions. */
export class Publication {
  readonly #form: Form;
  readonly #refTo: (name: string) => string;
  readonly #named = new Map<string, { readonly about: About; made: Made }>();

  /** `refTo` gives the `$ref` to a definition; by default one of the same document. */
  constructor(form: Form, refTo: (name: string) => string = (name) => `#/$defs/${name}`) {
    this.#form = form;
    this.#refTo = refTo;
    // What a client sends is met first, so that what appears on both sides is described with its tolerance.
    this.request(Deployment);
    for (const { data } of workloadTypes) this.request(data);
    for (const schema of [NodeContract, ContractData, NetworkMetadata]) this.request(schema);
    for (const { input } of commands) this.request(input);
    for (const { result } of workloadTypes) if (result !== undefined) this.answer(result);
    for (const { output } of commands) this.answer(output);
    for (const result of Object.values(taskResults)) this.answer(result);
  }

  /** Schema of what a client sends; a `$ref` where the value has a name. */
  request(schema: z.ZodType): JsonSchema {
    return this.#use(schema, 'request').json;
  }

  /** Schema of what a node answers. */
  answer(schema: z.ZodType): JsonSchema {
    return this.#use(schema, 'answer').json;
  }

  /** Every definition by name, in the order of the alphabet, with an example. */
  definitions(): Record<string, JsonSchema> {
    const sorted = [...this.#named].sort(([a], [b]) => (a < b ? -1 : 1));
    return withExamples(Object.fromEntries(sorted.map(([name, { made }]) => [name, made.json])));
  }

  /** A schema where it is used: words and bounds of the place beside it. */
  #use(schema: z.ZodType, side: Side): Made {
    const { core, notes, nullable } = unwrapped(schema);
    const about = aboutOf(core);
    const bounded = about?.json !== undefined && Object.keys(notes).some((key) => !WORDS.includes(key));
    // Bounds beside a reference are lost on many readers.
    const name = bounded ? undefined : nameOf(core);
    const made = name === undefined ? this.#make(core, side) : this.#define(name, about as About, core, side);
    const json: JsonSchema = { ...(name === undefined ? made.json : { $ref: this.#refTo(name) }), ...notes };
    // Bounds that a place adds may rule the empty value out.
    const mayBeAbsent = nullable ? minimal(notes) : made.mayBeAbsent && acceptsZero({ ...made.json, ...notes });
    return { json: nullable ? orNull(json) : json, mayBeAbsent };
  }

  #define(name: string, about: About, core: z.ZodType, side: Side): Made {
    const known = this.#named.get(name);
    if (known !== undefined) {
      if (known.about !== about) throw new Error(`two different types are called ${name}`);
      return known.made;
    }
    const entry = { about, made: { json: {}, mayBeAbsent: false } as Made };
    this.#named.set(name, entry);
    const made = this.#make(core, side);
    const words = { title: name, ...(about.summary === undefined ? {} : { description: about.summary }) };
    entry.made = { ...made, json: { ...words, ...made.json } };
    return entry.made;
  }

  #make(core: z.ZodType, side: Side): Made {
    const { json: read, written = read } = aboutOf(core) ?? {};
    const own = this.#form === 'written' ? written : read;
    if (own !== undefined) return leaf(own);
    if (core instanceof z.ZodObject) return this.#object(core, side);
    if (core instanceof z.ZodArray) {
      return { json: { type: 'array', items: this.#element(core.element as z.ZodType, side) }, mayBeAbsent: true };
    }
    if (core instanceof z.ZodRecord) {
      const additionalProperties = this.#element(core.valueType as z.ZodType, side);
      return { json: { type: 'object', additionalProperties }, mayBeAbsent: true };
    }
    const { $schema: _dialect, ...json } = z.toJSONSchema(core, { io: 'input' });
    return leaf(json);
  }

  #object(core: z.ZodObject, side: Side): Made {
    const tolerant = this.#form === 'accepted' && side === 'request';
    const properties: Record<string, JsonSchema> = {};
    const required: string[] = [];
    for (const [key, field] of Object.entries(core.shape) as [string, z.ZodType][]) {
      const { json, mayBeAbsent } = this.#use(field, side);
      properties[key] = tolerant && mayBeAbsent ? orNull(json) : json;
      if (tolerant ? !mayBeAbsent : !mayBeLeftOut(field, side)) required.push(key);
    }
    const isWorkload = aboutOf(core) === aboutOf(Workload);
    if (isWorkload && !required.includes('type')) required.push('type', 'data');
    const json = { type: 'object', properties, ...(required.length === 0 ? {} : { required }) };
    return {
      json: isWorkload ? { ...json, ...this.#dataByType(json, tolerant) } : json,
      mayBeAbsent: tolerant && required.length === 0,
    };
  }

  /** In a list, nodes read null as the empty value. */
  #element(element: z.ZodType, side: Side): JsonSchema {
    const { json, mayBeAbsent } = this.#use(element, side);
    return this.#form === 'accepted' && side === 'request' && mayBeAbsent ? orNull(json) : json;
  }

  /** A workload's `data` follows from its `type`; makers of code get lost in that and give up the whole type. */
  #dataByType({ properties }: { readonly properties: Record<string, JsonSchema> }, tolerant: boolean): JsonSchema {
    const typed = { ...properties, type: { ...properties.type, type: 'string', enum: workloadTypeNames } };
    if (this.#form === 'written') return { properties: typed };
    return {
      properties: typed,
      allOf: workloadTypes.map((type) => {
        const { json, mayBeAbsent } = this.#use(type.data, 'request');
        return {
          if: { properties: { type: { const: type.name } }, required: ['type'] },
          // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
          then: { properties: { data: tolerant && mayBeAbsent ? orNull(json) : json } },
        };
      }),
    };
  }
}

/** The value inside what only says that it may be absent, and every word and bound on the way to it. */
function unwrapped(schema: z.ZodType): { core: z.ZodType; notes: JsonSchema; nullable: boolean } {
  const notes: JsonSchema[] = [];
  let core = schema;
  let nullable = false;
  for (;;) {
    const { id: _id, title: _title, ...own } = core.meta() ?? {};
    notes.unshift(own);
    if (core instanceof z.ZodDefault) core = core.unwrap() as z.ZodType;
    else if (core instanceof z.ZodPipe && core.in instanceof z.ZodOptional) {
      nullable = true;
      core = (core.in.unwrap() as z.ZodNullable).unwrap() as z.ZodType;
    } else return { core, notes: Object.assign({}, ...notes), nullable };
  }
}

/** Go's unnamed types, in lower case here, are written where they are used. */
function nameOf(core: z.ZodType): string | undefined {
  const name = aboutOf(core)?.name;
  return name !== undefined && /^[A-Z]/.test(name) ? name : undefined;
}

/** Nodes write every list of theirs that is not Go's `omitempty`, if only as null. */
function mayBeLeftOut(field: z.ZodType, side: Side): boolean {
  if (!field.safeParse(undefined).success) return false;
  return side === 'request' || isOmitted(field) || field instanceof z.ZodDefault;
}

function leaf(json: JsonSchema): Made {
  return { json, mayBeAbsent: acceptsZero(json) };
}

/** Whether bounds let the empty value pass that nodes read for an absent one. */
function acceptsZero({ minimum, minLength, enum: values, pattern, ...rest }: JsonSchema): boolean {
  if (typeof minimum === 'number' && minimum > 0) return false;
  if (Array.isArray(values) && !values.includes('')) return false;
  if (typeof pattern === 'string' && !new RegExp(pattern, 'u').test('')) return false;
  return !(typeof minLength === 'number' && minLength > 0) && minimal(rest);
}

function minimal({ minItems = 0, minProperties = 0 }: JsonSchema): boolean {
  return minItems === 0 && minProperties === 0;
}

/** The same schema, or null. */
function orNull(json: JsonSchema): JsonSchema {
  const { type, enum: values } = json;
  if (Array.isArray(json.anyOf) || typeof json.$ref === 'string') {
    const [words, rest] = [true, false].map(
      (isWord): JsonSchema =>
        Object.fromEntries(Object.entries(json).filter(([key]) => WORDS.includes(key) === isWord)),
    ) as [JsonSchema, JsonSchema];
    const options = Array.isArray(rest.anyOf) ? rest.anyOf : [rest];
    const has = options.some((option: JsonSchema) => option.type === 'null');
    return has ? json : { ...words, anyOf: [...options, { type: 'null' }] };
  }
  const types = Array.isArray(type) ? type : [type];
  if (types.includes('null')) return json;
  return { ...json, type: [...types, 'null'], ...(Array.isArray(values) ? { enum: [...values, null] } : {}) };
}
