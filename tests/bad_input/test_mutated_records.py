"""Every record of ours, with each part emptied, cut, filled with NUL bytes or junk: no fault, no guess."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup import engine
from gpu_bringup.errors import InputError
from gpu_bringup.hosts.record_format import parse_record
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.enums import InstallMethod
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.recover import door

HOSTS = sorted((Path(__file__).parent.parent / "hosts").glob("*.json"))
JUNK = (
    "\0\t:a=[{9\n \N{REPLACEMENT CHARACTER}\N{RIGHT-TO-LEFT OVERRIDE}\N{CJK UNIFIED IDEOGRAPH-4E2D}"
    * 9
)
ODD = (None, "", [], {}, -1, "x", 10**30, [None])


def changed(record: dict[str, Any], part: str, name: str, value: Any) -> dict[str, Any]:
    return {**record, part: {**record[part], name: value}}


def mutants(record: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in record:
        if part == "schema":
            continue
        yield f"{part} emptied", {**record, part: type(record[part])()}
        yield f"{part} dropped", {key: value for key, value in record.items() if key != part}
    for path, text in record["files"].items():
        half = text[: len(text) // 2]
        for value in ("", half, "\0" * 64, half + "\0" * 64, JUNK, "9" * 400):
            yield f"{path} {value[:9]!r}", changed(record, "files", path, value)
        rest = {name: value for name, value in record["files"].items() if name != path}
        yield f"{path} unknown", {**record, "files": rest}
        yield f"{path} absent", {**record, "files": rest, "absent": [*record["absent"], path]}
    for command, answer in record["commands"].items():
        half = answer["output"][: len(answer["output"]) // 2]
        for status, output in ((answer["exit"], half), (answer["exit"], JUNK), (1, ""), (127, "")):
            value = {"exit": status, "output": output}
            yield f"{command} {status}", changed(record, "commands", command, value)
    for path, names in record["listings"].items():
        for value in ([], names[: len(names) // 2], [*names, "..x", "9" * 200]):
            yield f"{path} {len(value)} names", changed(record, "listings", path, value)
    for probe in ("nvml", "cuda"):
        for key in record.get(probe) or ():
            for odd in ODD:
                yield f"{probe}.{key} {odd!r}", changed(record, probe, key, odd)


def reasons(value: Any) -> Iterator[str]:
    """Why what isn't known isn't."""
    if isinstance(value, Unknown):
        yield value.reason
    elif is_dataclass(value):
        for item in fields(value):
            yield from reasons(getattr(value, item.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from reasons(item)


@pytest.mark.parametrize("path", HOSTS, ids=lambda path: path.stem)
def test_every_mutant_is_answered(path: Path) -> None:
    catalogue = engine.load_catalogue(None)
    record = json.loads(path.read_text())
    answered = 0
    for name, mutant in mutants(record):
        try:
            host = RecordedHost(parse_record(json.dumps(mutant).encode(), name), name)
        except InputError:
            # Refused as a record, with the place named.
            continue
        facts = engine.observe(host)
        failed = [
            text for text in reasons(facts) if text.startswith("looking at ") and "Error" in text
        ]
        assert not failed, name
        seen = engine.examine(host, facts, Answers(), catalogue)
        engine.ledger(host, facts, catalogue)
        engine.next_boot(host, facts, catalogue)
        door.would_decide(seen)
        if "/var/lib/dpkg/status" in name and "unknown" not in name:
            assert facts.packages.method is not InstallMethod.OUTSIDE, name
        answered += 1
    assert answered > 300
