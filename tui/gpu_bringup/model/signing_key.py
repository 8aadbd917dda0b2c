"""A key pair that modules can be signed with, and who may reach its private half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.facts import Certificate

_NOT_LOOKED = Unknown("not looked at")


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """What others than root (or akmods) may do with a private key's file."""

    readable: bool
    writable: bool
    folder: str
    """The first folder on the way that others may write to; empty: none."""
    mode: str
    """Octal digits, as chmod takes them."""
    owner: str
    """"UID:GID", as chown takes it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair that modules of this host can be signed with."""

    kind: str
    """"dkms", "shim-signed" (Ubuntu), "akmods"."""
    key_path: str
    certificate_path: str
    exists: Fact[bool]
    certificate: Fact[Certificate | None] = _NOT_LOOKED
    enrolled: Fact[bool] = _NOT_LOOKED
    pending: Fact[bool] = _NOT_LOOKED
    access: Fact[KeyAccess | None] = _NOT_LOOKED
    """Of the private key's file; None: there is none."""
