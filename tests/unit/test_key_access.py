"""A signing key that is open to others: found beside the guard, closed by a step, given back by its undo."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.ladder import guard
from gpu_bringup.ladder.base import Context
from gpu_bringup.ladder.key_access import FOLDER, OPEN
from gpu_bringup.model.facts import SigningKey
from gpu_bringup.model.ladder import State
from gpu_bringup.model.signing_key import KeyAccess
from gpu_bringup.model.unknown import Unknown
from unit import make_facts as make

CLOSED = KeyAccess(False, False, "", "0600", "0:0")
READ = KeyAccess(True, False, "", "0644", "0:0")
WRITE = KeyAccess(True, True, "", "0660", "0:1000")
SHARED = KeyAccess(False, False, "/srv/keys", "0600", "0:0")


def context(access: KeyAccess | Unknown | None, *, enrolled: bool = True) -> Context:
    facts = make.healthy()
    key = SigningKey("dkms", "/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub", True,
                     enrolled=enrolled, pending=False, access=access)  # fmt: skip
    return make.context(replace(facts, secure_boot=replace(facts.secure_boot, keys=(key,))))


def causes(ctx: Context) -> list[str]:
    return [item.cause for item in guard.RUNG.check(ctx).causes]


@pytest.mark.parametrize(("access", "cause"), [(READ, OPEN), (WRITE, OPEN), (SHARED, FOLDER)])
def test_what_is_open_is_found(access: KeyAccess, cause: str) -> None:
    result = guard.RUNG.check(context(access))
    assert result.state is State.BROKEN and cause in causes(context(access))
    assert all(item.sources for item in result.causes)


@pytest.mark.parametrize("access", [CLOSED, None, Unknown("not recorded")])
def test_what_is_closed_or_not_known_is_not_accused(access: KeyAccess | Unknown | None) -> None:
    assert not {OPEN, FOLDER} & set(causes(context(access)))


def test_the_step_closes_it_and_its_undo_gives_mode_and_owner_back() -> None:
    (step,) = [s for s in guard.RUNG.repair(context(WRITE)) if s.id == "close-key-dkms"]
    key = "/var/lib/dkms/mok.key"
    assert [c.argv for c in step.commands] == [("chown", "root:root", key), ("chmod", "0600", key)]
    assert [c.argv for c in step.undo] == [("chmod", "0660", key), ("chown", "0:1000", key)]
    assert not [s for s in guard.RUNG.repair(context(SHARED)) if s.id.startswith("close-key")]
