/** A workload's data in its type's shape: read with the deployment where its type came first, else when asked for. */
import { z } from 'zod';
import { GridError } from './errors/index.ts';
import { codecOf, decode, readWithText, withCodec } from './gojson/codec.ts';
import { Memory } from './gojson/memory.ts';
import { DecodeProblem } from './gojson/problem.ts';
import { raw } from './gojson/values.ts';
import { findWorkloadType } from './workloads/index.ts';
import type { Member, WorkloadType } from './workloads/type.ts';

/** Data is part of a bounded text already; this bounds data that was built in memory. */
const MAX_DATA_BYTES = 1024 * 1024;

/** What was decoded of a workload: it is asked for its data at every check. */
const loaded = new Memory<{ readonly data: string; readonly type: unknown; readonly value: unknown }>();

/** The exact text of a workload's data. */
export const workloadData = withCodec(z.string(), {
  ...codecOf(raw),
  read: (json, _previous, { object: workload }) => {
    const type = findWorkloadType((workload as Partial<Member>).type ?? '');
    if (type === undefined) return json.token();
    const { text, value } = readWithText(type.data, json);
    if (value !== undefined) loaded.keep(workload, { data: text, type, value });
    return text;
  },
});

/** A workload's data in its type's shape, not to be changed; throws `workload_data_undecodable`. */
export function loadData<S extends z.ZodType>(
  type: WorkloadType<S>,
  workload: Pick<Member, 'name' | 'data'>,
): z.output<S> {
  const { data } = workload;
  const before = loaded.recall(workload);
  if (before !== undefined && before.type === type && before.data === data) return before.value as z.output<S>;
  const value = decodeData(type, workload);
  loaded.keep(workload, { data, type, value });
  return value;
}

function decodeData<S extends z.ZodType>(
  { goType, data: schema }: WorkloadType<S>,
  workload: Pick<Member, 'name' | 'data'>,
): z.output<S> {
  const struct = goType.slice(goType.indexOf('.') + 1);
  try {
    return decode(schema, workload.data, { struct, maxBytes: MAX_DATA_BYTES });
  } catch (error) {
    if (!(error instanceof DecodeProblem)) throw error;
    const reason = workload.data === '' ? 'unexpected end of JSON input' : error.message;
    throw new GridError('workload_data_undecodable', { workload: workload.name, goType, field: error.field, reason });
  }
}
