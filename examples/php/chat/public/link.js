// A WebSocket that comes back: opened again after every close the user did not ask for, after a pause that
// doubles each time and is partly random, so that the clients of a restarted server do not all return at once.
//
// Events: "state" (readyState changed), "message" (event.data), "close" (event.code, event.reason),
// "waiting" (event.detail: seconds until the next try; each second).

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
const STABLE_AFTER_MS = 5000;

export class Link extends EventTarget {
  #url = '';
  #socket = null;
  #wanted = false;
  #failures = 0;
  #openSince = Infinity;
  #dueAt = 0;
  #timer = 0;

  /** True from connect() to disconnect(), through all the tries between. */
  get wanted() {
    return this.#wanted;
  }

  get waiting() {
    return this.#timer !== 0;
  }

  /** As a WebSocket's; CLOSED before the first connect(). */
  get readyState() {
    return this.#socket?.readyState ?? WebSocket.CLOSED;
  }

  /** Throws a DOMException when the address is none. */
  connect(url) {
    this.#url = url;
    this.#failures = 0;
    this.#open();
    this.#wanted = true;
    this.#changed();
  }

  disconnect() {
    this.#wanted = false;
    this.#stopWaiting();
    this.#socket?.close(1000);
    this.#changed();
  }

  /** Closes, and comes back like after any other close. */
  hangUp(reason) {
    this.#socket?.close(1000, reason);
  }

  retryNow() {
    if (!this.waiting) return;
    this.#stopWaiting();
    this.#open();
    this.#changed();
  }

  /** False when the message cannot leave. */
  send(data) {
    if (this.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(data);
    return true;
  }

  #open() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#openSince = Infinity;
    // A socket that was replaced while closing has no more say.
    const current = (handle) => (event) => socket === this.#socket && handle(event);
    socket.addEventListener('open', current(() => {
      this.#openSince = performance.now();
      this.#changed();
    }));
    socket.addEventListener('message', current((event) => {
      this.dispatchEvent(new MessageEvent('message', { data: event.data }));
    }));
    socket.addEventListener('close', current((event) => this.#closed(event)));
  }

  #closed({ code, reason, wasClean }) {
    if (this.#wanted) this.#wait();
    this.dispatchEvent(new CloseEvent('close', { code, reason, wasClean }));
    this.#changed();
  }

  #wait() {
    if (performance.now() - this.#openSince > STABLE_AFTER_MS) this.#failures = 0;
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    this.#failures += 1;
    this.#dueAt = performance.now() + pause * (0.5 + Math.random() / 2);
    this.#tick();
  }

  #tick() {
    const left = this.#dueAt - performance.now();
    if (left <= 0) {
      this.#timer = 0;
      this.#open();
      this.#changed();
      return;
    }
    this.#timer = setTimeout(() => this.#tick(), Math.min(left, left % 1000 || 1000));
    this.dispatchEvent(new CustomEvent('waiting', { detail: Math.ceil(left / 1000) }));
  }

  #stopWaiting() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  #changed() {
    this.dispatchEvent(new Event('state'));
  }
}
