// The page of the chat: what the user does goes to the server, what the server says goes into the page,
// always as text. The messages are described in server.php.

import { Link } from './link.js';
import { READY_STATES, closeInWords } from './words.js';

const TITLE = document.title;
const TEXT_LENGTH = 2000;
const KEPT_ENTRIES = 500;
const SAME_BREATH_MS = 3 * 60_000;
const TONES = 8;

const $ = (id) => document.getElementById(id);
const log = $('log');
const messageBox = $('message');
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

let me = null;
let unread = 0;
let lastSaid = null;
/** The reader is at the end of the log, and wants to stay there. */
let following = true;
/** id => name */
const people = new Map();

if ('WebSocket' in window) {
  $('unsupported').remove();
  start(new Link());
} else {
  $('unsupported').classList.add('certain');
  $('app').remove();
}

function start(link) {
  $('handle').value = remembered('handle');
  $('address').value = defaultAddress();

  $('connect-form').addEventListener('submit', (event) => {
    event.preventDefault();
    connect(link);
  });
  $('disconnect').addEventListener('click', () => link.disconnect());
  $('retry-now').addEventListener('click', () => link.retryNow());
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    say(link);
  });
  messageBox.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    say(link);
  });
  messageBox.addEventListener('input', fitMessageBox);
  log.addEventListener('scroll', () => {
    following = atEnd();
    if (following) $('newer').hidden = true;
  });
  new ResizeObserver(() => following && toEnd()).observe(log);
  $('newer').addEventListener('click', () => { toEnd(); messageBox.focus(); });
  window.addEventListener('focus', allRead);
  document.addEventListener('visibilitychange', allRead);
  window.addEventListener('online', () => link.retryNow());
  // A page kept for the back button would keep its socket too, and its user would seem to be here.
  window.addEventListener('pagehide', (event) => event.persisted && link.hangUp('the page was left'));

  let before = link.readyState;
  link.addEventListener('state', () => {
    if (link.readyState === WebSocket.OPEN && before !== WebSocket.OPEN) enter(link);
    before = link.readyState;
    showState(link);
  });
  link.addEventListener('message', (event) => receive(event.data, link));
  link.addEventListener('close', (event) => leave(event));
  link.addEventListener('waiting', (event) => { $('countdown').textContent = `${event.detail} s`; });
}

function connect(link) {
  try {
    link.connect($('address').value.trim());
  } catch {
    $('detail').textContent = 'This is not the address of a WebSocket server: it starts with ws:// or wss://.';
    $('address').focus();
    return;
  }
  remember('handle', $('handle').value);
  messageBox.focus();
}

function enter(link) {
  $('detail').textContent = '';
  link.send(JSON.stringify({ type: 'join', name: $('handle').value }));
}

function leave({ code, reason }) {
  const words = closeInWords(code, reason);
  $('detail').textContent = words;
  if (me !== null) note(`Closed with ${words}`, Date.now());
  me = null;
  people.clear();
  showPeople();
}

function say(link) {
  const text = messageBox.value.trim();
  if (text === '') return;
  if (me === null || !link.send(JSON.stringify({ type: 'say', text }))) {
    $('detail').textContent = 'Not connected: your message stays in its box until you are.';
    return;
  }
  messageBox.value = '';
  fitMessageBox();
  messageBox.focus();
}

function receive(data, link) {
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    note('The server said something that is not JSON.', Date.now(), 'problem');
    return;
  }
  if (message.type === 'error') {
    note(message.text, message.time, 'problem');
    if (me === null) link.disconnect(); // the handle was refused, and would be again
  } else if (message.type === 'welcome') {
    me = message.id;
    message.users.forEach((user) => people.set(user.id, user.name));
    note(`You are here as ${message.name}.`, message.time);
    showPeople();
  } else if (message.type === 'joined') {
    people.set(message.id, message.name);
    note(`${message.name} came in.`, message.time);
    showPeople();
  } else if (message.type === 'left') {
    people.delete(message.id);
    note(`${message.name} left.`, message.time);
    showPeople();
  } else if (message.type === 'said') {
    showMessage(message);
  }
}

function showState(link) {
  const word = link.waiting ? 'Reconnecting' : READY_STATES[link.readyState];
  // Only a change is announced.
  if ($('state').textContent !== word) $('state').textContent = word;
  document.body.dataset.state = link.waiting ? 'waiting' : READY_STATES[link.readyState].toLowerCase();

  const focused = document.activeElement;
  $('retry').hidden = !link.waiting;
  $('connect').disabled = link.wanted;
  $('disconnect').disabled = !link.wanted;
  $('handle').readOnly = $('address').readOnly = link.wanted;
  $('send').disabled = link.readyState !== WebSocket.OPEN;
  // Who worked with a button that is gone now must not start again at the top of the page.
  if (focused === $('disconnect') && focused.disabled) $('connect').focus();
  if (focused === $('retry-now') && $('retry').hidden) messageBox.focus();
}

function showPeople() {
  $('count').textContent = people.size;
  $('people').replaceChildren(...[...people].map(([id, name]) => {
    const person = element('li', 'person');
    person.dataset.tone = id % TONES;
    person.append(element('bdi', 'name', name));
    if (id === me) person.append(element('span', 'you', ' you'));
    return person;
  }));
}

function showMessage({ id, name, text, time }) {
  const goesOn = lastSaid !== null && lastSaid.id === id && time - lastSaid.time < SAME_BREATH_MS;
  const entry = element('div', 'message');
  entry.classList.toggle('own', id === me);
  entry.classList.toggle('goes-on', goesOn);
  entry.dataset.tone = id % TONES;
  const by = element('p', 'by');
  by.append(element('bdi', 'name', id === me ? `${name} (you)` : name), ' ', timeOf(time));
  const words = element('p', 'text', text);
  words.dir = 'auto';
  words.title = new Date(time).toLocaleString();
  entry.append(by, words);
  append(entry, id === me);
  lastSaid = { id, time };

  if (id !== me && (document.hidden || !document.hasFocus())) {
    unread += 1;
    document.title = `(${unread}) ${TITLE}`;
  }
}

function note(text, time, kind = '') {
  const entry = element('p', `note ${kind}`.trim());
  entry.append(element('span', 'text', text), ' ', timeOf(time));
  append(entry, false);
  lastSaid = null;
}

/** Who reads further up is left in peace, and told that there is more. */
function append(entry, own) {
  $('hint')?.remove();
  log.append(entry);
  if (log.childElementCount > KEPT_ENTRIES) log.firstElementChild.remove();
  if (following || own) toEnd();
  else $('newer').hidden = false;
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}

function toEnd() {
  following = true;
  log.scrollTop = log.scrollHeight;
  $('newer').hidden = true;
}

function allRead() {
  if (document.hidden) return;
  unread = 0;
  document.title = TITLE;
}

function fitMessageBox() {
  if (!CSS.supports('field-sizing', 'content')) {
    messageBox.style.height = 'auto';
    messageBox.style.height = `${messageBox.scrollHeight}px`;
  }
  const left = TEXT_LENGTH - messageBox.value.length;
  $('left').hidden = left > TEXT_LENGTH / 10;
  $('left').textContent = `${left} characters left`;
}

function timeOf(time) {
  const element = document.createElement('time');
  element.dateTime = new Date(time).toISOString();
  element.textContent = clock.format(time);
  return element;
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

// Some browsers forbid storage; then the handle is typed again.
function remembered(key) {
  try { return localStorage.getItem(key) ?? ''; } catch { return ''; }
}

function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* typed again next time */ }
}
