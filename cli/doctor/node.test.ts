import { expect, it } from 'vitest';
import { numberFindings } from './node.ts';

it('tells what is away, damaged records, parked deployments and refused reports, and of nothing else', () => {
  const page = (damaged: number, parked: number, dead: number): string => `# TYPE provision_lanes gauge
provision_journal_damaged{module="provision"} ${damaged}
provision_lanes{module="provision",state="running"} 7
provision_lanes{module="provision",state="parked"} ${parked}
provision_reports{report="capacity",state="told"} 11
provision_reports{report="capacity",state="dead"} ${dead}
provision_reports{report="traffic",state="dead"} ${dead}
`;
  expect(numberFindings(page(0, 0, 0))).toEqual([]);
  expect(numberFindings('')).toEqual([]);
  expect(
    numberFindings(page(6, 2, 1)).map(({ check, state, found }) => [check, state, found.match(/\d+/)?.[0]]),
  ).toEqual([
    ['journal', 'warn', '6'],
    ['operations', 'warn', '2'],
    ['reports', 'warn', '2'],
  ]);
  expect(
    numberFindings('gridnode_up{module="vmd"} 0\ngridnode_up{module="flist"} 1\nchain_connected{module="x"} 0\n'),
  ).toMatchObject([
    { check: 'parts', found: 'vmd does not answer' },
    { check: 'chain', state: 'warn' },
  ]);
});
