"""LineAssembler: the same lines come out however the bytes are cut."""

from __future__ import annotations

import random

import pytest

from gpu_bringup.hosts.lines import PARTIAL_LIMIT, LineAssembler, strip_colours

CASES = [
    (b"one\r\ntwo\r\n", ["one", "two"], ""),
    (b"10%\r20%\r30%\r\ndone\n", ["30%", "done"], ""),
    (b"10%\r20%\r", [], "20%"),
    ("Grüße – 日本\n".encode(), ["Grüße – 日本"], ""),
    (b"\x1b[31mred\x1b[0m\n", ["\x1b[31mred\x1b[0m"], ""),
    (b"\x1b[2K\x1b[1;5Hplain\x1b[K\n", ["plain"], ""),
    (b"\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link\n", ["textlink"], ""),
    (b"a\x1b7\x1b[24;0f\x1b[42mProgress: [ 45%]\x1b[49m\x1b8b\n", ["ab"], ""),
    (b"\x1b(Bset\x1b=mode\n", ["setmode"], ""),
    (b"bell\x07 nul\x00 back\x08 c1\xc2\x9b tab\t.\n", ["bell nul back c1 tab\t."], ""),
    (b"bad \xff utf\n", ["bad � utf"], ""),
    (b"esc\x1b\nnext\n", ["esc", "next"], ""),
    (b"\r\r\n\n", ["", ""], ""),
    (b"Password: ", [], "Password: "),
]


@pytest.mark.parametrize(("data", "lines", "partial"), CASES)
def test_lines(data: bytes, lines: list[str], partial: str) -> None:
    whole = LineAssembler()
    assert whole.feed(data) == lines
    assert whole.partial == partial
    single = LineAssembler()
    got = [line for index in range(len(data)) for line in single.feed(data[index : index + 1])]
    assert (got, single.partial) == (lines, partial)


def test_any_cut_gives_the_same() -> None:
    data = b"".join(case[0] for case in CASES[:-1] if case[2] == "")
    expected = LineAssembler().feed(data)
    for seed in range(200):
        source = random.Random(seed)
        cuts = sorted(source.randrange(len(data)) for _ in range(source.randrange(1, 9)))
        assembler = LineAssembler()
        got: list[str] = []
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            got += assembler.feed(data[start:end])
        assert got == expected, cuts


def test_a_line_without_end_is_bounded_and_whole() -> None:
    assembler = LineAssembler()
    lines = [line for _ in range(100) for line in assembler.feed(b"x" * 10_000)]
    assert len(assembler.partial) <= PARTIAL_LIMIT
    assert sum(map(len, lines)) + len(assembler.partial) == 1_000_000


def test_endless_progress_on_one_line_stays_small() -> None:
    assembler = LineAssembler()
    for count in range(50_000):
        assert assembler.feed(b"\rstep %d" % count) == []
    assert assembler.partial == "step 49999"


def test_an_escape_that_never_ends_does_not_swallow_the_rest() -> None:
    assembler = LineAssembler()
    lines = assembler.feed(b"\x1b]0;" + b"y" * 9_000 + b"\nafter\n")
    assert lines[-1] == "after"


def test_finish_gives_the_last_line() -> None:
    assembler = LineAssembler()
    assembler.feed(b"no end \xe2\x82")
    assert assembler.finish() == ["no end �"]
    assert assembler.finish() == []


def test_strip_colours() -> None:
    assert strip_colours("\x1b[1;31mred\x1b[m") == "red"
