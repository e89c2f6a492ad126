// The page of the ticker: a box for each price. A picked one is watched, as long as there is a connection.

import { READY_STATES, closeInWords } from './words.js';

const $ = (id) => document.getElementById(id);
const prices = $('prices');

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
  prices.addEventListener('change', ({ target }) => pick(socket, target));
  // A page kept for the back button would keep its socket too, and be sent prices unseen.
  window.addEventListener('pagehide', (event) => event.persisted && socket?.close(1000, 'the page was left'));
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
  socket.addEventListener('message', ({ data }) => {
    const { names, name, price } = JSON.parse(data);
    if (names) showNames(names);
    else showPrice(name, price);
  });
  socket.addEventListener('close', ({ code, reason }) => {
    prices.replaceChildren();
    $('hint').hidden = false;
    showState(socket);
    $('detail').textContent = opened
      ? closeInWords(code, reason)
      : 'No handshake: there is no server, or it refused.';
  });
  return socket;
}

function pick(socket, box) {
  box.closest('li').classList.toggle('watched', box.checked);
  socket.send(JSON.stringify(box.checked ? { watch: box.value } : { leave: box.value }));
}

function showNames(names) {
  $('hint').hidden = true;
  prices.replaceChildren(...names.map((name) => {
    const row = document.createElement('li');
    const label = document.createElement('label');
    const box = Object.assign(document.createElement('input'), { type: 'checkbox', value: name });
    const price = Object.assign(document.createElement('output'), { id: `price-${name}`, textContent: '–' });
    label.append(box, name, price);
    row.append(label);
    return row;
  }));
}

function showPrice(name, price) {
  $(`price-${name}`).textContent = price.toFixed(2);
}

function showState({ readyState }) {
  const word = READY_STATES[readyState];
  $('state').textContent = word;
  document.body.dataset.state = word.toLowerCase();

  const focused = document.activeElement;
  $('connect').disabled = readyState !== WebSocket.CLOSED;
  $('address').readOnly = readyState !== WebSocket.CLOSED;
  $('disconnect').disabled = readyState === WebSocket.CLOSED;
  // Who worked with a button that is gone now must not start again at the top of the page.
  if (focused?.disabled) $(readyState === WebSocket.CLOSED ? 'connect' : 'disconnect').focus();
}

/** The server that served this page; from a file, the one the examples start by default. */
function defaultAddress() {
  if (location.protocol === 'file:') return 'ws://127.0.0.1:8080/';
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/`;
}
