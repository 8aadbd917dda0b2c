"""A signing key that others than root may read or change: found beside the guard, and closed.

The modules work all the same, so it is the last rung's matter and never the root cause. Source of the
rule: whoever has the key can sign modules that this kernel takes (kernel, admin-guide/module-signing.rst,
"Administering/protecting the private key").
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.signing import wanted_here
from gpu_bringup.ladder.words import ev, listed
from gpu_bringup.model.ladder import State
from gpu_bringup.model.plan import Command, Step
from gpu_bringup.model.signing_key import KeyAccess

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import SigningKey
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult

OPEN, FOLDER = "signing-key-open", "signing-key-folder-open"


def _counted(ctx: Context) -> tuple[tuple[SigningKey, KeyAccess], ...]:
    """Keys that exist and that this firmware trusts or shall trust, with who may reach them."""
    demanded = wanted_here(ctx)
    return tuple(
        (key, key.access)
        for key in ctx.facts.secure_boot.keys
        if isinstance(key.access, KeyAccess)
        and (demanded or key.enrolled is True or key.pending is True)
    )


def _does(access: KeyAccess) -> str:
    verbs = [word for word, yes in (("read", access.readable), ("change", access.writable)) if yes]
    return f"others than root may {listed(verbs)} it (mode {access.mode}, owner {access.owner})"


def with_keys(ctx: Context, result: RungResult) -> RungResult:
    """The guard's result, with what is wrong about the keys."""
    if ctx.outside_driver:
        return result
    causes: list[Cause] = []
    words: list[str] = []
    told: list[Evidence] = []
    for key, access in _counted(ctx):
        if access.readable or access.writable:
            causes.append(cause(OPEN, 0.95, ev(key.key_path, _does(access))))
            words.append(f"the signing key {key.key_path} is open to others")
        if access.folder:
            causes.append(cause(FOLDER, 0.94, ev(access.folder, f"the way to {key.key_path}")))
            words.append(f"others may write to {access.folder}, where the signing key lies")
    if not causes:
        return result
    if result.state is State.BROKEN:
        words.insert(0, result.summary)
        told += result.evidence
    causes = [*result.causes, *causes]
    return replace(
        result,
        state=State.BROKEN,
        summary="; ".join(words),
        causes=tuple(causes),
        evidence=tuple(told),
    )


def close_steps(ctx: Context) -> tuple[Step, ...]:
    """One step for each key that is open; its undo gives mode and owner back."""
    return tuple(
        Step(
            id=f"close-key-{key.kind}",
            rung="guard",
            title=f"Close the signing key {key.key_path} to others",
            why="Whoever can read this key can sign modules that this server's kernel takes. Closed, it is "
            "root's alone. If others use this server, think of the key as known to them: afterwards make a "
            "new one and enrol that.",
            commands=(
                Command(("chown", "root:root", key.key_path)),
                Command(("chmod", "0600", key.key_path)),
            ),
            undo=(
                Command(("chmod", access.mode, key.key_path)),
                Command(("chown", access.owner, key.key_path)),
            ),
            done_when=() if access.folder else ("guard",),
            estimate_seconds=1,
            risk="A program of another user that signs with this key can't read it any more.",
        )
        for key, access in _counted(ctx)
        if access.readable or access.writable
    )
