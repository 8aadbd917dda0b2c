"""``gpu-bringup profiles``: list, show or validate scenarios and data."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.boards import index_of
from gpu_bringup.catalogue.kinds import KINDS
from gpu_bringup.catalogue.loader import Survey, examine, survey
from gpu_bringup.catalogue.lookup import find_gpu, suggest_gpus
from gpu_bringup.commands import failure_text
from gpu_bringup.commands.lesson_check import check_lessons, holds_lessons
from gpu_bringup.commands.output import paint, print_json, say, show, wrap
from gpu_bringup.commands.profile_text import plain, short, show_entry, show_guide
from gpu_bringup.commands.rules_text import show_rules
from gpu_bringup.errors import ExitCode, InputError
from gpu_bringup.failures.titles import titles
from gpu_bringup.model.catalogue import Catalogue, Scenario
from gpu_bringup.model.guide import GuideClaim, Origin
from gpu_bringup.signing import consoles

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.signing.consoles import Console

_ORIGINS = {"project": "gpu-bringup", "host": "this host", "folder": "--profiles"}
# What people type for a kind, besides its name and its plural.
_ALSO = {
    "profile": "scenario",
    "driver": "release",
    "cuda": "toolkit",
    "os": "distribution",
    "board": "gpu",
    "kernel": "kernel_series",
}
_GUIDE = "guide"
_RULES = "rules"


def run(arguments: argparse.Namespace) -> int:
    """List, show or validate; exit status 2 where data is wrong."""
    as_json = bool(getattr(arguments, "json", False))
    name: str | None = getattr(arguments, "name", None)
    extra: Path | None = getattr(arguments, "profiles", None)
    given: str | list[str] | None = getattr(arguments, "entry", None)
    wanted = [given] if isinstance(given, str) else list(given or ())
    if as_json and len(wanted) > 1:
        raise InputError(
            "--json gives one document: name one entry",
            file="profiles show",
            hint="Leave the others out, or run it once for each.",
        )
    entry = wanted[0] if wanted else None
    if arguments.action == "validate":
        # A file of lessons has a reader of its own, like those of failures and consoles.
        alone = name is not None and holds_lessons(Path(name))
        found = examine(Path(name)) if name and not alone else survey(extra)
        return _validate(found, name, as_json)
    if arguments.action == "show" and name in failure_text.WORDS:
        each_of: list[str | None] = [*wanted] or [None]
        return max(failure_text.show_failures(each, extra, as_json) for each in each_of)
    found = survey(extra)
    if arguments.action == "list":
        _list(found, as_json)
    else:
        _show(found, name, entry, as_json)
        for each in wanted[1:]:
            show()
            _show(found, name, each, as_json)
    return _tell(found.problems)


def _tell(problems: tuple[InputError, ...]) -> int:
    """Say what is wrong, each thing once; the exit status that it means."""
    for problem in problems:
        say(f"gpu-bringup: {problem.message}")
    for hint in dict.fromkeys(problem.hint for problem in problems if problem.hint):
        say(f"  {hint}")
    return ExitCode.BAD_INPUT if problems else ExitCode.OK


def _problem(error: InputError) -> dict[str, Any]:
    where = ": ".join(part for part in (error.file, error.place) if part)
    line = re.match(r"line (\d+), ", error.place) or re.search(r"\bline (\d+)", error.message)
    return {
        "file": error.file,
        "place": re.sub(r"^line \d+, ", "", error.place),
        "line": int(line[1]) if line else None,
        "message": error.message.removeprefix(f"{where}: "),
        "hint": error.hint,
    }


def _counts(found: Survey) -> dict[str, int]:
    """Entries of each kind; the failures are the project's own, which are read apart from the rest."""
    counts = {_plural(kind): len(entries) for kind, entries in found.entries.items()}
    counts["claims"] += sum(len(item.claims) for item in found.catalogue.scenarios.values())
    counts["failures"] = len(titles())
    return counts


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())


def _plural(kind: str) -> str:
    return {"branch": "branches", "nvswitch": "nvswitches"}.get(kind) or (
        f"{kind[:-1]}ies" if kind.endswith("y") else kind if kind.endswith("s") else f"{kind}s"
    )


def _validate(found: Survey, name: str | None, as_json: bool) -> int:
    from gpu_bringup.failures import loader as failures

    problems = list(found.problems)
    if name and Path(name).is_dir() and not any(Path(name).rglob("*.toml")):
        problems.append(
            InputError(
                "no file was read: there is no .toml file in this folder",
                file=name,
                hint="Name the folder that the profiles are in, or one file.",
            )
        )
    counts = _counts(found)
    try:
        folder = Path(name) if name and Path(name).is_dir() else None
        counts["failures"] = len(failures.load(folder, thorough=True))
    except InputError as error:
        problems.append(error)
    try:
        counts["consoles"] = len(_consoles(name))
    except InputError as error:
        problems.append(error)
    lessons, wrong = check_lessons(found.catalogue, Path(name) if name else None)
    counts["lessons"] = lessons
    problems += wrong
    as_of = found.catalogue.as_of
    if as_json:
        print_json(
            {
                "schema": 1,
                "valid": not problems,
                "as_of": str(as_of),
                "entries": counts,
                "problems": [_problem(error) for error in problems],
            }
        )
    elif not problems:
        show(wrap(f"Valid, as of {as_of}: {_counted(counts)}."))
    return _tell(tuple(problems))


def _consoles(name: str | None) -> tuple[Console, ...]:
    """The project's consoles, or those of the folder that is validated, where it has some."""
    own = Path(name) / "consoles" if name else None
    if own is not None and own.is_dir():
        return consoles.read_consoles(own, str(own))
    return consoles.load_consoles()


def _list(found: Survey, as_json: bool) -> None:
    catalogue = found.catalogue
    if as_json:
        print_json(
            {
                "schema": 1,
                "profiles": [
                    {
                        "id": item.id,
                        "title": item.title,
                        "summary": item.summary,
                        **_origin(catalogue.origins[item.id]),
                        "effective": _effective(item),
                    }
                    for item in catalogue.scenarios.values()
                ],
                "entries": _counts(found),
                "as_of": str(catalogue.as_of),
                "problems": [_problem(error) for error in found.problems],
            }
        )
        return
    for item in catalogue.scenarios.values():
        show(f"{paint(item.id, 'bold')}  {item.title}")
        show(wrap(item.summary, 4))
        whence = origin_words(catalogue.origins[item.id])
        if whence:
            show(f"    {whence}")
    for error in found.problems:
        place = ": ".join(part for part in (error.file, error.place) if part)
        show(f"{paint('BROKEN', 'bold', 'red')}  {place}")
    show()
    show(paint(f"Data as of {catalogue.as_of}", "bold"))
    show(wrap(_counted(_counts(found)), 2))
    show()
    show("gpu-bringup profiles show KIND lists one of them, show KIND ID tells everything of one;")
    show("show guide: what a selection guide of 2024-25 says, and what holds now.")


def origin_words(origin: Origin) -> str:
    """Where a profile comes from, for people; empty: it is the project's own."""
    parts = [f"extends {' -> '.join(origin.extends)}"] if origin.extends else []
    if origin.kind != "project":
        parts.append(f"from {origin.file} ({_ORIGINS[origin.kind]})")
    if origin.replaces:
        parts.append("replaces the one of an earlier folder")
    return "; ".join(parts)


def _origin(origin: Origin) -> dict[str, Any]:
    return {
        "origin": {"kind": origin.kind, "file": origin.file, "replaces": origin.replaces},
        "extends": list(origin.extends),
    }


def _effective(scenario: Scenario) -> dict[str, Any]:
    apart = ("id", "title", "summary", "extends", "add_extras", "claims")
    return {key: value for key, value in plain(scenario).items() if key not in apart}


def _kind_of(word: str) -> str | None:
    """The kind that a word stands for ("gpus", "kernel-limit"); None: none."""
    plain_word = word.lower().replace("-", "_")
    kinds = {name: kind for kind in KINDS for name in (kind, _plural(kind))}
    kinds |= {name: kind for also, kind in _ALSO.items() for name in (also, f"{also}s")}
    return kinds.get(plain_word)


def _show(found: Survey, name: str | None, entry_id: str | None, as_json: bool) -> None:
    if name is None:
        raise InputError(
            "say which profile, GPU or driver branch to show",
            file="profiles show",
            hint="For example: long-term-stable, H100, 580, guide, rules, or a kind and an id: os debian:13. "
            "gpu-bringup profiles list has the profiles.",
        )
    if name == _RULES and entry_id is None:
        show_rules(found.catalogue, as_json)
        return
    claims = _claims(found.catalogue)
    if name == _GUIDE and entry_id is None:
        if as_json:
            print_json({"schema": 1, "claims": _claim_list(found.catalogue)})
        else:
            show_guide(found.catalogue, f"{len(claims)} claims")
        return
    kind = "claim" if name == _GUIDE else _kind_of(name)
    if kind is None:
        _show_one(found, *_find(found, name), as_json)
    elif entry_id is not None:
        _show_one(found, kind, _entry(found, kind, entry_id), as_json)
    else:
        _show_kind(found, kind, as_json)


def _claims(catalogue: Catalogue) -> dict[str, GuideClaim]:
    own = [claim for item in catalogue.scenarios.values() for claim in item.claims]
    return {claim.id: claim for claim in (*catalogue.claims, *own)}


def _claim_list(catalogue: Catalogue) -> list[dict[str, Any]]:
    owner = {claim.id: item.id for item in catalogue.scenarios.values() for claim in item.claims}
    claims = sorted(_claims(catalogue).values(), key=lambda item: (len(item.id), item.id))
    return [{**plain(claim), "profile": owner.get(claim.id)} for claim in claims]


def _entries(found: Survey, kind: str) -> dict[str, Any]:
    return _claims(found.catalogue) if kind == "claim" else found.entries[kind]


def _show_kind(found: Survey, kind: str, as_json: bool) -> None:
    entries = _entries(found, kind)
    if as_json:
        documents = [plain(entry) for entry in entries.values()]
        print_json({"schema": 1, "kind": kind, "entries": documents})
        return
    width = max((len(name) for name in entries), default=0)
    for name, entry in entries.items():
        text = short(entry)
        show(f"{name:<{width}}  {text}" if text != name else name)


def _entry(found: Survey, kind: str, name: str) -> Any:
    """The entry of that kind and id; a beginning will do where only one has it.

    Raises:
        InputError: there is none, or several; says which are near.
    """
    entries = _entries(found, kind)
    wanted = name.lower().removeprefix("r") if kind == "branch" else name
    gpu = find_gpu(found.catalogue, name) if kind == "gpu" else None
    if gpu is not None:
        return gpu
    if wanted in entries:
        return entries[wanted]
    same = [key for key in entries if key.lower().split(":")[0] == wanted.lower()]
    if len(same) == 1:
        return entries[same[0]]
    near = same or difflib.get_close_matches(wanted, entries, 3)
    if kind == "gpu":
        near = list(suggest_gpus(found.catalogue, name))
    word = kind.replace("_", " ")
    hint = f"gpu-bringup profiles show {kind} lists them all."
    raise InputError(
        f"there are several {_plural(word)} {name!r}" if same else f"there is no {word} {name!r}",
        file="profiles show",
        hint=f"Did you mean {' or '.join(near[:4])}? {hint}" if near else hint,
    )


def _find(found: Survey, name: str) -> tuple[str, Any]:
    """(kind, entry) of that name, whatever it is.

    Raises:
        InputError: there is none; says which are near.
    """
    catalogue = found.catalogue
    if name in catalogue.scenarios:
        return "scenario", catalogue.scenarios[name]
    branch = catalogue.branches.get(name.upper().removeprefix("R"))
    if branch is not None:
        return "branch", branch
    gpu = find_gpu(catalogue, name)
    if gpu is not None:
        return "gpu", gpu
    for kind, entries in found.entries.items():
        if kind != "claim" and name in entries:
            return kind, entries[name]
    near = difflib.get_close_matches(name, catalogue.scenarios, 1) or suggest_gpus(catalogue, name)
    hint = f"Did you mean {' or '.join(near)}?" if near else "gpu-bringup profiles list"
    if found.problems:
        _tell(found.problems)
    raise InputError(
        f"there is no profile, GPU or driver branch {name!r}", file="profiles show", hint=hint
    )


def _show_one(found: Survey, kind: str, entry: Any, as_json: bool) -> None:
    catalogue = found.catalogue
    origin = catalogue.origins.get(entry.id) if kind == "scenario" else None
    file = _file(found, kind, entry)
    if not as_json:
        show_entry(entry, catalogue, origin, file)
        return
    sources = [plain(catalogue.sources[name]) for name in getattr(entry, "sources", ())]
    more: dict[str, Any] = {"file": file}
    if origin is not None:
        more = {**_origin(origin), "inherited": dict(origin.inherited)}
    key = "profile" if kind == "scenario" else kind
    print_json({"schema": 1, key: plain(entry), **more, "sources": sources})


def _file(found: Survey, kind: str, entry: Any) -> str:
    from gpu_bringup.catalogue.loader import id_of

    own = found.files.get((kind, id_of(kind, entry)))
    if own is not None:
        return own
    if kind == "gpu":
        # A board that only the compact table of its chip names.
        chip = index_of(found.catalogue).chip(entry.pci_ids[0])
        return found.files["chip", chip.id] if chip is not None else ""
    return next(
        found.files["scenario", item.id]
        for item in found.catalogue.scenarios.values()
        if entry in item.claims
    )
