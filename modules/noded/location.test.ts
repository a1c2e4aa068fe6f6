import { describe, expect, it } from 'vitest';
import { locationOfRecord, parseLocation } from './location.ts';

describe('a place', () => {
  it('is read from the operator', () => {
    const text = 'longitude=3.7,latitude=51.0,continent=Europe,country=BE:Belgium,city=Gent';
    expect(parseLocation(text)).toEqual({
      Longitude: 3.7,
      Latitude: 51,
      Continent: 'Europe',
      CountryName: 'Belgium',
      CountryCode: 'BE',
      CityName: 'Gent',
    });
    expect(parseLocation('latitude=-33.45, longitude=-70.66')).toMatchObject({
      Longitude: -70.66,
      Latitude: -33.45,
      CountryCode: '',
    });
  });

  it.each([
    ['', `'' is none of its parts`],
    ['longitude=3.7', 'latitude is missing'],
    ['longitude=181,latitude=1', `longitude is a number from -180 to 180, not '181'`],
    ['longitude=1,latitude=1e1', `latitude is a number from -90 to 90, not '1e1'`],
    ['longitude=1,latitude=NaN', 'latitude is a number'],
    ['longitude=1,latitude=1,longitude=2', 'longitude is there twice'],
    ['longitude=1,latitude=1,country=Belgium', 'country is two capital letters and a name'],
    ['longitude=1,latitude=1,planet=Mars', `'planet=Mars' is none of its parts`],
    ['longitude=1,latitude=1,city=', 'city is empty'],
    [`longitude=1,latitude=1,city=${'x'.repeat(129)}`, 'city has more than 128 characters'],
  ])('is refused: %s', (text, reason) => {
    expect(() => parseLocation(text)).toThrow(reason);
  });

  it('is read from the chain, unless nobody told it', () => {
    const record = { City: 'Ghent', Country: 'Belgium', Latitude: '51.05', Longitude: '3.72' };
    expect(locationOfRecord(record)).toEqual({
      Longitude: 3.72,
      Latitude: 51.05,
      Continent: '',
      CountryName: 'Belgium',
      CountryCode: '',
      CityName: 'Ghent',
    });
    expect(locationOfRecord({ City: 'Unknown', Country: 'Unknown', Latitude: '0', Longitude: '0' })).toBeUndefined();
    expect(locationOfRecord({ ...record, Latitude: '' })).toBeUndefined();
    expect(locationOfRecord({ ...record, Country: 'Unknown' })?.CountryName).toBe('');
  });
});
