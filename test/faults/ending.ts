/** How the programs of this folder end. */

/** Ends the process once its readers have taken all it wrote: a list is longer than what a pipe holds. */
export async function endWith(code: number): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => {
      stream.write('', () => resolve());
    });
  }
  process.exit(code);
}
