"""The operator's own signing key, looked at before any plan is made: a bad one changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.errors import InputError
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.answers import Answers

_UNREAD = "can't be read"


def look_at_pair(host: Host, answers: Answers) -> None:
    """Have scripts/own-key.sh look at the two files, where this is the machine that will sign.

    What only a trial shows (a token, the kernel's own sign-file) is left to the plan's step.

    Raises:
        InputError: they can't sign: open to others, a passphrase, no pair, another form.
    """
    if not answers.signing_key or host.kind != "local":
        return
    if any(not word.isprintable() for word in (answers.signing_key, answers.signing_certificate)):
        # A NUL can't even be handed to a program.
        raise InputError(
            "the name of the key or certificate holds a control character",
            file="--signing-key",
            meaning="Nothing was changed on this server.",
        )
    script = data_folder("scripts").joinpath("own-key.sh").read_text(encoding="utf-8")
    argv = (
        "sh",
        "-c",
        script,
        "own-key",
        "--look",
        answers.signing_key,
        answers.signing_certificate,
    )
    result = host.run(argv)
    if isinstance(result, Unknown) or result.exit != 1:
        return
    said = [line.removeprefix("own-key: ") for line in result.output.splitlines() if line]
    told = [line for line in said if not line.startswith("note: ")]
    first = told[0] if told else "the signing key can't be used"
    mine = host.uid() == 0 or host.exists(answers.signing_key) is False
    if _UNREAD in first and not mine:
        # A key that root alone may read is as it should be; the step, which is root's, looks again.
        return
    raise InputError(
        first,
        file="--signing-key",
        meaning="Nothing was changed on this server.",
        hint=" ".join(told[1:]),
    )
