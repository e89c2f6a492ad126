// The page of the login example: the token of the link it was opened by becomes a cookie, which the browser sends
// when the page connects. Who that makes of the user, the server says.

import { READY_STATES, closeInWords } from './words.js';

const COOKIE = `Path=/; SameSite=Strict${location.protocol === 'https:' ? '; Secure' : ''}`;
const KEPT_ENTRIES = 500;

const $ = (id) => document.getElementById(id);
const log = $('log');
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

if ('WebSocket' in window) {
  $('unsupported').remove();
  start();
} else {
  $('unsupported').classList.add('certain');
  $('app').remove();
}

function start() {
  let socket = null;
  keepToken();
  $('connect').addEventListener('click', () => { socket = connect(); });
  $('logout').addEventListener('click', () => {
    document.cookie = `token=; Max-Age=0; ${COOKIE}`;
    socket.close(1000, 'logged out');
    showState(socket);
  });
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = $('message').value.trim();
    if (text === '' || socket.readyState !== WebSocket.OPEN) return;
    socket.send(text);
    $('message').value = '';
  });
  // A page kept for the back button would keep its socket too, and its user would seem to be here.
  window.addEventListener('pagehide', (event) => event.persisted && socket.close(1000, 'the page was left'));
  socket = connect();
}

/** Out of the address, where it would be seen, copied and kept in the history. */
function keepToken() {
  const url = new URL(location.href);
  const token = url.searchParams.get('token');
  if (token === null) return;
  document.cookie = `token=${encodeURIComponent(token)}; ${COOKIE}`;
  url.searchParams.delete('token');
  history.replaceState(null, '', url);
}

function connect() {
  const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/`);
  let opened = false;
  $('detail').textContent = '';
  showState(socket);
  socket.addEventListener('open', () => {
    opened = true;
    showState(socket);
    $('message').focus();
  });
  socket.addEventListener('message', (event) => receive(JSON.parse(event.data)));
  socket.addEventListener('close', ({ code, reason }) => {
    showState(socket);
    $('here').textContent = 'nobody';
    // Browsers tell a page that there was no handshake, and not the status that it was refused with.
    $('detail').textContent = opened
      ? closeInWords(code, reason)
      : 'Not let in: there is no token here, or a wrong one, or no server. Open a link that the server prints.';
  });
  return socket;
}

function receive(message) {
  if (message.type === 'welcome') {
    $('detail').textContent = `You are ${message.name}${message.mayWrite ? '' : ', and may read'}.`;
  } else if (message.type === 'here') {
    $('here').textContent = message.users.join(', ');
  } else if (message.type === 'said') {
    write(message.name, message.text, message.time);
  } else if (message.type === 'error') {
    write('server', message.text, Date.now(), 'error');
  }
}

function showState({ readyState }) {
  const word = READY_STATES[readyState];
  const focused = document.activeElement;
  $('state').textContent = word;
  document.body.dataset.state = word.toLowerCase();
  $('connect').disabled = readyState !== WebSocket.CLOSED;
  $('logout').disabled = readyState === WebSocket.CLOSED;
  $('send').disabled = readyState !== WebSocket.OPEN;
  // Who worked with a button that is gone now must not start again at the top of the page.
  if (focused === $('logout') && focused.disabled) $('connect').focus();
}

/** Always as text: what others write never becomes part of the page. */
function write(from, text, time, kind = '') {
  const entry = element('div', `entry ${kind}`.trim());
  const at = element('time', '', clock.format(time));
  at.dateTime = new Date(time).toISOString();
  entry.append(at, element('bdi', 'from', from), element('bdi', 'text', text));
  $('hint')?.remove();
  log.append(entry);
  if (log.childElementCount > KEPT_ENTRIES) log.firstElementChild.remove();
  log.scrollTop = log.scrollHeight;
}

function element(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
