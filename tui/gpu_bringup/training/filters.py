"""The programs that read from a pipe: what grep, head, tail, wc, sort, uniq, cut, less do with text. Pure.

Options as in the manual pages of GNU grep 3.8 and coreutils 9.1, as far as people use them in pipes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Answer = tuple[str, int]
"""(output, exit status)."""


def _options(words: Sequence[str], valued: str = "") -> tuple[dict[str, str], list[str]]:
    """(letter or long name -> value, "" where it takes none; the other words)."""
    found: dict[str, str] = {}
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return found, [*others, *rest]
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found[name] = value
        elif re.fullmatch(r"-\d+", word):
            found["n"] = word[1:]
        elif word.startswith("-") and len(word) > 1:
            for place, letter in enumerate(word[1:], 1):
                if letter in valued:
                    found[letter] = word[place + 1 :] or (rest.pop(0) if rest else "")
                    break
                found[letter] = ""
        else:
            others.append(word)
    return found, others


def _grep(words: Sequence[str], text: str) -> Answer:
    options, others = _options(words, "eABCm")
    if "e" in options:
        pattern = options["e"]
    elif others:
        pattern = others[0]
    else:
        return "Usage: grep [OPTION]... PATTERNS [FILE]...\n", 2
    if "F" in options:
        pattern = re.escape(pattern)
    elif "E" not in options and "P" not in options:
        # Basic regular expressions: there \| \+ \? \( are the special ones.
        pattern = re.sub(
            r"\\([|+?(){}])|([|+?(){}])", lambda m: m[1] if m[1] else f"\\{m[2]}", pattern
        )
    if "w" in options:
        pattern = rf"\b(?:{pattern})\b"
    try:
        wanted = re.compile(pattern, re.IGNORECASE if "i" in options else 0)
    except re.error:
        return f"grep: Invalid regular expression: {pattern[:60]}\n", 2
    lines = text.splitlines()
    hits = [n for n, line in enumerate(lines) if bool(wanted.search(line)) != ("v" in options)]
    status = 0 if hits else 1
    if "q" in options:
        return "", status
    if "c" in options:
        return f"{len(hits)}\n", status
    before = _count(options.get("B", options.get("C", "0")))
    after = _count(options.get("A", options.get("C", "0")))
    around = sorted(
        {near for n in hits for near in range(max(0, n - before), min(len(lines), n + after + 1))}
    )
    if "o" in options:
        return "".join(f"{m[0]}\n" for n in hits for m in wanted.finditer(lines[n])), status
    number = "n" in options
    return "".join(f"{n + 1}:{lines[n]}\n" if number else f"{lines[n]}\n" for n in around), status


def _count(text: str, default: int = 0) -> int:
    return int(text) if re.fullmatch(r"\d{1,7}", text) else default


def _head(words: Sequence[str], text: str) -> Answer:
    options, _ = _options(words, "nc")
    return "".join(text.splitlines(keepends=True)[: _count(options.get("n", "10"), 10)]), 0


def _tail(words: Sequence[str], text: str) -> Answer:
    options, _ = _options(words, "nc")
    wanted = options.get("n", "10")
    lines = text.splitlines(keepends=True)
    if wanted.startswith("+"):
        return "".join(lines[max(0, _count(wanted[1:], 1) - 1) :]), 0
    count = _count(wanted, 10)
    return "".join(lines[-count:] if count else []), 0


def _wc(words: Sequence[str], text: str) -> Answer:
    options, _ = _options(words)
    numbers = {"l": text.count("\n"), "w": len(text.split()), "c": len(text.encode())}
    chosen = [numbers[key] for key in numbers if key in options] or list(numbers.values())
    if len(chosen) == 1:
        return f"{chosen[0]}\n", 0
    return "".join(f"{number:7d} " for number in chosen).rstrip() + "\n", 0


def _sort(words: Sequence[str], text: str) -> Answer:
    options, _ = _options(words, "kt")

    def key(line: str) -> tuple[float, str]:
        match = (
            re.match(r"\s*(-?\d+(?:\.\d+)?)", line) if {"n", "h", "V"} & options.keys() else None
        )
        return (float(match[1]) if match else 0.0, line)

    lines = sorted(text.splitlines(), key=key, reverse="r" in options)
    if "u" in options:
        lines = list(dict.fromkeys(lines))
    return "".join(f"{line}\n" for line in lines), 0


def _uniq(words: Sequence[str], text: str) -> Answer:
    options, _ = _options(words)
    runs: list[tuple[int, str]] = []
    for line in text.splitlines():
        if runs and runs[-1][1] == line:
            runs[-1] = (runs[-1][0] + 1, line)
        else:
            runs.append((1, line))
    if "c" in options:
        return "".join(f"{count:7d} {line}\n" for count, line in runs), 0
    return "".join(f"{line}\n" for _, line in runs), 0


def _cut(words: Sequence[str], text: str) -> Answer:
    options, _ = _options(words, "dfc")
    mark = options.get("d", "\t") or "\t"
    match = re.fullmatch(r"(\d+)(-(\d*))?", options.get("f", ""))
    if match is None or int(match[1]) < 1:
        return "cut: you must specify a list of bytes, characters, or fields\n", 1
    first = int(match[1]) - 1
    last = first + 1 if match[2] is None else int(match[3] or 10**6)
    rows = (mark.join(line.split(mark)[first:last]) for line in text.splitlines())
    return "".join(f"{row}\n" for row in rows), 0


def _same(words: Sequence[str], text: str) -> Answer:
    return text, 0


FILTERS: dict[str, Callable[[Sequence[str], str], Answer]] = {
    "grep": _grep,
    "egrep": lambda words, text: _grep(["-E", *words], text),
    "head": _head,
    "tail": _tail,
    "wc": _wc,
    "sort": _sort,
    "uniq": _uniq,
    "cut": _cut,
    "less": _same,
    "more": _same,
    "cat": _same,
}
"""Program -> what it does with the words after its name and with its input."""
