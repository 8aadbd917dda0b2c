"""The screens of MokManager, the walk through them, and the advice on the one-time password."""

from __future__ import annotations

import pytest

from gpu_bringup.signing.rehearsal import LONGEST_PASSWORD, password_advice, screens
from gpu_bringup.signing.walk import ENROL, FIRST, MENU, PASSWORD, REBOOT, SURE, Walk

SUM = ":".join(["a1"] * 20)
RIGHT = ("x", "down", "enter", "down", "enter", "down", "enter", *"word12", "enter", "enter")


def walked(*keys: str) -> Walk:
    walk = Walk(screens(SUM, "A key"))
    for key in keys:
        walk.press(key)
    return walk


def test_six_screens_with_the_fingerprint() -> None:
    found = screens(SUM, "A key")
    assert [screen.title for screen in found] == [
        "Shim UEFI key management", "Perform MOK management", "[Enroll MOK]", "Enroll the key(s)?",
        "Password:", "Perform MOK management",
    ]  # fmt: skip
    assert SUM.upper() in found[ENROL].why and "'A key'" in found[ENROL].why
    assert "fingerprint" not in screens()[ENROL].why.replace("fingerprint: ", "")
    chosen = [screen.choices[screen.choose] for screen in found if screen.choices]
    assert chosen == ["Enroll MOK", "Continue", "Yes", "Reboot"]


def test_the_right_keys_lead_to_the_end() -> None:
    assert walked(*RIGHT).over
    for count in range(len(RIGHT)):
        assert not walked(*RIGHT[:count]).over


@pytest.mark.parametrize("key", ["x", "enter", "down", " "])
def test_any_key_opens_the_first_screen(key: str) -> None:
    assert walked(key).at == MENU


def test_continue_boot_drops_the_request() -> None:
    walk = walked("x", "enter")
    assert walk.missed and "request would be gone" in walk.said
    walk.press("x")
    assert (walk.at, walk.missed, walk.said) == (FIRST, False, "")


@pytest.mark.parametrize("downs", [2, 3, 9])
def test_keys_from_disk_are_something_else(downs: int) -> None:
    walk = walked("x", *["down"] * downs, "enter")
    assert walk.at == MENU and "Choose Enroll MOK" in walk.said


def test_the_key_can_be_looked_at() -> None:
    walk = walked("x", "down", "enter", "enter")
    assert walk.viewing and walk.at == ENROL
    walk.press("x")
    assert not walk.viewing and walk.at == ENROL


def test_no_leads_back_to_the_menu() -> None:
    walk = walked("x", "down", "enter", "down", "enter", "enter")
    assert walk.at == MENU and "Enroll MOK again" in walk.said


def test_an_empty_password_does_not_match() -> None:
    walk = walked(*RIGHT[:7], "enter")
    assert walk.at == PASSWORD and "doesn't match" in walk.said


def test_nothing_typed_is_kept() -> None:
    walk = walked(*RIGHT[:7], *"hush-hush", "backspace")
    assert walk.typed == 8
    assert "hush" not in repr(walk)
    walk.press("enter")
    assert walk.at == REBOOT and walk.typed == 0
    assert "hush" not in "".join(walk._letters) and "US one" in walk.said


def test_time_runs_out_on_the_first_screen_only() -> None:
    walk = walked()
    walk.run_out()
    assert walk.missed and "Nobody pressed a key" in walk.said
    later = walked("x")
    later.run_out()
    assert not later.missed


def test_up_and_down_stay_in_the_menu() -> None:
    walk = walked("x", "up", *["down"] * 9)
    assert walk.cursor == 3 and walk.at == MENU
    assert walked(*RIGHT[:5], "up", "down", "down").cursor == 1
    assert walked(*RIGHT[:5]).at == SURE


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "empty"),
        ("x" * (LONGEST_PASSWORD + 1), "longer than 256"),
        ("short", "Short is allowed"),
        ("with-a-dash", "US one"),
        ("straße12", "US one"),
        ("quickword1", "French and German"),
        ("boiler12", ""),
    ],
)
def test_password_advice(password: str, said: str) -> None:
    advice = password_advice(password)
    assert said in advice and bool(advice) == bool(said)
