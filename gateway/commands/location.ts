import { locationGet } from '../../schemas/index.ts';
import { handle } from './handler.ts';

export const locationHandlers = [
  handle(locationGet, async (_input, { node, signal, deadlineMs }) => {
    const place = await node.machine.Location({}, { signal, deadlineMs });
    return {
      longitude: place.Longitude,
      latitude: place.Latitude,
      continent: place.Continent,
      country_name: place.CountryName,
      country_code: place.CountryCode,
      city_name: place.CityName,
    };
  }),
];
