"""What signature and module share: is signing wanted here, with which key, is it trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.steps import wanting
from gpu_bringup.ladder.view import later, loaded_version
from gpu_bringup.model.enums import SecureBoot
from gpu_bringup.model.plan import Step
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import SigningKey


def enforced(ctx: Context) -> Fact[bool]:
    """Does a kernel here refuse modules that no trusted key signed?"""
    if any(kernel is not None and kernel.signature_forced is True for _, kernel in ctx.kernels()):
        return True
    return ctx.facts.secure_boot.enforced


def wanted_here(ctx: Context) -> bool:
    """Must modules be signed: where it is enforced, and in an image whose host isn't known yet."""
    if ctx.target is not None and ctx.target.prepare_only:
        return True
    return enforced(ctx) is True


def host_key(ctx: Context) -> SigningKey | None:
    """The key pair that this host's scheme signs with, as it was found; None: not looked at."""
    if ctx.family is None:
        return None
    kind = ctx.family.signing(ctx.facts).kind
    return next((key for key in ctx.facts.secure_boot.keys if key.kind == kind), None)


def enrolment_missing(ctx: Context) -> bool:
    """Will the firmware have to be told of the key before the module can load here?"""
    if enforced(ctx) is not True or later(ctx) or loaded_version(ctx.facts):
        return False
    if ctx.target is not None and ctx.target.package.route == "prebuilt":
        return False
    key = host_key(ctx)
    return key is None or key.enrolled is not True


def key_step(ctx: Context) -> Step | None:
    """Make the signing key before modules are built; None where it exists or isn't wanted."""
    if ctx.family is None or not wanted_here(ctx):
        return None
    if ctx.target is not None and ctx.target.package.route == "prebuilt":
        return None
    key = host_key(ctx)
    if key is not None and key.exists is True:
        return None
    scheme = ctx.family.signing(ctx.facts)
    names = wanting(ctx, scheme.packages)
    # A key that may exist is never made anew: that would orphan the enrolled one.
    absent = key is not None and key.exists is False
    make = scheme.make_key if absent or scheme.writes else ()
    if not names and not make:
        return None
    install = (ctx.family.manager.install(names),) if names else ()
    return Step(
        id="signing-key",
        rung="signature",
        title="Get ready to sign the modules",
        why="Under Secure Boot the kernel loads only modules that a key it trusts has signed. The "
        "signing tools must be there before the modules are built, or they come out unsigned.",
        commands=(*install, *make),
        writes=scheme.writes,
        undo=scheme.undo,
        estimate_seconds=30,
        packages=names,
    )


def lockdown_without_secure_boot(ctx: Context) -> bool:
    """Are signatures demanded by the kernel's own policy, not by the firmware?"""
    secure = ctx.facts.secure_boot
    return not isinstance(secure.state, Unknown) and secure.state is not SecureBoot.ENABLED
