"""``recommend --pin``: a combination that the operator already has in mind, judged."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import InputError
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.target import Reason, Recommendation, Verdict
from gpu_bringup.recommend.choose import recommend_for
from gpu_bringup.recommend.judging import Judged, judge, subject_of
from gpu_bringup.recommend.partial import still_holds
from gpu_bringup.recommend.words import short, why_not
from gpu_bringup.rules.describe import nearest, prepares_only
from gpu_bringup.rules.subject import violated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.trial import BuildEvidence
    from gpu_bringup.rules.subject import Subject

KEYS = ("driver", "flavour", "cuda", "kernel", "source", "framework")
"""What can be pinned."""
RUNFILE = "runfile"
"""A source that can be asked after, and that this program doesn't install from."""
GUIDE = "guide"
"""Stands for what the scenario's selection guide named."""
NOT_BY_PACKAGES = "source-reachable"

_FREED = (("driver", "flavour"), ("cuda",), ("source",), ("framework",), ("kernel",))
"""Pins that are given up, one group after another, until something good is found."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """The verdict on a combination."""

    recommendation: Recommendation
    """"recommended": no rule that would keep the wizard from choosing it is broken."""
    pins: dict[str, str]
    breaks: tuple[Reason, ...]
    """Every rule that it breaks, what rules it out first."""
    installable: bool | None
    """Can this program install it here: some source offers it, and nothing makes it impossible.
    None: a source is known, but whether the modules build isn't."""
    nearest: Recommendation | None
    """The nearest good choice; None: the combination is one itself, or there is none."""
    given_up: tuple[str, ...] = ()
    """Pins that the nearest good choice doesn't keep."""

    def to_json(self) -> dict[str, Any]:
        """``recommend --json``, with what is said of the pins in ``pinned``."""
        chosen = self.nearest.chosen if self.nearest is not None else None
        return {
            **self.recommendation.to_json(),
            "pinned": {
                "pins": self.pins,
                "installable": self.installable,
                "breaks": [reason.to_json() for reason in self.breaks],
                "nearest": chosen.target.to_json() if chosen is not None else None,
                "given_up": list(self.given_up),
            },
        }


def parse_pins(words: Sequence[str], answers: Answers, catalogue: Catalogue) -> dict[str, str]:
    """``driver=535.129.03`` and the like as a dictionary, with what the flags say beside it.

    Raises:
        InputError: no ``key=value``, an unknown key, an empty value, or two values for one key.
    """
    pins: dict[str, str] = {}
    for word in words:
        for key, value in _pairs(word, answers, catalogue):
            before = pins.get(key)
            if before is not None and before != value:
                raise InputError(
                    f"{key} is pinned to {before} and to {value}",
                    place="--pin",
                    hint="Pin each of them once.",
                )
            pins[key] = value
    flags = {
        "driver": answers.driver,
        "flavour": answers.flavour,
        "kernel": answers.kernel,
        "source": answers.source.value if answers.source is not None else "",
        "framework": answers.framework,
    }
    for key, value in flags.items():
        if value and pins.setdefault(key, value) != value:
            raise InputError(
                f"--pin {key}={pins[key]} contradicts --{key} {value}",
                place="--pin",
                hint="Leave one of the two out.",
            )
    return pins


def _pairs(word: str, answers: Answers, catalogue: Catalogue) -> list[tuple[str, str]]:
    if word == GUIDE:
        return _guide(answers, catalogue)
    key, equals, value = word.partition("=")
    key, value = key.strip().lower(), value.strip()
    if not equals or not value:
        raise InputError(
            f"{word!r} pins nothing",
            place="--pin",
            hint=f"Write it as KEY=VALUE, such as driver=580.178.04; keys: {', '.join(KEYS)}.",
        )
    if key not in KEYS:
        raise InputError(f"{key!r} can't be pinned", place="--pin", hint=nearest(key, KEYS))
    if key == "source" and value not in (*(kind.value for kind in SourceKind), RUNFILE):
        known = (*(kind.value for kind in SourceKind), RUNFILE)
        raise InputError(
            f"no source is called {value!r}", place="--pin source", hint=nearest(value, known)
        )
    if key == "cuda" and not re.match(r"^\d{1,2}\.\d{1,2}(\.\d{1,3})?\Z", value):
        raise InputError(
            f"{value!r} is no CUDA version", place="--pin cuda", hint="Give it as 12.4."
        )
    if key == "flavour" and value not in {flavour.value for flavour in Flavour}:
        raise InputError(
            f"no module flavour is called {value!r}",
            place="--pin flavour",
            hint="Known: open, proprietary.",
        )
    return [(key, value)]


def _guide(answers: Answers, catalogue: Catalogue) -> list[tuple[str, str]]:
    scenario = catalogue.scenarios.get(answers.scenario)
    named = (
        {
            "driver": scenario.guide_driver,
            "cuda": scenario.guide_cuda,
            "kernel": answers.kernel or next(iter(scenario.guide_kernel), ""),
        }
        if scenario is not None
        else {}
    )
    found = [(key, value) for key, value in named.items() if value]
    if not found:
        raise InputError(
            f"the scenario {answers.scenario!r} has no guide that names versions",
            place="--pin guide",
            hint="Pin them one by one: --pin driver=VERSION --pin cuda=VERSION --pin kernel=RELEASE.",
        )
    return found


def answers_with(answers: Answers, pins: dict[str, str]) -> Answers:
    """The wish with the pins in it."""
    source = pins.get("source", "")
    return replace(
        answers,
        driver=pins.get("driver", ""),
        flavour=pins.get("flavour", ""),
        cuda=pins.get("cuda", ""),
        kernel=pins.get("kernel", ""),
        framework=pins.get("framework", ""),
        source=SourceKind(source) if source and source != RUNFILE else None,
    )


def judge_pins(
    facts: Facts | None,
    answers: Answers,
    pins: dict[str, str],
    catalogue: Catalogue,
    evidence: Sequence[BuildEvidence] = (),
) -> Pinned:
    """Hold a combination against every rule, as if the wizard were to choose it.

    Args:
        pins: from ``parse_pins``.

    Raises:
        InputError: a pin names something that doesn't exist; says what is near.
    """
    wish = answers_with(answers, pins)
    subject = subject_of(facts, wish, catalogue, evidence)
    if isinstance(subject, Reason):
        refusal = (subject, *still_holds(facts, wish, catalogue))
        refused = Recommendation("refused", answers.scenario, None, refusal=refusal)
        return Pinned(refused, pins, (), None, None)
    subject = replace(subject, strict=True)
    prepare = prepares_only(facts, wish)
    judged = [_told_source(item, pins) for item in judge(subject, prepare)]
    fitting = [item for item in judged if _fits(item, pins)] or judged
    if not fitting:
        refused = recommend_for(subject, prepare)
        return Pinned(
            refused, pins, refused.refusal, False, *_nearest(facts, answers, pins, subject)
        )
    best = fitting[0]
    broken = _broken(best)
    # Without a source that is on record nothing can be installed, whatever else speaks for it.
    sound = best.tier == 2 and bool(best.candidate.source_kind)
    others = tuple(
        (item.assessment, why_not(best, item) if sound else short(item.assessment))
        for item in fitting
        if item is not best
    )
    status = "recommended" if sound else "refused"
    notes = tuple(dict.fromkeys([*(reason.detail for reason in broken), *subject.notes]))
    recommendation = Recommendation(
        status,
        answers.scenario,
        best.assessment,
        others,
        refusal=() if sound else broken or _no_source(best),
        notes=notes,
    )
    good, given_up = (None, ()) if sound else _nearest(facts, answers, pins, subject)
    return Pinned(recommendation, pins, broken, _installable(best), good, given_up)


def _fits(item: Judged, pins: dict[str, str]) -> bool:
    """Is it the driver and the flavour that were pinned?"""
    wish = pins.get("flavour")
    return (not pins.get("driver") or item.candidate.pinned) and (
        not wish or item.candidate.flavour.value == wish
    )


def _told_source(item: Judged, pins: dict[str, str]) -> Judged:
    """A runfile is a source that can be named, but not one that this program installs from."""
    if pins.get("source") != RUNFILE:
        return item
    reason = violated(
        NOT_BY_PACKAGES,
        f"NVIDIA's .run installer of {item.candidate.version} would go past the package manager: this "
        "program doesn't install by it, and whether NVIDIA still serves that release isn't known.",
    )
    kept = tuple(r for r in item.assessment.reasons if r.rule != NOT_BY_PACKAGES)
    assessment = replace(item.assessment, reasons=(*kept, reason))
    return replace(item, assessment=assessment)


def _broken(item: Judged) -> tuple[Reason, ...]:
    found = [r for r in item.assessment.reasons if r.verdict is Verdict.VIOLATED]
    return tuple(sorted(found, key=lambda reason: not reason.blocking))


def _no_source(item: Judged) -> tuple[Reason, ...]:
    return tuple(r for r in item.assessment.reasons if r.rule == NOT_BY_PACKAGES)


_AGE = frozenset({"lifecycle", "branch-type", "security-floor", "gpu-cuda", "cuda-wanted"})
"""Rules that speak against a choice, but keep nobody from installing it."""
_OPEN = frozenset({"driver-kernel", "stable-break", "measured-build"})


def _installable(item: Judged) -> bool | None:
    hard = [r for r in item.assessment.blocked_by if r.rule not in _AGE]
    if hard:
        return False
    doubts = [
        r for r in item.assessment.reasons if r.verdict is Verdict.UNKNOWN and r.rule in _OPEN
    ]
    return None if doubts or not item.candidate.source_kind else True


def _nearest(
    facts: Facts | None, answers: Answers, pins: dict[str, str], subject: Subject
) -> tuple[Recommendation | None, tuple[str, ...]]:
    """(the choice that keeps as many pins as can be, the pins that it gives up)."""
    left, given_up = dict(pins), []
    for group in _FREED:
        freed = [key for key in group if left.pop(key, None) is not None]
        given_up += freed
        if not freed or (left.get("source") == RUNFILE and group != ("source",)):
            continue
        wish = subject_of(facts, answers_with(answers, left), subject.catalogue, subject.evidence)
        if isinstance(wish, Reason):
            break
        found = recommend_for(wish, prepares_only(facts, wish.answers))
        if found.chosen is not None:
            return found, tuple(key for key in given_up if _differs(key, pins, found))
    return None, ()


def _differs(key: str, pins: dict[str, str], found: Recommendation) -> bool:
    """Does the found choice really differ in that pin?"""
    assert found.chosen is not None
    target = found.chosen.target
    driver = target.driver
    values = {
        "driver": (driver.branch, driver.version),
        "flavour": (driver.flavour.value,),
        "source": (target.source_kind,),
    }
    return key not in values or pins[key].lstrip("Rr") not in values[key]
