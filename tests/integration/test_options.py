"""The option tables against --help and the man pages: each option is told of once more
than it is written down, and nothing else is."""

import json
import os
import pty
import re
import subprocess
import unittest
from pathlib import Path

from larder_testlib.cli import Cli
from larder_testlib.process import TempDir
from larder_testlib.programs import program

PAGES = Path(__file__).resolve().parents[2] / "docs" / "man"
# A definition of options begins a line: "*-k*, *--key* _KEY_" or "*--uid* _UID_, *--gid* ..."
DEFINED = re.compile(r"^(?:\*-\w\*, )?\*--[a-z]", re.MULTILINE)
OPTION = re.compile(r"\*--([a-z][a-z-]*)\*(?: _([A-Z]+)_)?")
MOUNTS_OWN = {"writable", "upper-dir"}  # larderfs knows nothing of overlays
DAEMONS_OWN = {"version", "shown-as"}
# An editor that is never typed into: it asks for what may follow each line of the file
# `lines`, and writes down what would be shown, one empty line after each.
ZSH_ASKS = r"""
autoload -Uz compinit; compinit -D -u
zstyle ':completion:*' list-grouped false
COLUMNS=200
compadd() {
	if [[ " $* " == *' '-[OAD]' '* ]]; then builtin compadd "$@"; return; fi
	local -a fitting shown; local at=$@[(i)-d]
	(( at < $# )) && shown=("${(@P)@[at+1]}")
	builtin compadd -A fitting -D shown "$@"
	print -rl -- ${shown:-$fitting} >>shown
}
source ./_larder; compdef _larder larder
zle -C offer complete-word _main_complete
zle-line-init() {
	for BUFFER in "${(@f)$(<lines)}"; do
		CURSOR=$#BUFFER; zle offer 2>>complaints; print >>shown
	done
	BUFFER=exit; zle accept-line
}
zle -N zle-line-init
"""
LETTER = re.compile(r"^\*-(\w)\*, \*--([a-z-]+)\*", re.MULTILINE)


def defined_options(page):
    """{name: argument or None} of the lines that define options."""
    found = {}
    for line in (PAGES / f"{page}.1.scd").read_text().splitlines():
        if DEFINED.match(line):
            found |= {name: word or None for name, word in OPTION.findall(line)}
    return found


class Options(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = TempDir()
        cls.addClassCleanup(cls.dir.remove)
        cls.cli = Cli(cls.dir.path)
        cls.tables = json.loads(cls.cli.run("help", "--json").out)
        cls.shared = defined_options("larder")

    def commands(self):
        for command in self.tables["commands"]:
            with self.subTest(command=command["name"]):
                yield command

    def test_help_fits_a_terminal(self):
        for words in [("--help",), *((c["name"], "--help") for c in self.commands())]:
            result = self.cli.run(*words)
            self.assertEqual((result.code, result.err), (0, ""), result)
            self.assertTrue(result.out.startswith("larder"), result)
            for line in result.out.splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_help_names_every_option(self):
        for command in self.commands():
            text = self.cli.run(command["name"], "--help").out
            self.assertIn(command["summary"], text)
            for option in command["options"]:
                word = f" {option['argument']}" if "argument" in option else ""
                self.assertRegex(text, rf"--{option['name']}{word}  +\S")

    def test_the_overview_names_every_command(self):
        text = self.cli.run("--help").out
        for command in self.commands():
            self.assertIn(f"larder {command['name']} ", text)
            self.assertIn(command["summary"], text)

    def test_man_pages_tell_of_every_option(self):
        for command in self.commands():
            own = defined_options(f"larder-{command['name']}")
            for option in command["options"]:
                name = option["name"]
                self.assertTrue(name in own or name in self.shared,
                                f"--{name} is in no man page")
                word = own.get(name, self.shared.get(name))
                self.assertEqual(word, option.get("argument"), f"--{name}")

    def test_man_pages_tell_of_no_other_option(self):
        everywhere = {o["name"] for c in self.tables["commands"] for o in c["options"]}
        for command in self.commands():
            names = {option["name"] for option in command["options"]}
            own = set(defined_options(f"larder-{command['name']}"))
            self.assertLessEqual(own, names)
        self.assertLessEqual(set(self.shared) - {"version"}, everywhere)

    def test_the_daemons_page_tells_of_mounts_options(self):
        mount = next(c for c in self.tables["commands"] if c["name"] == "mount")
        daemons = defined_options("larderfs")
        self.assertEqual(set(daemons) - DAEMONS_OWN,
                         set(defined_options("larder-mount")) - MOUNTS_OWN)
        help_text = subprocess.run([program("larderfs"), "--help"], check=True,
                                   capture_output=True, text=True).stdout
        names = {option["name"] for option in mount["options"]} - MOUNTS_OWN
        for name in (*daemons, *names):
            self.assertRegex(help_text, rf"--{name}\b")
        for name in MOUNTS_OWN:
            self.assertNotIn(f"--{name}", help_text)
        for line in help_text.splitlines():
            self.assertLessEqual(len(line), 80, line)

    def test_man_pages_tell_of_letters(self):
        for command in self.commands():
            letters = {o["letter"]: o["name"] for o in command["options"] if "letter" in o}
            text = (PAGES / f"larder-{command['name']}.1.scd").read_text()
            for letter, name in LETTER.findall(text):
                self.assertEqual(letters.get(letter), name)

    def test_every_page_is_named_on_the_first(self):
        text = (PAGES / "larder.1.scd").read_text()
        for command in self.commands():
            self.assertIn(f"*larder-{command['name']}*(1)", text)

    def test_exit_codes_are_in_the_man_page(self):
        text = (PAGES / "larder.1.scd").read_text()
        for code in (0, 1, 2, 3, 4, 5, 6, 7, 124):
            self.assertIn(f"\n*{code}*\n", text)

    # --- completions -------------------------------------------------------------------

    def complete_in_bash(self, *words):
        """What bash would offer for the last word."""
        script = self.cli.run("help", "--completion", "bash").out + """
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _larder
            printf '%s\\n' "${COMPREPLY[@]}" """
        done = subprocess.run(["bash", "-c", script, "bash", "larder", *words], check=True,
                              capture_output=True, text=True, cwd=self.dir.path)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_bash_completes_commands_and_options(self):
        names = [c["name"] for c in self.tables["commands"]]
        self.assertEqual(set(self.complete_in_bash("")),
                         {*names, "--help", "--version"})
        for command in self.commands():
            offered = self.complete_in_bash(command["name"], "--")
            self.assertEqual(sorted(offered),
                             sorted("--" + o["name"] for o in command["options"]))

    def test_bash_completes_arguments(self):
        (self.dir.path / "folder").mkdir(exist_ok=True)
        self.assertEqual(self.complete_in_bash("mount", "--prefetch", ""),
                         ["auto", "none", "all"])
        self.assertEqual(self.complete_in_bash("mount", "--key", "fo"), [])
        self.assertEqual(self.complete_in_bash("mount", "-k", "fo"), [])
        self.assertEqual(self.complete_in_bash("mount", "fo"), ["folder"])
        self.assertEqual(self.complete_in_bash("mount", "--cache-dir", "fo"), ["folder"])

    def in_shell(self, shell, name, words):
        """Runs words after the shell's completion script, `name` below the directory."""
        (self.dir.path / name).write_text(self.cli.run("help", "--completion", shell).out)
        done = subprocess.run([shell, *words], cwd=self.dir.path, env=self.cli.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.splitlines()

    def test_fish_completes_commands_options_and_arguments(self):
        def offered(line):
            lines = self.in_shell("fish", "larder.fish", [
                "--no-config", "-c", f"source larder.fish; complete -C '{line}'"])
            return sorted(line.split("\t")[0] for line in lines)

        self.assertEqual(offered("larder "), sorted(c["name"] for c in self.commands()))
        for command in self.commands():
            self.assertEqual(offered(f"larder {command['name']} --"),
                             sorted("--" + o["name"] for o in command["options"]))
        self.assertEqual(offered("larder mount --prefetch "), ["all", "auto", "none"])

    def test_zsh_completes_commands_and_options(self):
        """What its _arguments is given, which is a function of zsh's own."""
        for command in self.commands():
            lines = self.in_shell("zsh", "_larder", ["-fc", f"""
                _arguments() {{ print -rl -- "$@" }}
                words=(larder {command['name']} '') CURRENT=3
                source ./_larder"""])
            names = {match[1]: match[2] for line in lines
                     if (match := re.search(r"--([a-z-]+)\[.*\](:[^:]*:)?", line))}
            self.assertEqual({name: word and word.strip(":") for name, word in names.items()},
                             {o["name"]: o.get("argument") for o in command["options"]})
        lines = self.in_shell("zsh", "_larder", ["-fc", """
            _describe() { print -rl -- "${(@P)2}" }
            words=(larder '') CURRENT=2
            source ./_larder"""])
        self.assertEqual(lines, [f"{c['name']}:{c['summary']}" for c in self.commands()])

    def show_in_zsh(self, lines):
        """What zsh would show below each line: a list of lists of lines."""
        home = self.dir.path
        (home / "_larder").write_text(self.cli.run("help", "--completion", "zsh").out)
        (home / "lines").write_text("\n".join(lines))
        (home / ".zshrc").write_text(ZSH_ASKS)
        ours, theirs = pty.openpty()
        shell = subprocess.Popen(["zsh", "-d", "-i"], cwd=home, stdin=theirs, stdout=theirs,
                                 stderr=theirs, start_new_session=True,
                                 env=self.cli.env | {"ZDOTDIR": str(home), "TERM": "dumb"})
        self.addCleanup(shell.wait)
        self.addCleanup(shell.kill)
        os.close(theirs)
        seen = b""
        try:
            while data := os.read(ours, 4096):
                seen += data
        except OSError:  # EIO: the shell has gone
            os.close(ours)
        self.assertEqual((shell.wait(timeout=60), (home / "complaints").read_text()), (0, ""),
                         seen)
        shown = (home / "shown").read_text().split("\n\n")
        return [part.split("\n") for part in shown if part]

    def test_zsh_takes_the_words_and_shows_them(self):
        commands = list(self.commands())
        *lists, ways = self.show_in_zsh([*(f"larder {c['name']} --" for c in commands),
                                         "larder mount --prefetch "])
        self.assertEqual(len(lists), len(commands))
        for command, shown in zip(commands, lists):
            self.assertEqual(
                {tuple(re.split(" +-- ", line, maxsplit=1)) for line in shown},
                {(f"--{o['name']}", o["help"]) for o in command["options"]})
        self.assertEqual(sorted(ways), ["all", "auto", "none"])

    def test_shells_find_no_fault_with_their_completions(self):
        for shell in ("bash", "zsh", "fish"):
            with self.subTest(shell=shell):
                self.assertEqual(self.in_shell(shell, "script", ["-n", "script"]), [])

    def test_help_knows_its_words(self):
        self.assertEqual(self.cli.run("help").out, self.cli.run("--help").out)
        self.assertEqual(self.cli.run("help", "ls").out, self.cli.run("ls", "--help").out)
        for words, told in ((["frob"], "there is no command 'frob'"),
                            (["--completion"], "shell is missing"),
                            (["--completion", "csh"], "no completions for 'csh'"),
                            (["--completion", "zsh", "ls"], "'ls' is one argument too many"),
                            (["--json", "ls"], "'ls' is one argument too many"),
                            (["mount", "umount"], "'umount' is one argument too many")):
            result = self.cli.run("help", *words)
            self.assertEqual((result.code, result.out), (2, ""), result)
            self.assertEqual(result.err.count("\n"), 1)
            self.assertIn(told, result.err)


if __name__ == "__main__":
    unittest.main()
