/** Where the node stands: what its operator says, else what the chain says. */
import type { Infer } from '../zbus/wire.ts';
import type { NodeLocation } from './interface.ts';

export type Location = Infer<typeof NodeLocation>;

const USAGE = 'longitude=DEGREES,latitude=DEGREES[,continent=NAME][,country=CODE:NAME][,city=NAME]';
const KEYS = ['longitude', 'latitude', 'continent', 'country', 'city'] as const;
const MAX_NAME_CHARACTERS = 128;

/**
 * `longitude=3.7,latitude=51.0,continent=Europe,country=BE:Belgium,city=Gent`. Longitude and latitude
 * are required, in degrees east and north. @throws Error that names the part
 */
export function parseLocation(text: string): Location {
  const parts = new Map<string, string>();
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    const key = part.slice(0, Math.max(0, at)).trim();
    if (!KEYS.some((known) => known === key)) throw wrong(`'${part}' is none of its parts`);
    if (parts.has(key)) throw wrong(`${key} is there twice`);
    parts.set(key, nameOf(key, part.slice(at + 1).trim()));
  }
  const [, code = '', country = ''] = /^([A-Z]{2}):(.+)$/.exec(parts.get('country') ?? '') ?? [];
  if (parts.has('country') && code === '') throw wrong('country is two capital letters and a name, as BE:Belgium');
  return {
    Longitude: degrees(parts, 'longitude', 180),
    Latitude: degrees(parts, 'latitude', 90),
    Continent: parts.get('continent') ?? '',
    CountryName: country.trim(),
    CountryCode: code,
    CityName: parts.get('city') ?? '',
  };
}

/** The chain's record of a node; `undefined` where it tells no place. Continent and country code are not on it. */
export function locationOfRecord(record: {
  readonly City: string;
  readonly Country: string;
  readonly Latitude: string;
  readonly Longitude: string;
}): Location | undefined {
  const [longitude, latitude] = [degreesIn(record.Longitude, 180), degreesIn(record.Latitude, 90)];
  if (longitude === undefined || latitude === undefined) return undefined;
  const [country, city] = [knownName(record.Country), knownName(record.City)];
  // A node that was registered without a place stands at zero, zero.
  if (longitude === 0 && latitude === 0 && country === '' && city === '') return undefined;
  return {
    Longitude: longitude,
    Latitude: latitude,
    Continent: '',
    CountryName: country,
    CountryCode: '',
    CityName: city,
  };
}

function wrong(reason: string): Error {
  return new Error(`--location: ${reason}; write ${USAGE}`);
}

function nameOf(key: string, value: string): string {
  if (value === '') throw wrong(`${key} is empty`);
  if (value.length > MAX_NAME_CHARACTERS) throw wrong(`${key} has more than ${MAX_NAME_CHARACTERS} characters`);
  return value;
}

function degrees(parts: ReadonlyMap<string, string>, key: 'longitude' | 'latitude', most: number): number {
  const text = parts.get(key);
  if (text === undefined) throw wrong(`${key} is missing`);
  const value = degreesIn(text, most);
  if (value === undefined) throw wrong(`${key} is a number from -${most} to ${most}, not '${text}'`);
  return value;
}

function degreesIn(text: string, most: number): number | undefined {
  if (!/^[+-]?\d{1,3}(\.\d{1,20})?$/.test(text.trim())) return undefined;
  const value = Number(text);
  return Math.abs(value) <= most ? value : undefined;
}

function knownName(text: string): string {
  return text.toLowerCase() === 'unknown' ? '' : text;
}
