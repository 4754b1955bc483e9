// Publishes until a subscription answers, so that tests wait on a condition and not on time.

/** Resolves once `inbox` has received one of the probes that `server` publishes on `channel` for `role`. */
export async function untilListening(server, inbox, { channel = "documents", role = "any" } = {}) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const note = `probe-${attempt}`;
    await server.publish({ channels: [channel], roles: [role], events: ["probe.sent"], payload: { note } });
    const heard = inbox.until((message) => String(message.payload.note).startsWith("probe-"), "probe", 100);
    if (await heard.then(() => true, () => false)) return;
  }
  throw new Error(`nothing came on ${channel} for ${role}`);
}

/** Notes received, without the probes. */
export function notes(inbox) {
  return inbox.notes.filter((note) => !String(note).startsWith("probe-"));
}
