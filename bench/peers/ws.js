// ws, the WebSocket server of Node.js that most use.
//
//   node ws.js echo|broadcast          prints "listening on 127.0.0.1:PORT"
"use strict";

// Debian puts it where Node.js from elsewhere does not look.
const { WebSocketServer } = require("/usr/share/nodejs/ws");

const mode = process.argv[2];
if (process.argv.length !== 3 || !["echo", "broadcast"].includes(mode)) {
    console.error("usage: ws.js echo|broadcast");
    process.exit(2);
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
server.on("listening", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
server.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => {
        const receivers = mode === "echo" ? [socket] : server.clients;
        receivers.forEach((receiver) => receiver.send(data, { binary: isBinary }));
    });
    socket.on("error", () => {});
});
