/**
 * The one door to what differs between Node and browsers. Bundles for browsers
 * take `platform/browser.ts` in place of this file; see `bundle.ts`.
 */
export { platform } from './platform/node.ts';
