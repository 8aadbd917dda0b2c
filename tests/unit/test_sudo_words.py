"""What sudo says when it doesn't make somebody root, in plain words."""

from __future__ import annotations

import pytest

from gpu_bringup.run.sudo_words import refusal


@pytest.mark.parametrize(
    ("lines", "given_up", "told"),
    [
        (("Sorry, try again.", "sudo: 3 incorrect password attempts"), False, "3 incorrect"),
        (("sudo: 1 incorrect password attempt",), False, "took none of the passwords"),
        (("sudo: a password is required",), True, "no password was given"),
        (
            (
                "ada is not in the sudoers file.",
                "This incident has been reported to the administrator.",
            ),
            False,
            "this user may not use sudo for it: ada is not in",
        ),
        (
            ("Sorry, user ada is not allowed to execute '/usr/bin/env' as root on vm.",),
            False,
            "may not use sudo",
        ),
        (("Sorry, user ada may not run sudo on vm.",), True, "this user may not use sudo"),
        (("sudo: unable to open /etc/sudoers",), False, "sudo didn't give it"),
        ((), False, "exit status 1"),
    ],
)
def test_a_refusal_is_told_plainly(lines: tuple[str, ...], given_up: bool, told: str) -> None:
    error = refusal(lines, 1, given_up=given_up)
    assert told in error.message
    assert error.meaning == "Nothing was changed." and error.hint


def test_a_broken_sudo_names_another_way() -> None:
    lines = ("sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set; setuid root",)
    assert "su -" in refusal(lines, 1, given_up=False).hint
