// The browser's own WebSocket, at the server that this page came from. Each function answers with what a test
// wants to know; one connection at a time, the one that was opened last.
'use strict';

const PATTERN = new TextEncoder().encode('Grüße, 世界 👋 ');

let socket, waiting, arrived, closed;

// Gives the extensions that were agreed on.
function openSocket() {
    socket = new WebSocket(location.origin.replace('http', 'ws'));
    socket.binaryType = 'arraybuffer';
    waiting = null;
    arrived = [];
    socket.onmessage = ({ data }) => {
        arrived.push(data);
        waiting?.();
    };
    closed = new Promise((resolve) => {
        socket.onclose = ({ code, reason, wasClean }) => resolve([code, reason, wasClean]);
    });
    return new Promise((resolve, reject) => {
        socket.onopen = () => resolve(socket.extensions);
        closed.then((event) => reject(new Error(`closed before it was open: ${event}`)));
    });
}

async function receive() {
    while (arrived.length === 0) {
        await Promise.race([
            new Promise((resolve) => waiting = resolve),
            closed.then((event) => { throw new Error(`closed: ${event}`); }),
        ]);
    }
    return arrived.shift();
}

// Sends text and binary messages of each size; gives what did not come back as it was.
async function echo(sizes) {
    const bad = [];
    for (const size of sizes) {
        const bytes = new Uint8Array(size).fill(120); // x, in place of a character that would be cut
        for (let at = 0; at + PATTERN.length <= size; at += PATTERN.length) bytes.set(PATTERN, at);
        const text = new TextDecoder().decode(bytes);
        socket.send(text);
        if (await receive() !== text) bad.push(`text of ${size}`);
        socket.send(bytes);
        const answer = new Uint8Array(await receive());
        const same = answer.length === size && answer.every((byte, at) => byte === bytes[at]);
        if (!same) bad.push(`binary of ${size}`);
    }
    return bad;
}

async function many(count) {
    const message = (_, number) => JSON.stringify({ number, text: 'ж'.repeat(number % 100) });
    const sent = Array.from({ length: count }, message);
    sent.forEach((text) => socket.send(text));
    for (const text of sent) {
        if (await receive() !== text) return false;
    }
    return true;
}

function closeSocket(...codeAndReason) {
    socket.close(...codeAndReason);
    return closed;
}
