"""apt.conf(5): as much of its syntax as settings about unattended upgrades use."""

from __future__ import annotations

import re

_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|#[^\n]*|"((?:[^"\\\n]|\\.)*)"|([{};])|([^\s{};"]+)', re.S)


def parse_apt_conf(text: str) -> tuple[tuple[str, str], ...]:
    """(key, value) in the file's order; keys in lower case, list items under their list's key.

    Broken input gives what can be told of it.
    """
    found: list[tuple[str, str]] = []
    scopes: list[str] = []
    words: list[str] = []
    values: list[str] = []

    def key() -> str:
        return "::".join([*scopes, *words]).lower().replace("::::", "::").strip(":")

    for match in _TOKEN.finditer(text):
        quoted, mark, word = match.groups()
        if mark == "{":
            scopes.append("::".join(words))
            words, values = [], []
        elif mark == "}":
            if scopes:
                scopes.pop()
            words, values = [], []
        elif mark == ";":
            found += [(key(), value) for value in values]
            words, values = [], []
        elif quoted is not None:
            values.append(quoted)
        elif word is not None:
            if words:
                values.append(word)
            else:
                words.append(word)
    return tuple(found)


def last_value(settings: tuple[tuple[str, str], ...], key: str) -> str:
    """The value that a setting ends with; empty: not set."""
    wanted = key.lower()
    return next((value for name, value in reversed(settings) if name == wanted), "")


def all_values(settings: tuple[tuple[str, str], ...], key: str) -> tuple[str, ...]:
    """All items of a list."""
    wanted = key.lower()
    return tuple(value for name, value in settings if name == wanted and value)
