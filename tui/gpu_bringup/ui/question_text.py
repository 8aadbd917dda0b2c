"""The questions of the wizard as data: words, answers, and what each answer changes. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from textual.content import Content

from gpu_bringup.errors import InputError
from gpu_bringup.i18n import tr
from gpu_bringup.model.answers import SourceKind
from gpu_bringup.model.catalogue import Scenario
from gpu_bringup.recommend import validate_answers
from gpu_bringup.summary import host_json
from gpu_bringup.ui.guide_text import difference, difference_line, origin_note
from gpu_bringup.ui.screens.choose import Way
from gpu_bringup.ui.state import Wizard

NAMED = ":named"
"""Id of the answer that is typed."""
_NONE = ":none"


@dataclass(frozen=True, slots=True)
class Question:
    id: str
    title: str
    why: str
    answer: str
    """The answer as it stands, in words."""
    about: str
    """More about that answer."""
    chosen: str
    ways: tuple[Way, ...]
    named: str = ""
    """What is asked where the answer is typed."""
    named_note: str = ""
    text: str = ""
    """What was typed before."""
    guide: Content | str = ""
    """What a guide named here, and what holds now; empty: nothing to say."""
    changed: str = ""
    """The same in a line."""


def questions(wizard: Wizard) -> tuple[Question, ...]:
    """The four questions as they stand now."""
    return (_scenario(wizard), _gpus(wizard), _framework(wizard), _source(wizard))


def change(question_id: str, value: str) -> dict[str, Any]:
    """The fields of ``Answers`` that an answer sets."""
    if question_id == "gpus":
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        return {"gpus": () if value == _NONE else names}
    if question_id == "source":
        return {"source": None if value == _NONE else SourceKind(value)}
    if question_id == "framework":
        return {"framework": "" if value == _NONE else value}
    return {"scenario": value}


def problem(wizard: Wizard, question_id: str, text: str) -> str:
    """What is wrong with a typed answer, in a sentence; empty: nothing."""
    try:
        validate_answers(replace(wizard.answers, **change(question_id, text)), wizard.catalogue)
    except InputError as error:
        message = error.message.removeprefix(f"{error.place}: ")
        return f"{message}. {error.hint}".strip()
    return ""


def _scenario(wizard: Wizard) -> Question:
    scenarios = wizard.catalogue.scenarios
    chosen = scenarios.get(wizard.answers.scenario)
    return Question(
        "scenario",
        tr("What is this server for?"),
        tr(
            "It decides how long the driver's branch must be supported, whether containers are set up, "
            "and whether kernel and driver are held against unattended upgrades."
        ),
        chosen.title if chosen else wizard.answers.scenario,
        _about(wizard, chosen) if chosen else "",
        wizard.answers.scenario,
        tuple(Way(item.id, item.title, _about(wizard, item)) for item in scenarios.values()),
        guide=difference(chosen),
        changed=difference_line(chosen),
    )


def _about(wizard: Wizard, scenario: Scenario) -> str:
    note = origin_note(wizard.catalogue.origins.get(scenario.id))
    return f"{scenario.summary} ({note})" if note else scenario.summary


def _gpus(wizard: Wizard) -> Question:
    facts = wizard.facts
    found = host_json(facts, wizard.catalogue)["gpus"] if facts is not None else []
    names = ", ".join(
        f"{count} x {name}" for name, count in Counter(gpu["name"] for gpu in found).items()
    )
    detected = tr("as detected: {names}").format(names=names or tr("no NVIDIA GPU seen"))
    named = wizard.answers.gpus
    typed = tr("another one, by name (hardware that is still to come)")
    return Question(
        "gpus",
        tr("For which GPU?"),
        tr(
            "Which driver branches and module flavours are possible depends on the GPU: from Blackwell "
            "on there are only open modules, before Turing only proprietary ones."
        ),
        ", ".join(named) if named else detected,
        tr("named by you, not detected") if named else tr("read from the PCI bus"),
        NAMED if named else _NONE,
        (Way(_NONE, detected), Way(NAMED, typed)),
        tr("Which GPU? A name such as H100 or B200, or a PCI id such as 10de:2330"),
        tr("Several: a comma between them."),
        ", ".join(named),
    )


def _framework(wizard: Wizard) -> Question:
    wanted = wizard.answers.framework.partition(":")[0]
    newest = {item.id: item for item in wizard.catalogue.frameworks}
    chosen = newest.get(wanted)
    none = tr("none in particular")
    ways = [Way(_NONE, none, tr("the driver then serves the newest CUDA that fits"))]
    ways += [
        Way(item.id, f"{item.name} {item.version}", _needs(item.cuda, item.driver_min))
        for item in newest.values()
    ]
    return Question(
        "framework",
        tr("Which inference framework will run?"),
        tr(
            "Frameworks are built for one CUDA version, and that needs a driver that is new enough. Naming "
            "it keeps you from installing a driver that your framework refuses."
        ),
        chosen.name if chosen else wizard.answers.framework or none,
        _needs(chosen.cuda, chosen.driver_min) if chosen else tr("no demand beyond the scenario's"),
        chosen.id if chosen else _NONE,
        tuple(ways),
    )


def _needs(cuda: str, driver: str) -> str:
    return tr("built for CUDA {cuda}, driver {driver} or newer").format(cuda=cuda, driver=driver)


def _source(wizard: Wizard) -> Question:
    ways = (
        Way(_NONE, tr("whatever suits best"), tr("the best candidate of all sources")),
        Way(
            SourceKind.DISTRIBUTION.value,
            tr("the distribution's own packages"),
            tr("signed and updated by the distribution; often an older branch"),
        ),
        Way(
            SourceKind.NVIDIA_REPOSITORY.value,
            tr("NVIDIA's repository"),
            tr("every supported branch; a foreign repository is added, its key pinned"),
        ),
        Way(
            SourceKind.LOCAL.value,
            tr("packages in a folder of this server (no network)"),
            tr("for servers without a network; you are asked for the folder"),
        ),
    )
    source = wizard.answers.source
    chosen = source.value if source is not None else _NONE
    way = next(item for item in ways if item.id == chosen)
    return Question(
        "source",
        tr("Where shall the driver come from?"),
        tr(
            "One host, one source: mixing the distribution's packages, NVIDIA's repository and NVIDIA's "
            ".run file on one server is a common way to break it."
        ),
        way.label,
        way.about,
        chosen,
        ways,
    )
