/** The chain's runtime through its upgrades: each has a version and metadata of its own. */
import { runtimeVersion } from './description/system.ts';
import { buildMetadata } from './metadata.ts';

export class Runtimes {
  readonly #metadata = new Map<number, Uint8Array>();

  /**
   * Metadata of a version. What it describes stays; as in any new build, its
   * types are numbered anew, so that a client that mixes versions is found out.
   */
  metadata(specVersion: number): Uint8Array {
    const known = this.#metadata.get(specVersion);
    if (known !== undefined) return known;
    const built = buildMetadata({ specVersion, shift: Math.max(0, specVersion - runtimeVersion.spec_version) });
    this.#metadata.set(specVersion, built);
    return built;
  }
}
