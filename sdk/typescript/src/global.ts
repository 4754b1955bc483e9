// The bundle for a script tag: one global, `Appwrite`, which also carries what else there is.

import { Appwrite, Channel, Credential, Query, RealtimeError } from './index.js';

Object.assign(globalThis, {
  Appwrite: Object.assign(Appwrite, { Channel, Credential, Query, RealtimeError }),
});
