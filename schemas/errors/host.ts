/** What noded could not learn of the machine. Numbers 9000 to 9099; 0 where clients know the text. */
import { z } from 'zod';
import { entry } from './table.ts';

const stage = 'host';

export const hostErrors = {
  host_dmidecode_missing: entry({
    number: 9000,
    stage,
    fault: 'operator',
    retryable: false,
    details: z.object({}),
    message: () => 'dmidecode is not installed on this node',
    remedy: 'install the package dmidecode',
  }),
  host_dmi_unreadable: entry({
    number: 9001,
    stage,
    fault: 'operator',
    retryable: false,
    details: z.object({ reason: z.string() }),
    message: (d) => `the DMI table of this node cannot be read: ${d.reason}`,
    remedy: 'dmidecode needs root and a machine that has such a table; some virtual ones have none',
  }),
  host_location_unknown: entry({
    number: 0,
    stage,
    fault: 'operator',
    retryable: false,
    details: z.object({}),
    message: () => 'failed to fetch location information',
  }),
} as const;
