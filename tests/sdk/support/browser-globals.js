// What the web SDKs expect of their surroundings, for Node.js.
import WebSocket from "ws";

const stored = new Map();

/** Gives Node.js a `window`, a `localStorage` and the `ws` package's WebSocket. */
export function installBrowserGlobals() {
  globalThis.window = globalThis;
  globalThis.WebSocket = WebSocket;
  globalThis.localStorage = {
    getItem: (key) => stored.get(key) ?? null,
    setItem: (key, value) => stored.set(key, String(value)),
    removeItem: (key) => stored.delete(key),
  };
}

/** Puts a session where the SDKs look for one when cookies do not work. */
export function rememberSession(project, token) {
  localStorage.setItem("cookieFallback", JSON.stringify({ [`a_session_${project}`]: token }));
}

export function forgetSession() {
  localStorage.removeItem("cookieFallback");
}
