"""Takes a line of the exercise's shell apart: words, quotes, ``$(...)``, pipes, redirections. Pure.

A small part of the POSIX shell's grammar (Shell Command Language, IEEE Std 1003.1), as much as people
type by hand on servers; what it leaves out it names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpu_bringup.errors import InputError

LONGEST = 10_000
"""Characters of one line."""
_OPERATORS = ("2>&1", "&>>", "2>>", "&&", "||", "&>", "2>", ">>", ";", "|", "&", ">", "<")
_REDIRECTS = frozenset({"2>&1", "&>>", "2>>", "&>", "2>", ">>", ">", "<"})
_UNSUPPORTED = {"(": "sub-shells ( )", ")": "sub-shells ( )", "<<": "here documents <<"}
_WORDS_UNSUPPORTED = frozenset(
    {"if", "for", "while", "until", "case", "function", "select", "{", "}", "[[", "do", "done"}
)
_DEEPEST = 5


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a word."""

    text: str
    kind: str = "text"
    """"text", "variable" (its name), "command" (the line between ``$(`` and ``)``)."""
    quoted: bool = False


Word = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where output goes, or input comes from."""

    operator: str
    target: Word = ()
    """Empty with ``2>&1``."""


@dataclass(frozen=True, slots=True)
class Simple:
    """One command."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands whose output is the next one's input."""

    joint: str
    """What stands before it: "" or ";" (always), "&&" (when the one before went well), "||"."""
    commands: tuple[Simple, ...]


def _wrong(text: str) -> InputError:
    return InputError(f"sh: {text}")


class _Reader:
    def __init__(self, line: str) -> None:
        self.line = line
        self.at = 0

    def tokens(self) -> list[str | Word]:
        found: list[str | Word] = []
        while self._skip_blanks():
            rest = self.line[self.at :]
            if rest[0] == "#":
                break
            if rest.startswith("<<") or rest[0] in _UNSUPPORTED:
                name = _UNSUPPORTED["<<" if rest.startswith("<<") else rest[0]]
                raise _wrong(f"{name}: this exercise's shell has none")
            operator = next((item for item in _OPERATORS if rest.startswith(item)), "")
            if operator:
                self.at += len(operator)
                found.append(operator)
            else:
                found.append(self._word())
        return found

    def _skip_blanks(self) -> bool:
        while self.at < len(self.line) and self.line[self.at].isspace():
            self.at += 1
        return self.at < len(self.line)

    def _word(self) -> Word:
        parts: list[Part] = []
        while self.at < len(self.line):
            char = self.line[self.at]
            if char.isspace() or char in ";|&<>()":
                break
            if char == "'":
                parts.append(Part(self._until("'"), quoted=True))
            elif char == '"':
                self.at += 1
                parts += self._double()
            elif char in "$`":
                parts.append(self._dollar(quoted=False))
            elif char == "\\":
                parts.append(Part(self.line[self.at + 1 : self.at + 2], quoted=True))
                self.at += 2
            else:
                match = re.compile(r"[^\s'\"$`\\;|&<>()]+").match(self.line, self.at)
                assert match is not None
                self.at = match.end()
                parts.append(Part(match[0]))
        return tuple(parts)

    def _until(self, end: str) -> str:
        """What is between the mark at this place and the next ``end``."""
        close = self.line.find(end, self.at + 1)
        if close < 0:
            raise _wrong(f"there is no second {end}: the quotation is open")
        text = self.line[self.at + 1 : close]
        self.at = close + 1
        return text

    def _double(self) -> list[Part]:
        parts = [Part("", quoted=True)]
        while self.at < len(self.line):
            char = self.line[self.at]
            if char == '"':
                self.at += 1
                return parts
            if char in "$`":
                parts.append(self._dollar(quoted=True))
                continue
            if char == "\\" and self.line[self.at + 1 : self.at + 2] in ('"', "\\", "$", "`"):
                self.at += 1
            parts.append(Part(self.line[self.at], quoted=True))
            self.at += 1
        raise _wrong('there is no second ": the quotation is open')

    def _dollar(self, *, quoted: bool) -> Part:
        if self.line[self.at] == "`":
            return Part(self._until("`"), "command", quoted)
        rest = self.line[self.at :]
        if rest.startswith("$(("):
            raise _wrong("$(( )): this exercise's shell doesn't calculate")
        if rest.startswith("$("):
            depth = 0
            for place in range(self.at + 1, len(self.line)):
                depth += {"(": 1, ")": -1}.get(self.line[place], 0)
                if depth == 0:
                    text = self.line[self.at + 2 : place]
                    self.at = place + 1
                    return Part(text, "command", quoted)
            raise _wrong("there is no ) for $(")
        match = re.match(r"\$(?:\{(\w+)\}|(\w+|\?))", rest)
        if match is None:
            self.at += 1
            return Part("$", quoted=quoted)
        self.at += match.end()
        return Part(match[1] or match[2], "variable", quoted)


def parse(line: str) -> tuple[Pipeline, ...]:
    """The pipelines of a line, in order.

    Raises:
        InputError: it can't be taken apart; the message is what a shell would say.
    """
    if len(line) > LONGEST:
        raise _wrong("the line is too long")
    pipelines: list[Pipeline] = []
    commands: list[Simple] = []
    now: list[str | Word] = []
    joint, expecting = "", False
    for token in [*_Reader(line).tokens(), ";"]:
        if not isinstance(token, str) or token in _REDIRECTS:
            now.append(token)
            continue
        if not now and (token not in (";", "&") or expecting):
            raise _wrong(f"syntax error near '{token}'")
        if now:
            commands.append(_simple(now))
        now, expecting = [], token in ("|", "&&", "||")
        if token != "|":
            if commands:
                pipelines.append(Pipeline(joint, tuple(commands)))
            commands, joint = [], "" if token in (";", "&") else token
    return tuple(pipelines)


def _simple(tokens: list[str | Word]) -> Simple:
    assignments: list[tuple[str, Word]] = []
    words: list[Word] = []
    redirects: list[Redirect] = []
    rest = iter(tokens)
    for token in rest:
        if isinstance(token, str):
            target: Word = ()
            if token != "2>&1":
                following = next(rest, None)
                if following is None or isinstance(following, str):
                    raise _wrong(f"a file is missing after {token}")
                target = following
            redirects.append(Redirect(token, target))
            continue
        first = token[0]
        match = re.match(r"([A-Za-z_]\w*)=(.*)$", first.text, re.DOTALL)
        if match and not words and first.kind == "text" and not first.quoted:
            assignments.append((match[1], (Part(match[2]), *token[1:])))
            continue
        if not words and len(token) == 1 and first.text in _WORDS_UNSUPPORTED and not first.quoted:
            raise _wrong(f"'{first.text}': this exercise's shell takes simple commands only")
        words.append(token)
    return Simple(tuple(assignments), tuple(words), tuple(redirects))


def check_depth(depth: int) -> None:
    """Refuse ``$(...)`` inside of ``$(...)`` beyond reason.

    Raises:
        InputError: it is too deep.
    """
    if depth > _DEEPEST:
        raise _wrong("$( ) inside of $( ) too often")
