// The page of all scripts in examples/php/legacy: what is typed goes out as plain text, what comes in is a line.

const KEPT_LINES = 500;
const STATES = ['Connecting', 'Open', 'Closing', 'Closed'];

const $ = (id) => document.getElementById(id);
let socket = null;

// A page from a file connects to where the scripts listen by default.
$('address').value = location.protocol === 'file:'
  ? 'ws://127.0.0.1:8080/'
  : `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/`;

$('connect-form').addEventListener('submit', (event) => {
  event.preventDefault();
  connect($('address').value.trim());
});
$('disconnect').addEventListener('click', () => {
  socket.close(1000);
  show();
});
$('send-form').addEventListener('submit', (event) => {
  event.preventDefault();
  if (socket?.readyState !== WebSocket.OPEN) return;
  socket.send($('message').value);
  $('message').value = '';
});
// A page kept for the back button would keep its socket too.
window.addEventListener('pagehide', (event) => event.persisted && socket?.close(1000));

function connect(address) {
  try {
    socket = new WebSocket(address);
  } catch {
    write('page', 'This is not the address of a WebSocket server: it starts with ws:// or wss://.');
    return;
  }
  socket.addEventListener('open', () => {
    show();
    $('message').focus();
  });
  socket.addEventListener('message', async ({ data }) => {
    write('line', typeof data === 'string' ? data : `(binary) ${await data.text()}`);
  });
  socket.addEventListener('close', ({ code, reason }) => {
    show();
    write('page', `closed: ${code}${reason && ` ${reason}`}`);
  });
  show();
}

function show() {
  const { readyState } = socket;
  $('state').textContent = STATES[readyState];
  document.body.dataset.state = STATES[readyState].toLowerCase();
  $('connect').disabled = readyState !== WebSocket.CLOSED;
  $('address').readOnly = readyState !== WebSocket.CLOSED;
  $('disconnect').disabled = readyState === WebSocket.CLOSED;
  $('send').disabled = readyState !== WebSocket.OPEN;
}

function write(className, text) {
  const log = $('log');
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const line = document.createElement('p');
  line.className = className;
  line.dir = 'auto';
  line.textContent = text;
  log.append(line);
  if (log.childElementCount > KEPT_LINES) log.firstElementChild.remove();
  if (following) log.scrollTop = log.scrollHeight;
}
