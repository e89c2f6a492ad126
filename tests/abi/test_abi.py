"""Programs of before run with the library of today: for each header kept here, `wsengine-VERSION.h`, one compiled against
it is run with the library, and the header of today has to have all that this one has.

At a release the header is kept: cp include/wsengine.h tests/abi/wsengine-VERSION.h
"""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARY = ROOT / "target/release/libwsengine.so"
HEADERS = sorted(HERE.glob("wsengine-*.h"))
# These may grow at their end: the caller says how large they are, or gets a pointer to one.
GROWING = "wsengine_stats_t", "wsengine_option_info_t"


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stdout}")
    return done.stdout


class Declarations:
    """What a header declares, without comments and white space."""

    def __init__(self, header):
        text = run("gcc", "-E", "-P", "-x", "c", str(header))
        text = text[text.index("typedef enum wsengine_error"):]
        text = re.sub(r"\s+", " ", text)
        self.constants = dict(re.findall(r"\b(WSENGINE_\w+) = (-?\d+)", text))
        self.structs = {name: body.split(";") for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", text)}
        self.others = set(re.findall(r"(?<=; )[^;{}]*\bwsengine_\w+\([^;]*;", text))
        self.others |= set(re.findall(r"typedef void \([^;]*;", text))
        macros = run("gcc", "-E", "-dM", "-x", "c", str(header))
        self.constants |= dict(re.findall(r"#define (WSENGINE_FLAG_\w+) (.*)", macros))


class Abi(unittest.TestCase):
    def test_there_are_headers_to_be_kept(self):
        self.assertTrue(HEADERS)

    def test_all_that_was_declared_is_declared_as_it_was(self):
        today = Declarations(ROOT / "include/wsengine.h")
        for header in HEADERS:
            with self.subTest(header.name):
                before = Declarations(header)
                self.assertGreater(len(before.constants), 20)
                self.assertGreater(len(before.others), 30)
                self.assertLessEqual(before.constants.items(), today.constants.items())
                self.assertEqual(before.others - today.others, set())
                for name, fields in before.structs.items():
                    now = today.structs[name]
                    self.assertEqual(fields[:-1], now[: len(fields) - 1], name)
                    if name not in GROWING:
                        self.assertEqual(len(fields), len(now), name)

    def test_a_program_of_before_runs(self):
        for header in HEADERS:
            with self.subTest(header.name), tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                (folder / "wsengine.h").symlink_to(header)
                (folder / "libwsengine.so.0").symlink_to(LIBRARY)
                program = folder / "program"
                run("gcc", "-std=gnu99", "-Wall", "-Wextra", "-Werror", f"-I{folder}", HERE / "program.c", "-o", program,
                    folder / "libwsengine.so.0", "-Wl,-rpath,$ORIGIN")
                self.assertEqual(run(program), "all holds\n")


if __name__ == "__main__":
    unittest.main()
