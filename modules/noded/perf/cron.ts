/** Schedules of six fields, seconds first, in UTC: `sec min hour day-of-month month day-of-week`. */

interface Field {
  readonly name: string;
  readonly least: number;
  readonly most: number;
}

const FIELDS: readonly Field[] = [
  { name: 'second', least: 0, most: 59 },
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of month', least: 1, most: 31 },
  { name: 'month', least: 1, most: 12 },
  { name: 'day of week', least: 0, most: 7 },
];

const DAY_MS = 86_400_000;
/** The rarest date there is, 29 February on one day of the week, comes back within 40 years. */
const HORIZON_DAYS = 40 * 366;

export class Cron {
  readonly text: string;
  readonly #seconds: readonly number[];
  readonly #minutes: readonly number[];
  readonly #hours: readonly number[];
  readonly #days: ReadonlySet<number>;
  readonly #months: ReadonlySet<number>;
  readonly #weekdays: ReadonlySet<number>;
  readonly #eitherDay: boolean;

  /** @throws Error that names the field which cannot be read */
  constructor(text: string) {
    this.text = text;
    const parts = text.trim().split(/\s+/);
    if (parts.length !== FIELDS.length) throw new Error(`schedule '${text}' has ${parts.length} fields, not 6`);
    const [seconds = [], minutes = [], hours = [], days = [], months = [], weekdays = []] = FIELDS.map((field, at) =>
      valuesOf(parts[at] ?? '', field),
    );
    this.#seconds = seconds;
    this.#minutes = minutes;
    this.#hours = hours;
    this.#days = new Set(days);
    this.#months = new Set(months);
    this.#weekdays = new Set(weekdays.map((day) => day % 7));
    // Where both kinds of day are restricted, either is enough: cron's own rule.
    this.#eitherDay = !parts[3]?.startsWith('*') && !parts[5]?.startsWith('*');
  }

  /** The first instant after `afterMs` that fits; both in milliseconds since 1970. @throws Error where none ever comes */
  next(afterMs: number): number {
    const from = Math.floor(afterMs / 1000) * 1000 + 1000;
    const firstDay = Math.floor(from / DAY_MS) * DAY_MS;
    for (let day = 0; day < HORIZON_DAYS; day++) {
      const midnight = firstDay + day * DAY_MS;
      if (!this.#fitsDay(new Date(midnight))) continue;
      const found = this.#within(midnight, from);
      if (found !== undefined) return found;
    }
    throw new Error(`schedule '${this.text}' never comes`);
  }

  #fitsDay(date: Date): boolean {
    if (!this.#months.has(date.getUTCMonth() + 1)) return false;
    const byDate = this.#days.has(date.getUTCDate());
    const byWeekday = this.#weekdays.has(date.getUTCDay());
    return this.#eitherDay ? byDate || byWeekday : byDate && byWeekday;
  }

  #within(midnight: number, from: number): number | undefined {
    for (const hour of this.#hours) {
      const startOfHour = midnight + hour * 3_600_000;
      if (startOfHour + 3_600_000 <= from) continue;
      for (const minute of this.#minutes) {
        const startOfMinute = startOfHour + minute * 60_000;
        if (startOfMinute + 60_000 <= from) continue;
        const second = this.#seconds.find((one) => startOfMinute + one * 1000 >= from);
        if (second !== undefined) return startOfMinute + second * 1000;
      }
    }
    return undefined;
  }
}

/** Ascending values of one field: a list of `*`, `n` or `n-m`, each with an optional `/step`. */
function valuesOf(text: string, { name, least, most }: Field): number[] {
  const found = new Set<number>();
  for (const part of text.split(',')) {
    const [, star, first = '', last, step] = /^(?:(\*)|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part) ?? [];
    if (star === undefined && first === '') throw new Error(`schedule: '${part}' is no ${name}`);
    const from = star === undefined ? Number(first) : least;
    // `n/step` goes on to the end, `n` alone does not.
    const to = last !== undefined ? Number(last) : star !== undefined || step !== undefined ? most : from;
    const by = Number(step ?? 1);
    if (from < least || to > most || from > to || by === 0) {
      throw new Error(`schedule: '${part}' is no ${name} (${least} to ${most})`);
    }
    for (let value = from; value <= to; value += by) found.add(value);
  }
  return [...found].sort((a, b) => a - b);
}
