/** What all lists of the grid proxy take: filters of the query, a page, an order, a count. */

/** Rows of a page where the query does not say. */
const PAGE_SIZE = 50;

export type Query = URLSearchParams;

/** A query that does not mean anything; answered with 400. */
export class BadQuery extends Error {
  override readonly name = 'BadQuery';
}

/** Whether a row passes one value of the query. */
export type Filter<Row> = (row: Row, value: string) => boolean;
export type Filters<Row> = { readonly [parameter: string]: Filter<Row> };

export interface Listing<Row> {
  readonly filters: Filters<Row>;
  /** What rows are sorted by, by the name that `sort_by` gives it. */
  readonly orders: { readonly [name: string]: (row: Row) => number | bigint | string | boolean };
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  /** Of all rows that pass; only where the query asks by `ret_count`. */
  readonly count: number | undefined;
}

const PAGING = new Set(['page', 'size', 'ret_count', 'randomize', 'sort_by', 'sort_order', 'balance']);

/** The rows that the query wants, in its order. @throws BadQuery for what no list of this kind knows */
export function list<Row>(all: readonly Row[], query: Query, { filters, orders }: Listing<Row>): Page<Row> {
  let rows = [...all];
  for (const name of new Set(query.keys())) {
    // One client writes several values with commas between, another the name once more.
    const value = query.getAll(name).filter(Boolean).join(',');
    if (PAGING.has(name) || value === '') continue;
    const filter = Object.hasOwn(filters, name) ? filters[name] : undefined;
    if (filter === undefined) throw new BadQuery(`parameter ${name} is not known`);
    rows = rows.filter((row) => filter(row, value));
  }
  const sortBy = query.get('sort_by') ?? '';
  if (sortBy !== '') {
    const order = Object.hasOwn(orders, sortBy) ? orders[sortBy] : undefined;
    if (order === undefined) throw new BadQuery(`sort_by ${sortBy}: use ${Object.keys(orders).join(', ')}`);
    const sign = (query.get('sort_order') ?? '').toLowerCase() === 'desc' ? -1 : 1;
    rows.sort((a, b) => sign * compare(order(a), order(b)));
  }
  if (query.get('randomize') === 'true') shuffle(rows);
  const count = query.get('ret_count') === 'true' ? rows.length : undefined;
  const size = whole(query.get('size') || `${PAGE_SIZE}`, 'size');
  const page = Math.max(1, whole(query.get('page') || '1', 'page'));
  return { rows: rows.slice((page - 1) * size, page * size), count };
}

function compare<T extends number | bigint | string | boolean>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function shuffle(rows: unknown[]): void {
  for (let last = rows.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [rows[last], rows[other]] = [rows[other], rows[last]];
  }
}

function whole(value: string, name: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new BadQuery(`${name} ${value} is not a whole number`);
  return Number(value);
}

function amount(value: string): number {
  if (!/^\d{1,15}(\.\d{1,15})?$/.test(value)) throw new BadQuery(`amount ${value} is not a number`);
  return Number(value);
}

function truth(value: string): boolean {
  if (value !== 'true' && value !== 'false') throw new BadQuery(`${value} is neither true nor false`);
  return value === 'true';
}

type Of<Row, T> = (row: Row) => T;

export const equals =
  <Row>(of: Of<Row, number>): Filter<Row> =>
  (row, value) =>
    of(row) === whole(value, 'number');

export const atLeast =
  <Row>(of: Of<Row, number>): Filter<Row> =>
  (row, value) =>
    of(row) >= whole(value, 'number');

/** An amount of money, with or without a fraction. */
export const costsAtLeast =
  <Row>(of: Of<Row, number>): Filter<Row> =>
  (row, value) =>
    of(row) >= amount(value);

export const costsAtMost =
  <Row>(of: Of<Row, number>): Filter<Row> =>
  (row, value) =>
    of(row) <= amount(value);

/** One of several numbers, with commas between. */
export const among =
  <Row>(of: Of<Row, number>): Filter<Row> =>
  (row, value) =>
    value.split(',').some((one) => whole(one, 'number') === of(row));

export const without =
  <Row>(of: Of<Row, number>): Filter<Row> =>
  (row, value) =>
    !value.split(',').some((one) => whole(one, 'number') === of(row));

export const is =
  <Row>(of: Of<Row, boolean>): Filter<Row> =>
  (row, value) =>
    of(row) === truth(value);

/** A true condition of a row and a number; other values than the number are refused. */
export const holds =
  <Row>(of: (row: Row, value: number) => boolean): Filter<Row> =>
  (row, value) =>
    of(row, whole(value, 'number'));

/** The same word, in letters of any case. */
export const named =
  <Row>(of: Of<Row, string>): Filter<Row> =>
  (row, value) =>
    of(row).toLowerCase() === value.toLowerCase();

export const contains =
  <Row>(of: Of<Row, string>): Filter<Row> =>
  (row, value) =>
    of(row).toLowerCase().includes(value.toLowerCase());

/** One of several words, with commas between. */
export const oneOf =
  <Row>(of: Of<Row, string>): Filter<Row> =>
  (row, value) =>
    value.split(',').includes(of(row));

/** Every one of several words, with commas between. */
export const hasAll =
  <Row>(of: Of<Row, readonly string[]>): Filter<Row> =>
  (row, value) =>
    value.split(',').every((one) => of(row).includes(one));
