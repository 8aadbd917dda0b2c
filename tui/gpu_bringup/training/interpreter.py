"""Runs a line of the exercise's shell on the simulated host: expansion, pipes, redirections, built-ins.

Everything happens on the host that it is given; nothing is ever handed to a real shell.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.errors import HostError
from gpu_bringup.hosts.base import Exited, Lines, Partial, Prompt
from gpu_bringup.model.plan import Command
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.training.filters import FILTERS
from gpu_bringup.training.line import Part, Pipeline, Simple, Word, check_depth, parse

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host, Session

Show = Callable[[str], None]
"""Gets finished lines of output, without their line ends."""
Ask = Callable[[Prompt], "str | None"]
"""Answers a prompt of a command; None: Ctrl-C."""

_HOME = "/root"
BUILT_INS = (
    "cd",
    "pwd",
    "echo",
    "export",
    "true",
    "false",
    "which",
    "type",
    "command",
    "test",
    "[",
)
"""Words that the shell itself knows, as programs on the host know others."""


@dataclass
class Interpreter:
    """A shell on a host.

    Args:
        host: the simulated host.
        programs: what there is besides the built-ins and filters, for ``which``.
    """

    host: Host
    programs: Callable[[], tuple[str, ...]]
    folder: str = _HOME
    variables: dict[str, str] = field(default_factory=lambda: {"HOME": _HOME, "USER": "root"})
    status: int = 0
    _depth: int = 0

    def run(self, line: str, show: Show, ask: Ask) -> int:
        """Run a line; returns the exit status of its last command.

        Raises:
            InputError: the line can't be taken apart.
        """
        for pipeline in parse(line):
            if pipeline.joint == "&&" and self.status != 0:
                continue
            if pipeline.joint == "||" and self.status == 0:
                continue
            self.status = self._pipeline(pipeline, show, ask)
        return self.status

    # --- one pipeline

    def _pipeline(self, pipeline: Pipeline, show: Show, ask: Ask) -> int:
        given: str | None = None
        status = 0
        last = len(pipeline.commands) - 1
        for number, command in enumerate(pipeline.commands):
            collected: list[str] = []
            sink: Show = show if number == last else collected.append
            status = self._simple(command, given, sink, show, ask)
            given = "".join(f"{line}\n" for line in collected)
        return status

    def _simple(
        self, command: Simple, given: str | None, sink: Show, errors: Show, ask: Ask
    ) -> int:
        words = [text for word in command.words for text in self._expand(word)]
        values = {name: "".join(self._expand(word)) for name, word in command.assignments}
        if not words:
            self.variables.update(values)
            return 0
        written: list[str] | None = None
        target, append, quiet = "", False, False
        for redirect in command.redirects:
            place = "".join(self._expand(redirect.target))
            if redirect.operator == "<":
                text = self._read(place)
                if text is None:
                    errors(f"bash: {place}: No such file or directory")
                    return 1
                given = text
            elif redirect.operator in (">", ">>", "&>", "&>>"):
                target, append, written = place, redirect.operator.endswith(">>"), []
            elif redirect.operator.startswith("2>") and place == "/dev/null":
                quiet = True
        collected: list[str] = []
        output: Show = sink if written is None else written.append
        # Programs here have one stream: of one that fails, all of it counts as error output.
        status = self._command(words, given, collected.append if quiet else output, ask)
        if quiet and status == 0:
            for line in collected:
                output(line)
        if written is not None and target != "/dev/null":
            return self._write(target, written, append=append, errors=errors) or status
        return status

    def _command(self, words: list[str], given: str | None, show: Show, ask: Ask) -> int:
        while words and words[0] in ("sudo", "command", "nohup", "time", "exec"):
            words = words[1:]
            while words and words[0].startswith("-"):
                words = words[1:]
        if not words:
            return 0
        name = words[0].rsplit("/", 1)[-1] if words[0].startswith("/") else words[0]
        built_in = self._built_in(name, words[1:], show)
        if built_in is not None:
            return built_in
        if given is not None and name in FILTERS:
            text, status = FILTERS[name](words[1:], given)
            _show_text(text, show)
            return status
        if given is not None and name == "xargs":
            return self._command([*words[1:], *given.split()], None, show, ask)
        if given is not None and name == "tee":
            _show_text(given, show)
            return self._write(words[-1], given.splitlines(), append="-a" in words, errors=show)
        argv = (name, *(self._absolute(word) for word in words[1:]))
        return self._follow(self.host.open(Command(argv)), show, ask)

    def _follow(self, session: Session, show: Show, ask: Ask) -> int:
        asked = False
        for event in session:
            if isinstance(event, Lines):
                for line in event.lines:
                    show(line)
            elif isinstance(event, Prompt):
                answer = ask(event)
                asked = True
                if answer is None:
                    session.interrupt()
                else:
                    session.send(answer)
            elif isinstance(event, Exited):
                return event.status
            else:
                assert isinstance(event, Partial)
        return 130 if asked else 1

    # --- built-ins

    def _built_in(self, name: str, rest: list[str], show: Show) -> int | None:
        if name == "cd":
            return self._cd(rest, show)
        if name == "pwd":
            show(self.folder)
        elif name == "echo":
            _show_text(" ".join(word for word in rest if word not in ("-n", "-e")) + "\n", show)
        elif name == "export":
            for word in rest:
                key, equals, value = word.partition("=")
                if equals:
                    self.variables[key] = value
        elif name == "false":
            return 1
        elif name in ("which", "type"):
            known = {*self.programs(), *FILTERS, *BUILT_INS}
            found = [word for word in rest if word in known]
            for word in found:
                show(f"/usr/bin/{word}")
            return 0 if len(found) == len(rest) else 1
        elif name in ("test", "["):
            return self._test([word for word in rest if word != "]"])
        elif name != "true":
            return None
        return 0

    def _cd(self, rest: list[str], show: Show) -> int:
        place = posixpath.normpath(posixpath.join(self.folder, rest[0] if rest else _HOME))
        if not isinstance(self.host.list_dir(place), tuple):
            show(f"bash: cd: {rest[0] if rest else place}: No such file or directory")
            return 1
        self.folder = place
        return 0

    def _test(self, words: list[str]) -> int:
        negated = bool(words) and words[0] == "!"
        words = words[1:] if negated else words
        if len(words) == 2 and words[0] in ("-e", "-f", "-d", "-r", "-s"):
            path = posixpath.join(self.folder, words[1])
            good = self.host.exists(path) is True
            if good and words[0] == "-d":
                good = isinstance(self.host.list_dir(path), tuple)
        elif len(words) == 3 and words[1] in ("=", "==", "!="):
            good = (words[0] == words[2]) != (words[1] == "!=")
        else:
            good = len(words) == 1 and bool(words[0])
        return 0 if good != negated else 1

    # --- files

    def _read(self, path: str) -> str | None:
        text = self.host.read_text(posixpath.join(self.folder, path))
        return text if isinstance(text, str) else None

    def _write(self, path: str, lines: list[str], *, append: bool, errors: Show) -> int:
        place = posixpath.join(self.folder, path)
        before = (self._read(place) or "") if append else ""
        try:
            self.host.write_file(place, before + "".join(f"{line}\n" for line in lines), 0o644)
        except HostError as error:
            errors(f"bash: {path}: {error.message}")
            return 1
        return 0

    def _absolute(self, word: str) -> str:
        """A relative path as an absolute one, where the shell stands elsewhere than the programs."""
        if word.startswith(("/", "-")) or "=" in word or self.folder == "/":
            return word
        inside = posixpath.normpath(posixpath.join(self.folder, word))
        looks_like_path = "/" in word or word.startswith(".")
        if looks_like_path or self.host.exists(inside) is True:
            return inside
        return word

    # --- expansion

    def _expand(self, word: Word) -> list[str]:
        """The words that a word becomes: variables, ``$(...)``, ``~``, wildcards."""
        fields = [""]
        patterns = [""]
        for number, part in enumerate(word):
            text = self._value(part)
            if part.kind != "text" and not part.quoted:
                pieces = text.split()
                fields[-1] += pieces[0] if pieces else ""
                patterns[-1] += pieces[0] if pieces else ""
                for piece in pieces[1:]:
                    fields.append(piece)
                    patterns.append(piece)
                continue
            if number == 0 and part.kind == "text" and not part.quoted and text[:1] == "~":
                text = _HOME + text[1:]
            fields[-1] += text
            patterns[-1] += text if not part.quoted else _literally(text)
        if fields == [""] and word and not any(part.quoted for part in word):
            return [] if any(part.kind != "text" for part in word) else [""]
        found: list[str] = []
        for plain, pattern in zip(fields, patterns, strict=True):
            found += (self._glob(pattern) if _is_pattern(pattern) else None) or [plain]
        return found

    def _value(self, part: Part) -> str:
        if part.kind == "variable":
            return str(self.status) if part.text == "?" else self.variables.get(part.text, "")
        if part.kind == "text":
            return part.text
        check_depth(self._depth + 1)
        collected: list[str] = []
        self._depth += 1
        try:
            self.run(part.text, collected.append, lambda prompt: None)
        finally:
            self._depth -= 1
        return "\n".join(collected)

    def _glob(self, pattern: str) -> list[str]:
        whole = posixpath.join(self.folder, pattern)
        found = ["/"]
        for piece in [item for item in whole.split("/") if item]:
            step: list[str] = []
            for place in found:
                names = self.host.list_dir(place)
                if isinstance(names, Unknown) or names is None:
                    continue
                hidden = piece.startswith(".")
                step += [
                    posixpath.join(place, name)
                    for name in names
                    if fnmatch.fnmatchcase(name, piece) and (hidden or not name.startswith("."))
                ]
            found = step
        if pattern.startswith("/"):
            return found
        base = self.folder.rstrip("/") + "/"
        return [path.removeprefix(base) for path in found]


def _is_pattern(text: str) -> bool:
    return any(mark in text.replace("[*]", "").replace("[?]", "") for mark in "*?")


def _literally(text: str) -> str:
    return text.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")


def _show_text(text: str, show: Show) -> None:
    for line in text.removesuffix("\n").split("\n") if text else ():
        show(line)
