import { describe, expect, it } from 'vitest';
import { Cron } from './cron.ts';

const after = (schedule: string, text: string) => new Date(new Cron(schedule).next(Date.parse(text))).toISOString();

describe('a schedule of six fields', () => {
  it.each([
    ['0 0 */6 * * *', '2026-01-01T00:00:00Z', '2026-01-01T06:00:00.000Z'],
    ['0 0 */6 * * *', '2025-12-31T18:00:00.001Z', '2026-01-01T00:00:00.000Z'],
    ['0 */15 * * * *', '2026-01-01T10:14:59.999Z', '2026-01-01T10:15:00.000Z'],
    ['0 */15 * * * *', '2026-01-01T23:45:00Z', '2026-01-02T00:00:00.000Z'],
    ['0 0 0 * * *', '2026-02-28T12:00:00Z', '2026-03-01T00:00:00.000Z'],
    ['30 5 4 29 2 *', '2026-01-01T00:00:00Z', '2028-02-29T04:05:30.000Z'],
    ['0 0 12 * * 7', '2026-01-01T00:00:00Z', '2026-01-04T12:00:00.000Z'],
    ['0 0 12 13 * 5', '2026-01-03T00:00:00Z', '2026-01-09T12:00:00.000Z'],
    ['0 0 12 13 * 5', '2026-01-10T00:00:00Z', '2026-01-13T12:00:00.000Z'],
    ['5-7,50/5 1 2 * 6-8/2 *', '2026-01-01T00:00:00Z', '2026-06-01T02:01:05.000Z'],
    ['5-7,50/5 1 2 * 6-8/2 *', '2026-06-01T02:01:07Z', '2026-06-01T02:01:50.000Z'],
    ['5-7,50/5 1 2 * 6-8/2 *', '2026-06-30T02:01:55Z', '2026-08-01T02:01:05.000Z'],
    ['* * * * * *', '1969-12-31T23:59:59.500Z', '1970-01-01T00:00:00.000Z'],
  ])('%s after %s comes at %s', (schedule, from, expected) => {
    expect(after(schedule, from)).toBe(expected);
  });

  it.each([
    ['* * * * *', 'has 5 fields, not 6'],
    ['60 * * * * *', "'60' is no second (0 to 59)"],
    ['* * 5-3 * * *', "'5-3' is no hour"],
    ['* */0 * * * *', "'*/0' is no minute"],
    ['* * * 0 * *', "'0' is no day of month"],
    ['* * * * jan *', "'jan' is no month"],
    ['* * * * * ,', "'' is no day of week"],
  ])('refuses %j', (schedule, words) => {
    expect(() => new Cron(schedule)).toThrow(words);
  });

  it('says so when it never comes', () => {
    expect(() => new Cron('0 0 0 30 2 *').next(0)).toThrow("'0 0 0 30 2 *' never comes");
  });
});
