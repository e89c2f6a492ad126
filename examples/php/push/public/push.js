// The page of the push server: one plain WebSocket, with every change of its readyState and every word of
// the server in the log.

import { READY_STATES, closeInWords } from './words.js';

const KEPT_ENTRIES = 500;

const $ = (id) => document.getElementById(id);
const log = $('log');
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** The reader is at the end of the log, and wants to stay there. */
let following = true;

if ('WebSocket' in window) {
  $('unsupported').remove();
  start();
} else {
  $('unsupported').classList.add('certain');
  $('app').remove();
}

function start() {
  let socket = null;
  $('address').value = defaultAddress();
  $('connect-form').addEventListener('submit', (event) => {
    event.preventDefault();
    socket = connect($('address').value.trim());
  });
  $('disconnect').addEventListener('click', () => {
    socket.close(1000);
    showState(socket);
  });
  $('quit').addEventListener('click', () => {
    socket.send('quit');
    write('you', 'quit');
  });
  log.addEventListener('scroll', () => { following = atEnd(); });
  // A page kept for the back button would keep its socket too, and be pushed to unseen.
  window.addEventListener('pagehide', (event) => event.persisted && socket?.close(1000, 'the page was left'));
  new ResizeObserver(() => following && toEnd()).observe(log);
}

function connect(address) {
  let socket;
  try {
    socket = new WebSocket(address);
  } catch {
    $('detail').textContent = 'This is not the address of a WebSocket server: it starts with ws:// or wss://.';
    return null;
  }
  let opened = false;
  $('detail').textContent = '';
  showState(socket);
  socket.addEventListener('open', () => {
    opened = true;
    showState(socket);
  });
  socket.addEventListener('message', (event) => write('server', String(event.data)));
  socket.addEventListener('close', ({ code, reason }) => {
    showState(socket);
    $('detail').textContent = opened
      ? closeInWords(code, reason)
      : 'No handshake: there is no server, or it refused. A full server answers HTTP 503; browsers do not tell a page which it was.';
    write('page', $('detail').textContent);
  });
  return socket;
}

function showState({ readyState }) {
  const word = READY_STATES[readyState];
  $('state').textContent = word;
  document.body.dataset.state = word.toLowerCase();
  write('page', `readyState ${readyState}: ${word}`);

  const focused = document.activeElement;
  $('connect').disabled = readyState !== WebSocket.CLOSED;
  $('address').readOnly = readyState !== WebSocket.CLOSED;
  $('disconnect').disabled = readyState === WebSocket.CLOSED;
  $('quit').disabled = readyState !== WebSocket.OPEN;
  // Who worked with a button that is gone now must not start again at the top of the page.
  if (focused?.disabled) $(readyState === WebSocket.CLOSED ? 'connect' : 'disconnect').focus();
}

function write(from, text) {
  const now = new Date();
  const entry = element('div', `entry ${from}`);
  const time = element('time', '', clock.format(now));
  time.dateTime = now.toISOString();
  entry.append(time, element('span', 'from', from), element('bdi', 'text', text));
  $('hint')?.remove();
  log.append(entry);
  if (log.childElementCount > KEPT_ENTRIES) log.firstElementChild.remove();
  if (following) toEnd();
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}

function toEnd() {
  following = true;
  log.scrollTop = log.scrollHeight;
}

function element(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** The server that served this page; from a file, the one the examples start by default. */
function defaultAddress() {
  if (location.protocol === 'file:') return 'ws://127.0.0.1:8080/';
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/`;
}
