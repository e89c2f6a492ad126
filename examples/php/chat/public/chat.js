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

/** My id, once I am in. */
let me = null;
/** Of the last message that came: what came after it comes when the page comes back. */
let position = '';
/** How many of the messages that come next were there before; null: it was not said yet. */
let old = null;
let greeting = null;
let unread = 0;
let lastSaid = null;
/** The reader is at the end of the log, and wants to stay there. */
let following = true;
/** connection => { id, name } */
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
  old = null;
  link.send(JSON.stringify({ type: 'join', name: $('handle').value, since: position }));
}

function leave({ code, reason }) {
  const words = closeInWords(code, reason);
  $('detail').textContent = words;
  if (me !== null) note(`Closed with ${words}`, Date.now());
  me = greeting = null;
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
  let envelope, message;
  try {
    envelope = open(data);
    message = envelope.text === '' ? {} : JSON.parse(envelope.text);
  } catch {
    note('The server said something that is not JSON.', Date.now(), 'problem');
    return;
  }
  if (envelope.replay !== undefined) comeBack(envelope);
  else if (envelope.at) position = envelope.at;
  if (envelope.present) people.clear();
  for (const someone of [...envelope.present ?? [], ...envelope.joined ?? []]) meet(someone, !envelope.present);
  for (const someone of envelope.left ?? []) part(someone);
  if (envelope.present || envelope.joined || envelope.left) showPeople();

  if (message.type === 'error') {
    note(message.text, message.time, 'problem');
    if (me === null) link.disconnect(); // the handle was refused, and would be again
  } else if (message.type === 'welcome') {
    me = message.id;
    greeting = message;
  } else if (message.type === 'said') {
    showMessage(message, old > 0);
    if (old > 0) old -= 1;
  }
  greet();
}

/** The engine's word on a message, and the message (docs/topics.md). */
function open(data) {
  if (data[0] !== '\x01') return { text: data };
  const end = data.indexOf('\n');
  return { ...JSON.parse(data.slice(1, end)), text: data.slice(end + 1) };
}

function comeBack({ gap, replay, at = '' }) {
  old = replay;
  if (gap && position !== '') note('Something that was said meanwhile is missing here.', Date.now());
  position = at;
}

/** After what was said before. */
function greet() {
  if (greeting === null || old !== 0) return;
  note(`You are here as ${greeting.name}.`, greeting.time);
  greeting = null;
  showPeople();
}

function meet(someone, isNews) {
  const person = JSON.parse(someone.label);
  const isNew = !people.has(someone.id);
  people.set(someone.id, person);
  if (isNews && isNew && me !== null && person.id !== me) note(`${person.name} came in.`, Date.now());
}

function part(someone) {
  if (people.delete(someone.id) && me !== null) note(`${JSON.parse(someone.label).name} left.`, Date.now());
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
  $('people').replaceChildren(...[...people.values()].map(({ id, name }) => {
    const person = element('li', 'person');
    person.dataset.tone = toneOf(id);
    person.append(element('bdi', 'name', name));
    if (id === me) person.append(element('span', 'you', ' you'));
    return person;
  }));
}

function showMessage({ id, name, text, time }, isOld) {
  const goesOn = lastSaid !== null && lastSaid.id === id && time - lastSaid.time < SAME_BREATH_MS;
  const entry = element('div', 'message');
  entry.classList.toggle('own', id === me);
  entry.classList.toggle('goes-on', goesOn);
  entry.dataset.tone = toneOf(id);
  const by = element('p', 'by');
  by.append(element('bdi', 'name', id === me ? `${name} (you)` : name), ' ', timeOf(time));
  const words = element('p', 'text', text);
  words.dir = 'auto';
  words.title = new Date(time).toLocaleString();
  entry.append(by, words);
  append(entry, id === me);
  lastSaid = { id, time };

  if (id !== me && !isOld && (document.hidden || !document.hasFocus())) {
    unread += 1;
    document.title = `(${unread}) ${TITLE}`;
  }
}

/** Everybody has a colour. */
function toneOf(id) {
  return Number.parseInt(id.slice(-2), 16) % TONES;
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
