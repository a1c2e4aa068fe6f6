/** The page of errors, `docs/errors.md`. */
import { z } from 'zod';
import { errorTable } from '../errors/index.ts';
import type { ErrorEntry } from '../errors/table.ts';

export function errorsPage(): string {
  const rows = Object.entries<ErrorEntry>(errorTable)
    .map(([code, entry]) => ({ code, ...entry }))
    .sort((a, b) => a.number - b.number || a.stage.localeCompare(b.stage) || a.code.localeCompare(b.code));
  const lines = rows.map(({ code, number, stage, fault, retryable, details, message, remedy }) => {
    const cells = [code, number, stage, fault, retryable ? 'yes' : 'no', sample(details, message), remedy ?? ''];
    return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ')).join(' | ')} |`;
  });
  return `# Errors

Made from \`schemas/errors/\` by \`npm run generate\`. A code is never reused. Number 0 stands where existing
clients know the sentence itself, which therefore never changes. Words in ‹› are the error's details, which
an answer carries as data too.

| code | number | stage | whose fault | may succeed later | text | what to do |
|---|---|---|---|---|---|---|
${lines.join('\n')}
`;
}

/** The error's sentence with the names of its details in place of their values. */
export function sample(details: z.ZodType, message: ErrorEntry['message']): string {
  try {
    return message(placeholder(details, ''));
  } catch {
    // A sentence that computes with its details has none without them.
    return '';
  }
}

function placeholder(schema: z.ZodType, name: string): unknown {
  if (schema instanceof z.ZodObject) {
    const fields = Object.entries(schema.shape).map(([key, field]) => [key, placeholder(field as z.ZodType, key)]);
    return Object.fromEntries(fields);
  }
  if (schema instanceof z.ZodArray) return [placeholder(schema.element as z.ZodType, name)];
  if (schema instanceof z.ZodOptional) return placeholder(schema.unwrap() as z.ZodType, name);
  return `‹${name}›`;
}
