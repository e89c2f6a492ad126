// An echo server's client by npm's "ws". Each line in is a command in JSON, each line out what became of it:
// {"result": ...} or {"error": "..."}. One connection at a time, the one that was opened last.
'use strict';

const assert = require('assert');
const { on, once } = require('events');
const fs = require('fs');
const readline = require('readline');
const { WebSocket } = require('ws');

const SECONDS = 20;
const PATTERN = Buffer.from('Grüße, 世界 👋 ');

let socket, stream, messages, closed;

const commands = {
    // Gives the header with the extensions that were agreed on, or null.
    async open({ url, authority, offer = {} }) {
        const trusted = authority && { ca: fs.readFileSync(authority) };
        socket = new WebSocket(url, { ...trusted, perMessageDeflate: { threshold: 0, ...offer } });
        messages = on(socket, 'message');
        closed = once(socket, 'close');
        closed.catch(() => {}); // whoever awaits something else is told of the error
        const upgraded = once(socket, 'upgrade');
        const [[response]] = await Promise.all([upgraded, once(socket, 'open')]);
        stream = response.socket;
        return response.headers['sec-websocket-extensions'] ?? null;
    },

    async echo({ sizes }) {
        for (const size of sizes) {
            await comesBack(Buffer.alloc(size, PATTERN), true);
            await comesBack(whole(size), false);
        }
    },

    // Sends the parts of a message with a ping behind each but the last.
    async fragments({ size, part }) {
        const pongs = on(socket, 'pong');
        for (const binary of [true, false]) {
            const message = whole(size);
            for (let start = 0; start < size; start += part) {
                const fin = start + part >= size;
                socket.send(message.subarray(start, start + part), { binary, fin });
                if (!fin) socket.ping(String(start));
            }
            for (let start = 0; start + part < size; start += part) {
                assert.strictEqual(String(await next(pongs)), String(start));
            }
            await arrives(message, binary);
        }
    },

    async ping({ payloads }) {
        const pongs = on(socket, 'pong');
        for (const payload of payloads) {
            socket.ping(payload);
            assert.strictEqual(String(await next(pongs)), payload);
        }
    },

    async many({ count }) {
        const number = (n) => Buffer.from(`{"number": ${n}}`);
        for (let n = 0; n < count; n++) socket.send(number(n), { binary: false });
        for (let n = 0; n < count; n++) await arrives(number(n), false);
    },

    // How many bytes came for each of three answers to one and the same message.
    // Sends a message thrice, and on until it comes back with fewer bytes than `below`; gives the bytes of each time.
    async again({ message, below = Infinity }) {
        const lengths = [];
        const end = Date.now() + SECONDS * 1000;
        while (lengths.length < 3 || (lengths.at(-1) >= below && Date.now() < end)) {
            const before = stream.bytesRead;
            await comesBack(Buffer.from(message, 'base64'), true);
            lengths.push(stream.bytesRead - before);
        }
        return lengths;
    },

    async close({ code, reason }) {
        socket.close(code, reason);
        return commands.closed();
    },

    async closed() {
        const [code, reason] = await closed;
        return [code, String(reason)];
    },
};

async function comesBack(message, binary) {
    socket.send(message, { binary });
    await arrives(message, binary);
}

async function arrives(message, binary) {
    const { value: [data, isBinary] } = await messages.next();
    assert.strictEqual(isBinary, binary, 'text or binary');
    // Without printing what may be megabytes.
    assert.ok(data.equals(message), `${message.length} bytes came back as ${data.length} others`);
}

async function next(events) {
    return (await events.next()).value[0];
}

// Text of so many bytes with characters of one to four of them, none cut at the end.
function whole(size) {
    return Buffer.alloc(size, 'x').fill(PATTERN, 0, size - (size % PATTERN.length));
}

async function run(line) {
    const { command, ...parameters } = JSON.parse(line);
    let timer;
    const late = new Promise((_, reject) => {
        const error = new Error(`no answer to ${command} in ${SECONDS} s`);
        timer = setTimeout(reject, SECONDS * 1000, error);
    });
    try {
        return { result: await Promise.race([commands[command](parameters), late]) };
    } catch (error) {
        return { error: error.code ?? error.message };
    } finally {
        clearTimeout(timer);
    }
}

(async () => {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        console.log(JSON.stringify(await run(line)));
    }
})();
