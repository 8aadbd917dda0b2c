"""Public keys in a keyring file: until when each may sign. Reads no more of OpenPGP than that takes.

Sources: RFC 9580, sections 4.2 (packet headers), 5.5.2 (public keys), 5.2.3 (signatures and their
subpackets 2, creation time, and 9, key expiration time), 6.2 (armour).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE, _PUBLIC_KEY = 2, 6
_CERTIFICATIONS = (0x10, 0x11, 0x12, 0x13, 0x1F)
"""Signatures over a user id or the key itself, which carry the key's expiration time."""
_REVOCATION = 0x20
_CREATED, _KEY_EXPIRATION = 2, 9
_BLOCK = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)


class KeyringError(Exception):
    """It holds no public keys that can be read."""


def _unarmoured(data: bytes) -> bytes:
    blocks = _BLOCK.findall(data)
    if not blocks:
        return data
    found = b""
    for block in blocks:
        # Header lines end at an empty line; "=XXXX" is the checksum.
        body = re.split(rb"\r?\n[ \t]*\r?\n", b"\n" + block, maxsplit=1)[-1]
        lines = [line.strip() for line in body.splitlines()]
        try:
            found += base64.b64decode(b"".join(x for x in lines if not x.startswith(b"=")))
        except binascii.Error as error:
            raise KeyringError("its armour is damaged") from error
    return found


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(length, place behind it) of a new-format packet or a subpacket."""
    first = data[at]
    if first < 192:
        return first, at + 1
    if first < 255:
        return ((first - 192) << 8) + data[at + 1] + 192, at + 2
    return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        head = data[at]
        if not head & 0x80:
            raise KeyringError("it is no OpenPGP keyring")
        if head & 0x40:
            if 224 <= data[at + 1] < 255:
                raise KeyringError("it has packets in parts")
            kind = head & 0x3F
            length, at = _length(data, at + 1)
        else:
            kind, size = (head >> 2) & 0x0F, (1, 2, 4, 0)[head & 3]
            if not size:
                raise KeyringError("it has packets without a length")
            length, at = int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size
        if at + length > len(data):
            raise KeyringError("it ends in the middle of a packet")
        yield kind, data[at : at + length]
        at += length


def _subpackets(signature: bytes) -> dict[int, int]:
    """Numbers in the hashed subpackets of a version 4 signature, by their type."""
    found: dict[int, int] = {}
    end = 6 + int.from_bytes(signature[4:6], "big")
    at = 6
    while at < end:
        length, at = _length(signature, at)
        found[signature[at] & 0x7F] = int.from_bytes(signature[at + 1 : at + length], "big")
        at += max(length, 1)
    return found


def _certify(key: dict[str, Any], signature: bytes, newest: int) -> int:
    """Take what a signature says of the key; returns the creation time of the newest one so far."""
    if signature[1] == _REVOCATION:
        key["revoked"] = True
        return newest
    told = _subpackets(signature)
    made = told.get(_CREATED, 0)
    # The newest one counts: owners prolong their keys.
    if signature[1] not in _CERTIFICATIONS or made < newest:
        return newest
    after = told.get(_KEY_EXPIRATION)
    key["expires"] = key["created"] + after if after else None
    return made


def read_keys(data: bytes) -> list[dict[str, Any]]:
    """One object a primary key, {"created", "expires", "revoked"}; times in seconds since 1970.

    ``expires`` is None for a key that never does, or whose signatures aren't version 4.

    Raises:
        KeyringError: no keys, or damaged.
    """
    keys: list[dict[str, Any]] = []
    newest = 0
    try:
        for kind, body in _packets(_unarmoured(data)):
            if kind == _PUBLIC_KEY:
                newest = 0
                created = int.from_bytes(body[1:5], "big")
                keys.append({"created": created, "expires": None, "revoked": False})
            elif kind == _SIGNATURE and keys and body[0] == 4:
                newest = _certify(keys[-1], body, newest)
    except IndexError as error:
        raise KeyringError("it ends in the middle of a packet") from error
    if not keys:
        raise KeyringError("it holds no public key")
    return keys
