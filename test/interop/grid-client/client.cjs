/** Child process: the official grid client as its users run it. Steps come and results go over IPC, one after the other. */
const { GridClient } = require('@threefold/grid_client');

/** @type {GridClient} */
let grid;

const steps = {
  async connect(options) {
    grid = new GridClient({ network: 'dev', backendStorageType: 'tfkvstore', ...options });
    await grid.connect();
    return { twinId: grid.twinId };
  },
  /** A method of one of its modules. */
  call: ({ module, method, argument }) =>
    // Its checks take an argument that is undefined for one that is wrong.
    argument === undefined ? grid[module][method]() : grid[module][method](argument),
  async disconnect() {
    await grid.disconnect();
  },
};

let last = Promise.resolve();
process.on('message', (step) => {
  last = last.then(async () => {
    try {
      process.send({ value: await steps[step.do](step.with) });
    } catch (error) {
      process.send({ failure: `${error.name}: ${error.message}`, stack: error.stack });
    }
  });
});
process.on('disconnect', () => process.exit(0));
