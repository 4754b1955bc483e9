// Where the services under test are found: the server of this repository and what its own tests use.

export { Cutter } from '../../../../tests/sdk/support/cutter.js';
export { document } from '../../../../tests/sdk/support/event.js';
export { Server } from '../../../../tests/sdk/support/server.js';
export { until } from '../../../../tests/sdk/support/until.js';

import { Appwrite, type Options } from '../../src/index.js';

/** A client of this server. */
export function client(facts: { endpoint: string; project: string }, options?: Options): Appwrite {
  return new Appwrite(options).setEndpoint(facts.endpoint).setProject(facts.project);
}
