"""What is known of one failure: how it shows, what causes it, how it is mended and kept from coming back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sign:
    """One message that speaks for a failure, or against it.

    Signs are rules about how messages are built, in the words that programs never translate (names of
    symbols, files, options, numbers), not copies of single logs.
    """

    pattern: str
    """Regular expression for a line, searched without regard to case. Named groups ``kernel``,
    ``driver`` (version), ``branch``, ``loaded``, ``library``, ``module``, ``package``, ``file``,
    ``bus``, ``gpu`` fill the words of causes and the commands of repairs."""
    weight: float
    """Belief that the failure is there when this is all that is seen: 0 to 1. Negative: a sign of a
    look-alike, which takes that share of the belief away."""
    then: tuple[str, ...] = ()
    """Patterns that must follow, in this order, each within ``within`` lines of the one before;
    ``(?P=name)`` stands for what a named group before it matched."""
    within: int = 4
    """Lines."""
    anchor: str = ""
    """A literal in every match, lower-case: the quick look before the pattern is tried. Empty: it is
    taken from the pattern."""
    when: tuple[str, ...] = ()
    """What must be known of the host for the sign to count: ``secure-boot=on``, ``os=debian``,
    ``gpu=blackwell``, ``driver<525.105.17``, ``kernel>=6.15``."""
    says: str = ""
    """What the line means, in a few words."""
    variant: str = ""
    """Since or until when programs word it so ("R610 and newer", "dkms 2")."""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileText:
    """A text file that a step of a repair writes as a whole, before its commands."""

    path: str
    content: str


@dataclass(frozen=True, slots=True)
class Mend:
    """One step of a repair.

    In commands ``{kernel}``, ``{driver}``, ``{branch}``, ``{module}``, ``{package}``, ``{file}`` and
    ``{bus}`` are filled in from the text or the context; what isn't known stays as a word in capitals.
    """

    title: str
    why: str
    commands: tuple[tuple[str, ...], ...] = ()
    """argv lists, for root."""
    families: tuple[str, ...] = ()
    """"debian", "ubuntu", "rhel", "fedora", "suse", "amazon"; empty: all."""
    reboot: bool = False
    stops_workloads: bool = False
    risk: str = ""
    undo: tuple[tuple[str, ...], ...] = ()
    writes: tuple[FileText, ...] = ()
    where: tuple[str, ...] = ()
    """``name=value`` of groups in the text, which all must hold for the step to fit ("action=2");
    an empty value: the text doesn't tell."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure of the driver stack."""

    id: str
    """Name that ladder, explain and records share ("headers-missing")."""
    rung: str
    """Id of the rung that it breaks."""
    title: str
    """In one line, for a screen."""
    cause: str
    """What went wrong, in plain words, a sentence or two."""
    basis: str
    """"thread" (a confirmed incident), "source-code" (the program's text was read), "reproduced"
    (made for real), "documented" (a vendor's manual): how well it is known."""
    suspected: str = ""
    """The title where only messages speak for it that other causes give as well: the class that they
    show, and nothing that they don't. Empty: the title itself claims no more than the messages do."""
    signs: tuple[Sign, ...] = ()
    tell_apart: str = ""
    """Which facts separate it from its look-alikes."""
    look_alikes: tuple[str, ...] = ()
    """Ids of failures with the same messages."""
    follows: tuple[str, ...] = ()
    """Ids of failures whose consequence this one can be: where one of them is found, it comes first."""
    fetch: tuple[str, ...] = ()
    """The argv whose answer would decide, where a text alone can't."""
    confirm: tuple[tuple[str, ...], ...] = ()
    """argv lists, read-only, that show whether it is this one (and afterwards, that it is mended)."""
    quick: str = ""
    """The quickest safe way back to service, where it differs from the repair."""
    repair: tuple[Mend, ...] = ()
    prevention: str = ""
    reboot: str = "no"
    """"no", "yes", "sometimes"."""
    stops_workloads: bool = False
    sources: tuple[str, ...] = ()
    """Addresses of what was read."""
    note: str = ""
    certainty: str = "confirmed"
    """"confirmed" (by a public source or a reproduction), "unconfirmed" (working knowledge; people are
    told so)."""
    example: str = ""
    """A text that shows it, for where no recorded incident does: tests hold its variations against the
    signs."""
