"""Makes a lesson of a real server: of a host record, or of a finished run. Text out, nothing changed.

The server is built anew as a simulated one with the same GPUs and the same fault; what can't be taken
over is told. A record is redacted already; nothing but what the ladder said of it enters the lesson.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup import engine
from gpu_bringup.errors import InputError
from gpu_bringup.failures.loader import load as load_failures
from gpu_bringup.hosts.simulated.builders import GPUS, SERVERS
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.ladder import State
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.run import history
from gpu_bringup.run.journal import NAME, read_events
from gpu_bringup.training import named, simulation
from gpu_bringup.training.causes import FAULT_OF_CAUSE, FAULT_OF_RUNG, FRESH

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.failure import Failure
    from gpu_bringup.model.ladder import LadderReport


_USUAL = "debian13"
"""The builder for servers whose system none simulates."""


@dataclass(frozen=True, slots=True)
class Made:
    """A lesson that was made."""

    text: str
    """The file (TOML)."""
    notes: tuple[str, ...]
    """What could not be taken over, and what to look at before it is used."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is known of the server that the lesson is about."""

    name: str
    what: str
    """"host record x.json" or "run 2026…"."""
    builder: str
    faults: tuple[str, ...]
    cause: str
    rungs: tuple[str, ...]
    seen: tuple[str, ...]
    """What the ladder said of the real server, a line a rung."""
    notes: tuple[str, ...]


def lesson_text(source: str, catalogue: Catalogue, fault: str = "") -> Made:
    """A lesson of a record file, or of a run by its name.

    Args:
        fault: what to break besides (where the record's server is healthy).

    Raises:
        InputError: there is no such record or run, or nothing is broken in it.
    """
    path = Path(source)
    try:
        is_file = path.exists()
    except OSError as error:
        raise InputError(f"it can't be read: {error.strerror}", file=source[:200]) from error
    wanted = _of_record(path, catalogue, fault) if is_file else _of_run(source, fault)
    machine = simulation.make(wanted.builder, wanted.faults)
    report = _look(machine, catalogue)
    root = report.root_cause
    if root is None:
        raise InputError(
            "no lesson can be made of it: the simulated server would not be broken",
            file=source[:200],
            hint="Name what shall be broken with --break; gpu-bringup train --faults lists it.",
        )
    fallen = [r.id for r in report.rungs if r.state in (State.BROKEN, State.BLOCKED)]
    rungs = (root.id, *(rung for rung in fallen if rung != root.id))
    causes = [item.cause for item in root.causes]
    notes = list(wanted.notes)
    if wanted.cause and not fault and wanted.cause not in causes:
        told = ", ".join(causes) or root.id
        notes.append(f"The real server's root cause is {wanted.cause}; the simulated one's {told}.")
    cause = causes[0] if fault and causes else wanted.cause
    return Made(_text(replace(wanted, rungs=rungs, cause=cause)), tuple(notes))


def server_of(path: Path, catalogue: Catalogue) -> tuple[str, tuple[str, ...]]:
    """(builder with its parameters, faults) of a simulated server like the recorded one.

    Raises:
        InputError: it can't be read, or nothing of what is broken in it can be simulated.
    """
    found = _of_record(path, catalogue, "", alone=False)
    return found.builder, found.faults


# --- what is known ---------------------------------------------------------------------------------


def _of_record(path: Path, catalogue: Catalogue, fault: str, *, alone: bool = True) -> _Wanted:
    host = engine.open_host(path)
    facts = engine.observe(host)
    report = engine.examine(host, facts, Answers(), catalogue).report
    root = report.root_cause
    cause = root.causes[0].cause if root is not None and root.causes else ""
    words, notes = _builder(facts)
    if report.fresh:
        words = f"{words} driver=none"
    faults = () if report.fresh else FAULT_OF_CAUSE.get(cause, ())
    if fault:
        faults = (*faults, str(named.parse(fault, file="--break")))
    if not faults and not report.fresh and alone:
        told = f"its cause ({cause}) is none that can be simulated" if cause else "it is healthy"
        raise InputError(
            f"no lesson can be made of it: {told}",
            file=str(path),
            hint="Name what shall be broken with --break; gpu-bringup train --faults lists it.",
        )
    broken = [r for r in report.rungs if r.state in (State.BROKEN, State.BLOCKED)]
    return _Wanted(
        _slug(path.stem),
        f"host record {path.name}",
        words,
        faults,
        cause,
        tuple(r.id for r in broken),
        tuple(f"{r.id}: {r.summary}" for r in broken),
        tuple(notes),
    )


def _builder(facts: Facts) -> tuple[str, list[str]]:
    """The builder's words for a host like this one, and what they can't say."""
    notes = []
    own = "" if isinstance(facts.os, Unknown) else f"{facts.os.id}{facts.os.version.split('.')[0]}"
    name = own if own in SERVERS else _USUAL
    if name != own:
        system = "an unknown system" if isinstance(facts.os, Unknown) else facts.os.name
        notes.append(f"The server runs {system}; the lesson's is simulated as {name}.")
    gpus = () if isinstance(facts.pci.gpus, Unknown) else facts.pci.gpus
    boards = {board.device: key for key, board in GPUS.items()}
    found = [boards[device] for gpu in gpus if (device := gpu.pci_id.split(":")[-1]) in boards]
    board = found[0] if found else next(iter(GPUS))
    if not found:
        notes.append(f"Its GPU is none that can be simulated: the lesson has {board} instead.")
    words = f"{name} gpu={board} gpus={max(1, min(16, len(gpus)))}"
    if getattr(facts.secure_boot.state, "value", "") == "enabled":
        words += " secure_boot=on"
    return words, notes


def _of_run(run_id: str, fault: str) -> _Wanted:
    from gpu_bringup.run.start import find_run

    folder = find_run(run_id)
    events = read_events(folder / NAME)
    info = history.run_info(folder)
    plan = events[0].get("plan") if events else None
    steps: list[dict[str, Any]] = plan.get("steps", []) if isinstance(plan, dict) else []
    if not steps:
        raise InputError("this run has no steps to practise", file=str(folder))
    rungs = tuple(dict.fromkeys(str(step["rung"]) for step in steps))
    fresh = {str(step["id"]) for step in steps} >= FRESH
    faults = () if fresh else FAULT_OF_RUNG.get(rungs[0], ())
    if fault:
        faults = (*faults, str(named.parse(fault, file="--break")))
    if not faults and not fresh:
        raise InputError(
            f"no lesson can be made of it: its first step mends {rungs[0]}, which isn't simulated",
            file=str(folder),
            hint="Name what shall be broken with --break; gpu-bringup train --faults lists it.",
        )
    note = (
        "A run's journal tells what was done, not how the server was: the lesson's server is broken at "
        "the rung that the run mended first."
    )
    return _Wanted(
        _slug(f"run-{info.run_id}"),
        f"run {info.run_id} ({info.state})",
        f"{_USUAL}{' driver=none' if fresh else ''}",
        faults,
        "",
        rungs,
        tuple(str(step["title"]) for step in steps),
        (note,),
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "server"


def _look(machine: Machine, catalogue: Catalogue) -> LadderReport:
    """The simulated server's ladder."""
    host = simulation.host_of(machine)
    facts = engine.observe(host)
    recommendation = engine.recommend(facts, Answers(), catalogue, builds=())
    return engine.situation(host, facts, catalogue, recommendation).report


# --- the text --------------------------------------------------------------------------------------


def _text(wanted: _Wanted) -> str:
    failure = load_failures().get(wanted.cause)
    sources = list(failure.sources) if failure else []
    ids = [f"{wanted.name}-{number}" for number in range(len(sources) + 1)]
    rows = [
        f"# Made of the {wanted.what}. Look it through, then: gpu-bringup profiles validate FILE",
        "",
        *_source(ids[0], f"This server: {wanted.what}", ""),
    ]
    for source_id, url in zip(ids[1:], sources, strict=True):
        rows += _source(source_id, url, url if url.startswith("http") else "")
    title = failure.title if failure else "A server of ours"
    rungs = wanted.rungs
    rows += [
        "[[lesson]]",
        f"id = {_quoted(wanted.name)}",
        f"title = {_quoted(title)}",
        'level = "intermediate"',
        "minutes = 20",
        f"rungs = {_list(rungs)}",
        f"story = {_quoted(_story(wanted))}",
        f"goals = {_list((f'Find the root cause: {title}.', 'Mend it, and nothing else.'))}",
        "solution = []",
        f"sources = {_list(ids)}",
        "",
        "[lesson.host]",
        f"builder = {_quoted(wanted.builder)}",
        f"faults = {_list(wanted.faults)}",
        "",
        "[lesson.solved]",
        "",
        "[[lesson.hint]]",
        *(f"{key} = {_quoted(text)}" for key, text in _hint(failure, rungs[0])),
    ]
    for number, rung in enumerate(rungs):
        told = _debrief(failure) if number == 0 else "It rests on what was broken below it."
        rows += ["", "[[lesson.debrief]]", f"rung = {_quoted(rung)}", f"text = {_quoted(told)}"]
    return "\n".join(rows) + "\n"


def _story(wanted: _Wanted) -> str:
    seen = f" What was seen: {'; '.join(wanted.seen[:6])}." if wanted.seen else ""
    return (
        f"This is one of our servers ({wanted.what}).{seen} Nobody has touched it since. Find the "
        "lowest rung that doesn't hold, and mend it."
    )


def _hint(failure: Failure | None, rung: str) -> list[tuple[str, str]]:
    weak = f"Climb the ladder from below: look closely at the rung '{rung}'."
    if failure is None:
        return [
            ("weak", weak),
            ("medium", "What does this rung need from the one below it?"),
            ("strong", "Let the wizard's plan show its steps (solution)."),
        ]
    steps = "; ".join(mend.title for mend in failure.repair) or "Let the plan show its steps."
    return [
        ("weak", weak),
        ("medium", f"{failure.title}. {failure.tell_apart}".strip()),
        ("strong", steps),
    ]


def _debrief(failure: Failure | None) -> str:
    if failure is None:
        return "Write here what was the cause, and how one sees it next time."
    return " ".join(part for part in (failure.cause, failure.prevention) if part)


def _source(source_id: str, title: str, url: str) -> list[str]:
    return [
        "[[source]]",
        f"id = {_quoted(source_id)}",
        f"title = {_quoted(title)}",
        f"url = {_quoted(url)}",
        f"read = {date.today().isoformat()}",
        "",
    ]


def _quoted(text: str) -> str:
    # A JSON string is a basic string of TOML, but for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(texts: tuple[str, ...] | list[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"
