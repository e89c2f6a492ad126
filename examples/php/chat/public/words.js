// What a WebSocket's readyState and a close code mean, in words. The pages of the examples have this file each.

export const READY_STATES = ['Connecting', 'Open', 'Closing', 'Closed'];

// RFC 6455, section 7.4.1; 1012 to 1014 were registered later.
const CLOSE_CODES = {
  1000: ['normal closure', 'all is said'],
  1001: ['going away', 'the server is stopping, or the page was left'],
  1002: ['protocol error', 'one side did not keep to the WebSocket protocol'],
  1003: ['unsupported data', 'a kind of data the other side does not take'],
  1004: ['reserved', 'a code without a meaning yet'],
  1005: ['no code', 'the other side closed without giving one'],
  1006: ['abnormal closure', 'no connection, or it broke without a goodbye'],
  1007: ['invalid data', 'text that is not UTF-8'],
  1008: ['policy violation', 'a message against the rules of the other side'],
  1009: ['message too big', 'more than the other side takes at once'],
  1010: ['missing extension', 'the server did not offer what the page needs'],
  1011: ['internal error', 'something went wrong in the server'],
  1012: ['service restart', 'the server starts again'],
  1013: ['try again later', 'the server is overloaded, or this side reads too slowly'],
  1014: ['bad gateway', 'a gateway got no good answer from the server'],
  1015: ['TLS failure', 'the secure connection could not be made'],
};

/** "1001, going away: the server is stopping, or the page was left." */
export function closeInWords(code, reason) {
  const [name, meaning] = CLOSE_CODES[code] ?? [rangeOf(code), 'this code has no fixed meaning'];
  const said = reason ? ` The other side says: “${reason}”.` : '';
  return `${code}, ${name}: ${meaning}.${said}`;
}

function rangeOf(code) {
  if (code >= 4000 && code <= 4999) return 'private use';
  if (code >= 3000 && code <= 3999) return 'registered by a library';
  return 'unassigned';
}
