"""Free space where kernels, packages and module builds need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.facts import StorageFacts

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_PATHS = ("/", "/boot", "/var", "/usr", "/tmp", "/var/tmp", "/var/lib/dkms")


def observe(host: Host) -> StorageFacts:
    return StorageFacts(tuple(host.space(path) for path in _PATHS))
