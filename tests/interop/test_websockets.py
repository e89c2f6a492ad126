"""Python's websockets as the client."""

import asyncio
import random
import unittest

from websockets.exceptions import ConnectionClosed

from matrix import CLOSES, ROWS, SIZES, Server, in_rows, text_of
from python_client import client, run


async def all_at_once(websocket, messages):
    for message in messages:
        await websocket.send(message)
    return [await websocket.recv() for _ in messages]


@in_rows(ROWS)
class Messages:
    def echoes(self, connection, message):
        connection.send(message)
        answer = connection.receive()
        if answer != message:  # without assertEqual, which would compare and print megabytes
            lengths = f"{len(message)} came back as {len(answer)}"
            self.fail(f"{type(message).__name__} of {lengths} of {type(answer).__name__}")

    def test_text_of_all_sizes(self):
        with client(self.server) as connection:
            for size in SIZES:
                with self.subTest(size=size):
                    self.echoes(connection, text_of(size))

    def test_binary_of_all_sizes(self):
        block = random.Random(2).randbytes(20_000)
        with client(self.server) as connection:
            for size in SIZES:
                with self.subTest(size=size):
                    self.echoes(connection, (block * (size // len(block) + 1))[:size])

    def test_data_that_cannot_be_compressed(self):
        with client(self.server) as connection:
            self.echoes(connection, random.Random(3).randbytes(200_000))

    def test_compression_is_what_the_server_was_told(self):
        with client(self.server) as connection:
            for message in ("", "x", "Grüße", b"\x00\xff", text_of(70_000)):
                self.echoes(connection, message)
        self.assertEqual(connection.agreed() is not None, self.row.compressed)
        data = [frame for frame in connection.wire.received if not frame.opcode & 8]
        self.assertEqual([frame.rsv1 for frame in data], [self.row.compressed] * 5)

    def test_fragments_with_pings_between(self):
        pongs = []

        async def parts(message, size):
            for start in range(0, len(message), size):
                yield message[start : start + size]
                pongs.append(await connection.websocket.ping(str(start)))

        with client(self.server) as connection:
            text = text_of(1_000)
            # In pieces of seven bytes characters are cut as well.
            connection.send(parts(text.encode(), 7), text=True)
            self.assertEqual(connection.receive(), text)
            data = random.Random(1).randbytes(80_000)
            connection.send(parts(data, 10_001))
            self.assertEqual(connection.receive(), data)
            self.assertEqual(len(pongs), 143 + 8)
            for pong in pongs:
                run(pong)

    def test_pings_are_answered_with_their_payload(self):
        with client(self.server) as connection:
            for payload in (b"", b"x", bytes(range(125))):
                connection.ping(payload)
            pongs = [frame for frame in connection.wire.received if frame.opcode == 10]
            self.assertEqual([bytes(pong.data) for pong in pongs], [b"", b"x", bytes(range(125))])
            self.assertEqual({pong.rsv1 for pong in pongs}, {False})

    def test_many_messages_in_a_row(self):
        messages = [f'{{"number": {n}, "text": "{text_of(n % 300)}"}}' for n in range(1_000)]
        with client(self.server) as connection:
            self.assertEqual(run(all_at_once(connection.websocket, messages)), messages)

    def test_closes_are_answered_with_their_code(self):
        for code, reason in CLOSES:
            with self.subTest(code=code, reason=reason):
                self.assertEqual(client(self.server).close(code, reason), code)

    def test_a_stopped_server_says_goodbye(self):
        server = Server(self.row.face, *self.row.options)
        self.addCleanup(server.stop)
        with client(server) as connection:
            self.echoes(connection, "here")
            run(asyncio.to_thread(server.stop))
            with self.assertRaises(ConnectionClosed) as closed:
                connection.receive()
        self.assertEqual((closed.exception.rcvd.code, closed.exception.rcvd_then_sent), (1001, True))


if __name__ == "__main__":
    unittest.main()
