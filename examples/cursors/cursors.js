// Everybody's mouse pointer: each page posts where its own is, at most 20 times a second, and shows the others'.

const OFTEN = 50; // Milliseconds between two posts.
const GONE_AFTER = 5_000; // Milliseconds after which a pointer that does not move is taken away.

const me = crypto.randomUUID();
const field = document.getElementById('field');
const others = new Map();

function show({ id, x, y }) {
  if (id === me) return;
  let other = others.get(id);
  if (!other) {
    other = { dot: document.createElement('div'), timer: undefined };
    other.dot.className = 'cursor';
    other.dot.style.background = `hsl(${parseInt(id.slice(0, 4), 16) % 360} 80% 50%)`;
    field.append(other.dot);
    others.set(id, other);
  }
  other.dot.style.left = `${100 * x}%`;
  other.dot.style.top = `${100 * y}%`;
  clearTimeout(other.timer);
  other.timer = setTimeout(() => {
    other.dot.remove();
    others.delete(id);
  }, GONE_AFTER);
}

let latest;
let posting = false;
async function post() {
  if (posting) return;
  posting = true;
  while (latest) {
    const body = JSON.stringify({ id: me, ...latest });
    latest = undefined;
    // A position that is lost does not matter: the next one says where the pointer is.
    await fetch('cursors', { method: 'POST', body }).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, OFTEN));
  }
  posting = false;
}
field.addEventListener('pointermove', ({ clientX, clientY }) => {
  latest = { x: clientX / innerWidth, y: clientY / innerHeight };
  post();
});

async function listen() {
  const { hostname, project, secure } = await (await fetch('settings.json')).json();
  const sdk = new Appwrite();
  sdk.setHostname(hostname).setProject(project).setSecureProtocol(secure);
  const subscription = sdk.realtime.subscribe('cursors', ({ payload }) => show(payload));
  await subscription.ready;
  field.dataset.ready = 'true';
}
listen();
