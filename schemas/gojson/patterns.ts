/**
 * Texts that nodes read as addresses, hex or times, as patterns for those who cannot run this code.
 * They use nothing that RE2, Python's `re` or ECMA 262 lack.
 */

const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const V4 = `${OCTET}(\\.${OCTET}){3}`;
const GROUP = '[0-9a-fA-F]{1,4}';
/** The last 32 bits, which may be written as IPv4. */
const LAST = `(${GROUP}:${GROUP}|${V4})`;

/** Every way to write 16 bytes, with `::` for one group of zeros or more. */
const V6 = [
  `(${GROUP}:){6}${LAST}`,
  `::(${GROUP}:){5}${LAST}`,
  `(${GROUP})?::(${GROUP}:){4}${LAST}`,
  `((${GROUP}:)?${GROUP})?::(${GROUP}:){3}${LAST}`,
  `((${GROUP}:){0,2}${GROUP})?::(${GROUP}:){2}${LAST}`,
  `((${GROUP}:){0,3}${GROUP})?::${GROUP}:${LAST}`,
  `((${GROUP}:){0,4}${GROUP})?::${LAST}`,
  `((${GROUP}:){0,5}${GROUP})?::${GROUP}`,
  `((${GROUP}:){0,6}${GROUP})?::`,
].join('|');

export const ADDRESS_TEXT = `^(${V4}|${V6})?$`;
export const PREFIX_TEXT = `^(${V4}/0*([12]?[0-9]|3[0-2])|(${V6})/0*([1-9]?[0-9]|1[01][0-9]|12[0-8]))?$`;
export const HEX_TEXT = '^([0-9a-fA-F]{2})*$';

const DATE = '[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])';
const TIME = '([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]+)?';
const ZONE = '(Z|[+-]([01][0-9]|2[0-4]):([0-5][0-9]|60))';
export const RFC3339_TEXT = `^${DATE}T${TIME}${ZONE}$`;
