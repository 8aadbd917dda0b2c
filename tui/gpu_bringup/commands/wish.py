"""From the arguments of a command to the engine's words: answers, host, facts, catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.own_key import look_at_pair
from gpu_bringup.errors import InputError
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts


def answers_from(arguments: argparse.Namespace) -> Answers:
    """The operator's answers as given by flags.

    Raises:
        InputError: a flag's value can't be understood.
    """
    _refuse_empty(arguments)
    source = getattr(arguments, "source", None)
    today = getattr(arguments, "today", None)
    secure_boot = getattr(arguments, "secure_boot", None)
    try:
        day = date.fromisoformat(today) if today else None
    except ValueError as error:
        raise InputError(
            f"{today!r} isn't a date", file="--today", hint="Write it as 2026-11-22."
        ) from error
    packages = getattr(arguments, "packages", None)
    if source == "local" and not packages:
        raise InputError(
            "the local source needs a folder of packages",
            file="--source local",
            hint="Say where they are: --packages /media/packages",
        )
    key, certificate = own_key(arguments)
    return Answers(
        signing_key=key,
        signing_certificate=certificate,
        scenario=getattr(arguments, "scenario", None) or "long-term-stable",
        gpus=tuple(getattr(arguments, "gpu", None) or ()),
        framework=getattr(arguments, "framework", None) or "",
        source=SourceKind(source) if source else None,
        kernel=getattr(arguments, "kernel", None) or "",
        secure_boot=None if secure_boot is None else secure_boot == "on",
        os=getattr(arguments, "os", None) or "",
        driver=getattr(arguments, "driver", None) or "",
        flavour=getattr(arguments, "flavour", None) or "",
        today=day,
        local_packages=str(Path.cwd() / packages) if packages else "",
    )


def own_key(arguments: argparse.Namespace) -> tuple[str, str]:
    """The operator's own signing key and its certificate; two empty texts: none was named.

    Raises:
        InputError: one without the other, or a URI that holds a PIN.
    """
    key = getattr(arguments, "signing_key", None) or ""
    certificate = getattr(arguments, "signing_certificate", None) or ""
    if bool(key) != bool(certificate):
        raise InputError(
            "a signing key and its certificate belong together",
            file="--signing-key" if key else "--signing-certificate",
            hint="Give both: --signing-key FILE --signing-certificate FILE (in DER).",
        )
    if key.startswith("pkcs11:"):
        if "pin-value" in key:
            raise InputError(
                "the URI holds the PIN itself, which every user could read",
                file="--signing-key",
                hint="Keep it in a file of root alone (mode 0600): pin-source=file:/path",
            )
    elif key:
        key = str(Path.cwd() / key)
    if re.search(r"[\"'$`\\\s#]", key + certificate):
        raise InputError(
            "dkms's configuration can't hold a name with spaces, quotes or $",
            file="--signing-key",
            hint="Give the files plain names.",
        )
    return key, str(Path.cwd() / certificate) if certificate else ""


def _refuse_empty(arguments: argparse.Namespace) -> None:
    # A script's unset variable would otherwise silently mean another host or another wish.
    for name in ("scenario", "framework", "packages", "kernel", "driver", "os", "today"):
        if getattr(arguments, name, None) == "":
            raise InputError(
                "the value is empty",
                file=f"--{name}",
                hint="Leave the flag out, or look for a variable that isn't set.",
            )


def catalogue_from(arguments: argparse.Namespace) -> Catalogue:
    """The catalogue with the folder that ``--profiles`` names.

    Raises:
        InputError: an entry is wrong, or there is no such folder.
    """
    extra: Path | None = getattr(arguments, "profiles", None)
    return engine.load_catalogue(extra)


@dataclass(frozen=True)
class Asked:
    """Everything that a command which looks at a host needs."""

    host: Host | None
    """None: the host was described by flags."""
    facts: Facts
    answers: Answers
    catalogue: Catalogue


def _check_packages(folder: Path) -> None:
    try:
        problem = "" if folder.is_dir() else "there is no such folder"
    except OSError as error:
        problem = f"it can't be read: {error.strerror}"
    if problem:
        raise InputError(
            problem, file=f"--packages {folder}", hint="Name the folder that holds the packages."
        )


def refuse_absent_kernel(asked: Asked) -> None:
    """A kernel that was named must be installed where steps are to be taken for it.

    Raises:
        InputError: it isn't; names those that are.
    """
    name, installed = asked.answers.kernel, asked.facts.kernels.installed
    if re.fullmatch(r"\d+\.\d+", name):
        raise InputError(
            f"{name} is a series of kernels, not a release: packages are named after releases",
            file="--kernel",
            hint="Give it as uname -r prints it on the server, such as 5.15.0-119-generic.",
        )
    if not name or isinstance(installed, Unknown) or asked.facts.kernel(name) is not None:
        return
    known = ", ".join(kernel.release for kernel in installed)
    raise InputError(
        f"{name} is not installed here: neither a folder in /lib/modules nor an image in /boot",
        file="--kernel",
        meaning="Nothing was changed on this server.",
        hint=f"Installed: {known}." if known else "No kernel is installed; install it first.",
    )


def look(arguments: argparse.Namespace, *, deep: bool = False) -> Asked:
    """Look at the host that the arguments name: a record, this machine, or a described one.

    Raises:
        InputError: bad flags, a bad record, bad profiles.
    """
    from gpu_bringup.recommend import validate_answers

    answers = answers_from(arguments)
    record: Path | None = getattr(arguments, "host", None)
    if answers.os and record is None:
        catalogue = catalogue_from(arguments)
        validate_answers(answers, catalogue)
        return Asked(None, engine.described(answers, catalogue), answers, catalogue)
    host = engine.open_host(record)
    catalogue = catalogue_from(arguments)
    validate_answers(answers, catalogue)
    if record is None and answers.local_packages:
        _check_packages(Path(answers.local_packages))
    look_at_pair(host, answers)
    if answers.local_packages:
        listed = host.list_dir(answers.local_packages)
        answers = replace(answers, local_files=listed if isinstance(listed, tuple) else None)
    return Asked(host, engine.observe(host, deep=deep), answers, catalogue)
