"""What C programmers get: `make install-c` and `make uninstall-c`, with pkg-config and CMake, into temporary folders."""

import os
import re
import subprocess
import unittest

from folder import ROOT, TEXT, Folder

VERSION = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
SONAME = f"libwsengine.so.{VERSION.split('.')[0]}"


class InstallC(Folder):
    def make(self, word, **variables):
        self.run_in(ROOT, "make", "--no-print-directory", word, **{name: str(to) for name, to in variables.items()})

    def files(self):
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir()}

    def environment(self):
        library = self.folder / "lib"
        return {"PKG_CONFIG_PATH": str(library / "pkgconfig"), "LD_LIBRARY_PATH": str(library)}

    def shell(self, command):
        return self.run_in(self.folder, "sh", "-ec", command, **self.environment())

    def assert_chats(self, program):
        client = self.connect_to([str(self.folder / program), "127.0.0.1:0"], {**os.environ, **self.environment()})
        self.assertRegex(client.receive()[1].decode(), r"^\* user \d+ is here$")
        client.send(TEXT, b"hello")
        opcode, line = client.receive()
        self.assertEqual(opcode, TEXT)
        self.assertRegex(line.decode(), r"^<\d+> hello$")

    def test_each_file_is_where_it_belongs(self):
        self.make("install-c", DESTDIR=self.folder, PREFIX="/usr", LIBDIR="/usr/lib/x86_64-linux-gnu")
        files = self.files()
        library = "usr/lib/x86_64-linux-gnu"
        expected = {
            f"{library}/{name}"
            for name in (
                f"libwsengine.so.{VERSION}",
                SONAME,
                "libwsengine.so",
                "libwsengine.a",
                "pkgconfig/wsengine.pc",
                "cmake/wsengine/wsengine-config.cmake",
                "cmake/wsengine/wsengine-config-version.cmake",
            )
        } | {"usr/include/wsengine.h"}
        self.assertEqual({file for file in files if not file.startswith("usr/share/doc/libwsengine/")}, expected)
        docs = "usr/share/doc/libwsengine"
        self.assertIn(f"{docs}/examples/c/chat.c", files)
        self.assertIn(f"{docs}/examples/systemd/chat.socket", files)
        self.assertIn("](examples/systemd)", (self.folder / docs / "serving.md").read_text())
        self.assertEqual(os.readlink(self.folder / library / "libwsengine.so"), SONAME)
        self.assertEqual(os.readlink(self.folder / library / SONAME), f"libwsengine.so.{VERSION}")
        for file in files:
            if file.endswith((".pc", ".cmake")):
                text = (self.folder / file).read_text()
                self.assertNotIn("@", text)
                self.assertNotIn(str(self.folder), text)
        self.make("uninstall-c", DESTDIR=self.folder, PREFIX="/usr", LIBDIR="/usr/lib/x86_64-linux-gnu")
        self.assertEqual(self.files(), set())

    def test_an_older_version_makes_place(self):
        self.make("install-c", PREFIX=self.folder)
        (self.folder / "lib/libwsengine.so.0.0.1").touch()
        self.make("install-c", PREFIX=self.folder)
        self.assertEqual(len(list(self.folder.glob("lib/libwsengine.so.*.*"))), 1)

    def test_pkg_config_is_all_that_a_program_needs(self):
        """As the head of chat.c says, in fewer than 70 lines."""
        self.make("install-c", PREFIX=self.folder)
        chat = self.folder / "share/doc/libwsengine/examples/c/chat.c"
        self.assertLess(len(chat.read_text().splitlines()), 70)
        version = self.shell("pkg-config --modversion wsengine").strip()
        self.assertEqual(version, VERSION)
        self.shell(f"cc {chat} $(pkg-config --cflags --libs wsengine) -o chat")
        needed = self.shell("readelf -d chat")
        self.assertIn(SONAME, needed)
        self.assert_chats("chat")

    def test_programs_without_the_shared_library(self):
        self.make("install-c", PREFIX=self.folder)
        chat = self.folder / "share/doc/libwsengine/examples/c/chat.c"
        cflags = "$(pkg-config --cflags wsengine)"
        self.shell(f"cc {chat} {cflags} -Wl,-Bstatic $(pkg-config --libs wsengine) -Wl,-Bdynamic -lm -o library-inside")
        self.shell(f"cc -static {chat} {cflags} $(pkg-config --static --libs wsengine) -o all-inside")
        (self.folder / "lib" / SONAME).unlink()
        for program in "library-inside", "all-inside":
            with self.subTest(program):
                self.assertNotIn("libwsengine", self.shell(f"readelf -d {program}"))
                self.assert_chats(program)

    def test_cmake_finds_both(self):
        self.make("install-c", PREFIX=self.folder)
        minor = ".".join(VERSION.split(".")[:2])
        (self.folder / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.13)\nproject(chat C)\n"
            f"find_package(wsengine {minor} REQUIRED)\n"
            "foreach(kind wsengine static)\n"
            "    add_executable(chat-${kind} share/doc/libwsengine/examples/c/chat.c)\n"
            "    target_link_libraries(chat-${kind} wsengine::${kind})\n"
            "endforeach()\n"
        )
        self.shell(f"cmake -S . -B build -DCMAKE_PREFIX_PATH={self.folder} && cmake --build build")
        self.assertIn(SONAME, self.shell("readelf -d build/chat-wsengine"))
        self.assert_chats("build/chat-wsengine")
        self.assert_chats("build/chat-static")

    def test_cmake_refuses_a_version_that_is_not_there(self):
        self.make("install-c", PREFIX=self.folder)
        (self.folder / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.13)\nproject(chat C)\nfind_package(wsengine 77.0 REQUIRED)\n"
        )
        command = ["cmake", "-S", ".", "-B", "build", f"-DCMAKE_PREFIX_PATH={self.folder}"]
        failed = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn(f"version: {VERSION}", failed.stdout)


if __name__ == "__main__":
    unittest.main()
