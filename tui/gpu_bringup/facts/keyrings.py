"""The key files that package sources name: is each there, and may its keys still sign?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.facts import Repository

_OWN = ("distribution", "security", "backports")


def key_state(host: Host, path: str) -> Fact[str]:
    """ "good", "missing", "expired" or "revoked": the last two where no key in the file is good."""
    present = host.exists(path)
    if isinstance(present, Unknown):
        return present
    digest = host.digest("keys", path) if present else None
    if digest is None:
        return "missing"
    now = host.now()
    if isinstance(digest, Unknown):
        return digest
    if isinstance(now, Unknown):
        return now
    states = []
    for key in digest.get("keys", ()):
        expires = key.get("expires")
        late = isinstance(expires, (int, float)) and expires < now
        states.append("revoked" if key.get("revoked") else "expired" if late else "good")
    return "good" if "good" in states or not states else states[0]


_ORDER = ("good", "expired", "revoked", "missing")


def _best(host: Host, addresses: list[str], states: dict[str, Fact[str]]) -> Fact[str]:
    """The best state among an rpm repository's key files; one that isn't on this host is unknown."""
    found: list[Fact[str]] = []
    for address in addresses:
        path = address.removeprefix("file://")
        if not path.startswith("/") or "$" in path:
            found.append(Unknown(f"{address} is not a file of this host"))
            continue
        if path not in states:
            states[path] = key_state(host, path)
        found.append(states[path])
    known = [state for state in found if isinstance(state, str)]
    unknown = next((state for state in found if isinstance(state, Unknown)), None)
    if "good" in known or unknown is None:
        return min(known, key=_ORDER.index, default=Unknown("no key is named"))
    return unknown


def with_keys(host: Host, found: tuple[Repository, ...]) -> tuple[Repository, ...]:
    """The entries with the state of their key files; the distribution's own are not looked at."""
    states: dict[str, Fact[str]] = {}
    result = []
    for item in found:
        path = item.signed_by.strip()
        if path.startswith("file://") and item.format in ("yum", "zypp"):
            # Of several keys one that is good is enough: they are looked at in turn.
            item = replace(item, key=_best(host, path.split(), states))
        elif item.enabled and item.kind not in _OWN and path.startswith("/") and " " not in path:
            if path not in states:
                states[path] = key_state(host, path)
            item = replace(item, key=states[path])
        result.append(item)
    return tuple(result)
