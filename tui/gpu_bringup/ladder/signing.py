"""What signature and module share: is signing wanted here, with which key, is it trusted."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.families import common
from gpu_bringup.families.repository import STAGE
from gpu_bringup.ladder.steps import wanting
from gpu_bringup.ladder.view import loaded_version, prepare_only, route
from gpu_bringup.model.enums import SecureBoot
from gpu_bringup.model.plan import Command, Step, Write
from gpu_bringup.model.unknown import Fact, Unknown
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import SigningKey

DKMS_SIGNING = "/etc/dkms/framework.conf.d/gpu-bringup-signing.conf"
"""dkms 3.0 and later read it (dkms(8), framework.conf.d)."""
OWN_CERTIFICATE = "/var/lib/dkms/gpu-bringup-own.der"
"""The operator's certificate as it was checked: beside dkms's own mok.pub, in a folder that root alone
writes to, that dkms itself needs, and that backups of the host's key take along."""
OWN_KEY = f"{STAGE}/bin/own-key.sh"
PUT_BACK = 'if [ -e "$1.before" ]; then mv -f -- "$1.before" "$1"; else rm -f -- "$1"; fi'
"""Takes back what own-key.sh wrote, which keeps an older file of ours beside it."""


def enforced(ctx: Context) -> Fact[bool]:
    """Does a kernel here refuse modules that no trusted key signed?"""
    if any(kernel is not None and kernel.signature_forced is True for _, kernel in ctx.kernels()):
        return True
    return ctx.facts.secure_boot.enforced


def wanted_here(ctx: Context) -> bool:
    """Must modules be signed: where it is enforced, in an image whose host isn't known yet, on wish."""
    if ctx.target is not None and (ctx.target.prepare_only or own_key_named(ctx)):
        return True
    return enforced(ctx) is True


def own_key_named(ctx: Context) -> bool:
    """Did the operator name a key of his own, and are the modules signed here?"""
    target = ctx.target
    return target is not None and bool(target.signing_key) and target.package.route == "dkms"


def host_key(ctx: Context) -> SigningKey | None:
    """The key pair that this host's scheme signs with, as it was found; None: not looked at."""
    if ctx.family is None:
        return None
    if ctx.target is not None and own_key_named(ctx):
        # One that dkms isn't told of yet isn't known to the facts.
        # Its certificate is the checked copy, or the named file where the operator told dkms himself.
        places = OWN_CERTIFICATE, ctx.target.signing_certificate
        return next(
            (
                key
                for key in ctx.facts.secure_boot.keys
                if key.key_path == ctx.target.signing_key and key.certificate_path in places
            ),
            None,
        )
    kind = ctx.family.signing(ctx.facts).kind
    return next((key for key in ctx.facts.secure_boot.keys if key.kind == kind), None)


def enrolment_missing(ctx: Context) -> bool:
    """Will the firmware have to be told of the key before the module can load here?"""
    # A GPU that is still to come changes nothing: the firmware that must trust the key is this one.
    if enforced(ctx) is not True or prepare_only(ctx) or loaded_version(ctx.facts):
        return False
    if ctx.target is not None and ctx.target.package.route == "prebuilt":
        return False
    if lockdown_without_secure_boot(ctx):
        # No key of the firmware counts for it.
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
        return _present_key_step(ctx, key)
    if own_key_named(ctx):
        return own_key_step(ctx)
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


@lru_cache(maxsize=1)
def _own_key_script() -> str:
    return data_folder("scripts").joinpath("own-key.sh").read_text(encoding="utf-8")


def _told_of(
    ctx: Context,
    key_path: str,
    certificate_path: str,
    title: str,
    why: str,
    risk: str,
    *,
    copy: str = "",
) -> Step | None:
    """Try a pair on a scratch file, then let dkms's configuration name it.

    ``copy``: where the checked certificate is kept for dkms and mokutil; empty: it is the host's own.
    """
    family = ctx.family
    if family is None:
        return None
    scheme = family.signing(ctx.facts)
    # What shim-signed brings is for making a key.
    names = wanting(ctx, tuple(name for name in scheme.packages if name != "shim-signed"))
    install = (family.manager.install(names),) if names else ()
    release = next(iter(ctx.releases), "")
    # dkms 2 signs by a script of ours, which reads the same configuration and finds the pair there.
    tool = scheme.make_key if scheme.writes else ()
    return Step(
        id="signing-key",
        rung="signature",
        title=title,
        why=why,
        commands=(
            *install,
            Command(
                ("sh", OWN_KEY, release, key_path, certificate_path, DKMS_SIGNING)
                + ((copy,) if copy else ())
            ),
            *tool,
        ),
        writes=(Write(OWN_KEY, _own_key_script(), 0o755), *scheme.writes),
        undo=(
            *scheme.undo,
            *(Command(("sh", "-c", PUT_BACK, "sh", path)) for path in (DKMS_SIGNING, copy) if path),
        ),
        estimate_seconds=30,
        packages=names,
        risk=risk,
    )


def own_key_step(ctx: Context) -> Step | None:
    """Try the operator's own key, then tell dkms of it; None where dkms isn't what builds."""
    target = ctx.target
    if target is None or not own_key_named(ctx):
        return None
    token = target.signing_key.startswith("pkcs11:")
    return _told_of(
        ctx,
        target.signing_key,
        target.signing_certificate,
        "Sign with your own key",
        "The key is tried on a scratch file first; then dkms is told of it, so that the modules of "
        "every later kernel are signed with it as well. dkms and the firmware are given a copy of the "
        f"certificate as it was checked ({OWN_CERTIFICATE}); the key is never copied.",
        # dkms makes another pair in the place of one that is gone (3.0.10 and 3.2.2, prepare_mok).
        "The token and its PIN must be there whenever a kernel is upgraded, or that kernel's modules "
        "stay unsigned."
        if token
        else "The key must stay where it is: where it is missing at a kernel upgrade, dkms writes a "
        "new pair in its place, which no firmware trusts. Keep a copy.",
        copy=OWN_CERTIFICATE,
    )


_SIGNS_BY_ITSELF = {"ubuntu": "shim-signed"}
"""Family -> kind of the pair that its dkms takes unasked; "dkms" elsewhere (3.0.10, prepare_signing)."""


def _present_key_step(ctx: Context, key: SigningKey) -> Step | None:
    """Let dkms sign with the key that this host has, where it would make another one of its own."""
    if ctx.family is None or key.kind == _SIGNS_BY_ITSELF.get(ctx.family.id, "dkms"):
        return None
    if key.kind == "dkms" and common.own_pair(ctx.facts) is not None:
        return None
    if route(ctx) != "dkms":
        return None
    trusted = "which the firmware trusts" if key.enrolled is True else "which it has already"
    return _told_of(
        ctx,
        key.key_path,
        key.certificate_path,
        "Sign with the key that this host has",
        "dkms would make another key of its own and sign with that. It is told of this host's key, "
        f"{trusted}, so that there is one key for all modules.",
        "",
    )


def by_hand(ctx: Context) -> tuple[str, ...]:
    """What becomes of a key that the operator named and that nothing here signs with."""
    target = ctx.target
    if target is None or not target.signing_key or own_key_named(ctx):
        return ()
    return (
        "The signing key that you named is not used: the modules of this driver come ready-made, with the "
        "signature of whoever built them. To sign with your own key choose a driver that is built here "
        "by dkms ('gpu-bringup recommend' names the alternatives), or leave --signing-key out.",
    )


def lockdown_without_secure_boot(ctx: Context) -> bool:
    """Are signatures demanded by the kernel's own policy, not by the firmware?"""
    secure = ctx.facts.secure_boot
    return not isinstance(secure.state, Unknown) and secure.state is not SecureBoot.ENABLED
