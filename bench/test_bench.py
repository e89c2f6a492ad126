"""Tests of the runner itself: python3 -m unittest discover bench"""

import argparse
import os
import sys
import unittest
import urllib.request
from unittest import mock

from cells import BARS, CELLS, IDLE, SCALE, Bar, Cell, Figure
from results import Results, verdicts
from run import is_built, measure_once
from servers import SERVERS, Failure, Running, make_certificate

OURS_IN_C = next(server for server in SERVERS if server.name == "c")


def python(code, *arguments):
    return [sys.executable, "-c", code, *arguments]


PRINTS_ITS_PORT = """
import http.server
server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
print('listening on 127.0.0.1:%d' % server.server_port, flush=True)
server.serve_forever()
"""


class Servers(unittest.TestCase):
    def test_the_port_is_read(self):
        with Running(python(PRINTS_ITS_PORT), os.sched_getaffinity(0)) as server:
            with urllib.request.urlopen(f"http://{server.address}/") as answer:
                self.assertEqual(answer.status, 200)

    def test_a_server_runs_on_its_cpus_only_and_we_keep_ours(self):
        ours = os.sched_getaffinity(0)
        with Running(python(PRINTS_ITS_PORT), {min(ours)}) as server:
            self.assertEqual(os.sched_getaffinity(server.pid), {min(ours)})
            self.assertEqual(os.sched_getaffinity(0), ours)

    def test_a_server_is_gone_afterwards(self):
        with Running(python(PRINTS_ITS_PORT), os.sched_getaffinity(0)) as server:
            pid = server.pid
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_a_server_that_dies_is_quoted(self):
        with self.assertRaisesRegex(Failure, "port 80 is not yours"):
            with Running(python("print('port 80 is not yours')"), os.sched_getaffinity(0)):
                pass

    def test_a_server_that_never_listens_is_given_up(self):
        with mock.patch("servers.START_TIMEOUT", 0.2), self.assertRaisesRegex(Failure, "does not listen"):
            with Running(python("import time; time.sleep(60)"), os.sched_getaffinity(0)):
                pass


class Loads(unittest.TestCase):
    """The load client against our servers in C, as `make build` has built it."""

    @classmethod
    def setUpClass(cls):
        if not is_built(OURS_IN_C):
            raise Failure("there is no server: `make build`")
        make_certificate()

    def measure(self, program, load, figure="messages", tls=False):
        """A report in which there is something of that figure: of a fifth of a second the machine may take all."""
        cpus = os.sched_getaffinity(0)
        options = argparse.Namespace(server_cpus=cpus, client_cpu=max(cpus), seconds=0.2, settle=0.1)
        for _ in range(5):
            report = measure_once(OURS_IN_C, Cell(program, program, load, (), tls=tls), options)
            if report[figure] > 0:
                return report
        self.fail(f"{load}: no {figure} in five measurements")

    def test_every_mode_speaks_tls(self):
        for load, figure in (
            ("echo --connections 3 --depth 2", "messages"),
            ("echo --connections 2 --depth 2 --size 300000", "messages"),
            ("rate --connections 3 --rate 100", "messages"),
            ("broadcast --receivers 1", "deliveries"),
            ("idle --connections 3", "bytes_each"),
            ("idle --connections 3 --burst", "bytes_each"),
            ("handshakes --concurrency 3", "handshakes"),
        ):
            with self.subTest(load):
                self.measure("echo tls", load, figure, tls=True)

    def test_messages_are_compressed(self):
        for load, figure in (
            ("echo --connections 3 --depth 2", "messages"),
            ("rate --connections 3 --rate 100", "messages"),
            ("broadcast --receivers 1", "deliveries"),
        ):
            with self.subTest(load):
                report = self.measure("echo deflate", f"{load} --deflate --size 1024", figure)
                self.assertLess(report["request_bytes"], 512)

    def test_a_message_that_the_server_does_not_compress_is_a_reply_too(self):
        self.measure("echo deflate", "echo --deflate --size 10")

    def test_a_server_that_does_not_compress_is_an_error(self):
        with self.assertRaisesRegex(Failure, "does not agree to .*permessage-deflate"):
            self.measure("echo", "echo --deflate")

    def test_a_topic_among_others_is_published_to(self):
        self.measure("timed publish among others", "broadcast --receivers 3", "call_ns")


def results():
    made = Results()
    for floor, php in ((100, 80), (10, 9), (100, 70)):
        made.add(CELLS[0], "floor", {"per_second": floor})
        made.add(CELLS[0], "php", {"per_second": php})
    return made


class Figures(unittest.TestCase):
    def test_ratios_are_taken_within_a_round(self):
        self.assertEqual(results().value(CELLS[0], "php", "per_second"), 70)
        self.assertEqual(results().ratio(CELLS[0], "php", "per_second"), 0.8)

    def test_what_was_not_measured_is_nothing(self):
        self.assertIsNone(results().ratio(CELLS[0], "c", "per_second"))
        self.assertIsNone(results().value(CELLS[0], "c", "per_second"))

    def test_a_bar_that_was_not_measured_is_missed(self):
        bars = [
            Bar("rate", "php", CELLS[0], "per_second", at_least=0.8, versus="floor"),
            Bar("rate", "php", CELLS[0], "per_second", at_least=0.8, versus="uwebsockets"),
        ]
        said = [(is_met, measured) for is_met, _, measured, _ in verdicts(bars, results())]
        self.assertEqual(said, [(True, "0.80 x floor"), (False, "not measured")])

    def test_a_bar_includes_its_limit(self):
        memory = Bar("memory", "php", IDLE, "bytes_each", at_most=2048)
        self.assertTrue(memory.met(2048))
        self.assertFalse(memory.met(2049))
        rate = Bar("rate", "php", CELLS[0], "per_second", at_least=1e6)
        self.assertTrue(rate.met(1e6))
        self.assertFalse(rate.met(999_999))

    def test_every_cell_says_how_many_connections_it_opens(self):
        self.assertEqual([CELLS[0].connections(), IDLE.connections()], [50, 5_000])
        self.assertTrue(all(cell.connections() > 0 for cell in [*CELLS, *SCALE]))

    def test_every_cell_has_a_program_of_ours(self):
        for cell in [*CELLS, *SCALE]:
            self.assertIn(cell.program, OURS_IN_C.programs)

    def test_figures_are_shown_in_their_unit(self):
        self.assertEqual(Figure("per_second", "thousand messages/s", unit=1e3).show(2_519_400), "2,519")
        self.assertEqual(Figure("p50_us", "p50 µs", decimals=1).show(23.456), "23.5")

    def test_every_bar_names_a_cell_and_a_server_that_exist(self):
        for bar in BARS:
            self.assertIn(bar.cell, CELLS)
            names = [server.name for server in SERVERS]
            self.assertIn(bar.server, names)
            self.assertIn(bar.versus, [*names, None])


if __name__ == "__main__":
    unittest.main()
