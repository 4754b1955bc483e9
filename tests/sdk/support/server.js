// The server under test: our binary with a data folder and a port of its own, killed by pid.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const binary = process.env.REALTIME_BIN;
if (!binary) throw new Error("REALTIME_BIN names no binary; run `cargo xtask sdk`");

/** Starts `realtime dev` and reads what it says of itself. */
export async function startServer({ dataDir, listen = "127.0.0.1:0" } = {}) {
  const folder = dataDir ?? (await mkdtemp(join(tmpdir(), "realtime-sdk-")));
  const flags = ["--json", "--listen", listen, "--data-dir", folder, "--limits-enabled", "false", "--drain", "50ms", "--log-level", "warn"];
  const child = spawn(binary, ["dev", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  const facts = JSON.parse(line);
  return {
    ...facts,
    folder,
    /** Publishes one event or a list of them; fails unless the server takes them. */
    async publish(body) {
      const response = await fetch(`${facts.endpoint}/realtime/events`, {
        method: "POST",
        headers: { "x-appwrite-project": facts.project, "x-appwrite-key": facts.apiKey },
        body: JSON.stringify(body),
      });
      if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
      return response.json();
    },
    async stop({ keep = false } = {}) {
      child.kill("SIGTERM");
      if (child.exitCode === null) await once(child, "exit");
      if (!keep) await rm(folder, { recursive: true, force: true });
    },
  };
}
