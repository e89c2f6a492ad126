"""What PHP programmers get: `make install-php` and `make uninstall-php`, and PHP's own way by phpize. All into temporary
folders; the system's PHP learns nothing of it. `make test-deb` does the same for the Debian package."""

import json
import os
import shutil
import subprocess
import unittest
from pathlib import Path

from folder import ROOT, TEXT, Folder


class Install(Folder):
    def make(self, word, **variables):
        self.run_in(ROOT, "make", "--no-print-directory", word, f"DESTDIR={self.folder}", **variables)

    def extensions(self):
        return subprocess.check_output(["php-config", "--extension-dir"], text=True).strip()

    def php(self, *arguments):
        """The command line of a PHP that has what was installed."""
        options = {
            "extension_dir": self.found("wsengine.so").parent,
            "include_path": f".:{self.found('WsEngine').parent}",
            "log_errors": 0,
            "display_errors": "stderr",
        }
        return ["php", *(word for name, value in options.items() for word in ("-d", f"{name}={value}")), *arguments]

    def environment(self):
        return {**os.environ, "PHP_INI_SCAN_DIR": f":{self.found('wsengine.ini').parent}"}

    def serve(self, example):
        """Runs the example, and connects to it."""
        script = self.found(f"examples/{example}/server.php")
        # The engine's log tells which port is free, where the example does not.
        command = self.php("-d", "wsengine.log_level=info", "-q", script, "127.0.0.1", "0")
        return self.connect_to(command, self.environment())

    def script(self, name, line):
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
        return path

    def test_what_is_installed_works(self):
        self.make("install-php")
        # PHP knows one folder of extensions.
        for extension in Path(self.extensions()).glob("*.so"):
            link = self.found("wsengine.so").parent / extension.name
            link.exists() or link.symlink_to(extension)
        client = self.serve("echo")
        client.send(TEXT, b"hello")
        self.assertEqual(client.receive(), (TEXT, b"hello"))
        # This one finds its classes by PHP's include_path.
        self.serve("legacy/callback")
        classes = "require 'WsEngine/autoload.php'; echo (new ReflectionClass(WsEngine\\Server::class))->getFileName();"
        output = subprocess.check_output(self.php("-r", classes), env=self.environment(), text=True)
        self.assertEqual(output, str(self.found("WsEngine") / "Server.php"))
        self.assertEqual(
            self.found("wsengine.stub.php").read_text(), (ROOT / "php-ext/wsengine.stub.php").read_text()
        )

    def test_all_classes_are_installed_and_none_of_before(self):
        self.make("install-php")
        old = self.found("WsEngine") / "Old.php"
        old.touch()
        setting = self.found("wsengine.ini")
        setting.write_text("; mine\n")
        self.make("install-php")
        installed = {path.relative_to(old.parent) for path in old.parent.rglob("*.php")}
        library = ROOT / "php-ext/lib"
        expected = {path.relative_to(library) for path in library.rglob("*.php")} | {Path("wsengine.stub.php")}
        self.assertEqual(installed, expected)
        self.assertEqual(setting.read_text(), "; mine\n", "the administrator's setting stays")

    def test_a_prefix_is_for_what_php_does_not_place(self):
        self.make("install-php", PREFIX="/opt/chat")
        self.assertTrue((self.folder / "opt/chat/share/php/WsEngine/autoload.php").exists())
        self.assertTrue((self.folder / "opt/chat/share/doc/wsengine/docs/php.md").exists())
        self.assertEqual(self.found("wsengine.so"), self.folder / self.extensions()[1:] / "wsengine.so")

    def test_uninstall_leaves_nothing(self):
        self.make("install-php")
        self.make("uninstall-php")
        self.assertEqual([path for path in self.folder.rglob("*") if not path.is_dir()], [])

    def test_a_php_that_is_not_debians(self):
        """Without DESTDIR, and with one folder of settings, all of which PHP reads."""
        places = "".join(
            f"--{name}) echo {self.folder}/{place};; "
            for name, place in (("extension-dir", "extensions"), ("ini-dir", "conf.d"), ("prefix", "php"))
        )
        config = self.script("php-config", f'case $1 in {places} *) exec php-config "$@";; esac')
        words = "make", "--no-print-directory", "DESTDIR=", f"PREFIX={self.folder}/prefix", f"PHP_CONFIG={config}"
        self.run_in(ROOT, *words, "install-php")
        files = "extensions/wsengine.so", "conf.d/wsengine.ini", "prefix/share/php/WsEngine/autoload.php"
        for file in files:
            self.assertTrue((self.folder / file).is_file(), file)
        self.run_in(ROOT, *words, "uninstall-php")
        self.assertEqual([path for path in self.folder.rglob("*") if path.is_file()], [config])

    def test_another_php_is_not_given_this_extension(self):
        php = self.script("php", 'case "$*" in *extension=*) exit 1;; esac; exec php "$@"')
        config = self.script("php-config", f'[ "$1" = --php-binary ] && echo {php} || exec php-config "$@"')
        command = ["make", "install-php", f"DESTDIR={self.folder}/root", f"PHP_CONFIG={config}"]
        failed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn(f"was not built for {php}", failed.stdout)
        self.assertFalse((self.folder / "root").exists())


class Phpize(Folder):
    def test_configure_make_test_install(self):
        """In a folder whose Cargo.toml is this tree's, so that cargo has little to do."""
        source = ROOT / "php-ext"
        for name in "config.m4", "Makefile.frag":
            shutil.copy(source / name, self.folder)
        shutil.copytree(source / "tests", self.folder / "tests")
        (self.folder / "Cargo.toml").symlink_to(source / "Cargo.toml")
        self.run_in(self.folder, "phpize")
        self.run_in(self.folder, "./configure", "--quiet")
        self.run_in(self.folder, "make", "--no-print-directory")
        report = self.run_in(self.folder, "make", "--no-print-directory", "test", NO_INTERACTION="1")
        tests = len(list(source.glob("tests/phpt/*.phpt")))
        self.assertRegex(report, rf"Tests passed +: +{tests} \(100")
        # Root has no cargo, and needs none twice.
        for _ in range(2):
            self.run_in(self.folder, "make", "install", f"INSTALL_ROOT={self.folder}/root", "CARGO=/bin/false")
        extension = self.found("root/**/wsengine.so")
        name = self.run_in(self.folder, "php", "-n", "-d", f"extension={extension}", "--rf", "ws_server_start")
        self.assertIn("internal:wsengine", name)

    def test_configure_names_what_is_missing(self):
        shutil.copy(ROOT / "php-ext/config.m4", self.folder)
        self.run_in(self.folder, "phpize")
        command = ["./configure", "--quiet", "--with-cargo=/no/cargo"]
        failed = subprocess.run(command, cwd=self.folder, stderr=subprocess.PIPE, text=True)
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn("there is no /no/cargo", failed.stderr)


class Composer(unittest.TestCase):
    def test_pie_finds_what_it_builds(self):
        package = json.loads((ROOT / "composer.json").read_text())
        self.assertEqual(package["type"], "php-ext")
        extension = package["php-ext"]
        self.assertEqual(extension["extension-name"], "wsengine")
        config = (ROOT / extension["build-path"] / "config.m4").read_text()
        for option in extension["configure-options"]:
            self.assertIn(f"--{option['name']}", config)

    def test_projects_find_the_classes(self):
        package = json.loads((ROOT / "php-ext/composer.json").read_text())
        self.assertNotEqual(package["name"], json.loads((ROOT / "composer.json").read_text())["name"])
        self.assertEqual(package["autoload"]["psr-4"], {"WsEngine\\": "lib/"})
        self.assertIn("namespace WsEngine;", (ROOT / "php-ext/lib/Server.php").read_text())


if __name__ == "__main__":
    unittest.main()
