// What a subscription received, and a way to wait for it.

/** Collects messages; `until` waits for one that fits, or fails after a while. */
export class Inbox {
  messages = [];
  #waiting = new Set();

  push = (message) => {
    this.messages.push(message);
    for (const look of [...this.#waiting]) look();
  };

  get notes() {
    return this.messages.map((message) => message.payload.note);
  }

  until(fits, what, within = 10_000) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.messages.find(fits);
        if (!found) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`no ${what} within ${within} ms; there is ${JSON.stringify(this.notes)}`));
      }, within);
      this.#waiting.add(look);
      look();
    });
  }

  untilNote(note) {
    return this.until((message) => message.payload.note === note, `event noted ${note}`);
  }
}
