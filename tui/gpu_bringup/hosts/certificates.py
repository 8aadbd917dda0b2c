"""Public X.509 certificates: what names them, from DER, PEM or EFI signature lists.

A strict reader of the few DER fields that are needed: a certificate that it doesn't fully
understand is an error, never a guess. Sources: RFC 5280 section 4.1 (certificate), ITU-T X.690
(DER), UEFI specification 2.10 section 32.4.1 (signature lists).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from dataclasses import dataclass

from gpu_bringup.model.facts import Certificate

EFI_CERT_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le

_SEQUENCE, _SET, _INTEGER, _OID, _BIT_STRING, _VERSION = 0x30, 0x31, 0x02, 0x06, 0x03, 0xA0
_EXTENSIONS, _OCTET_STRING, _SUBJECT_KEY_ID = 0xA3, 0x04, b"\x55\x1d\x0e"
_COMMON_NAME = b"\x55\x04\x03"
_ORGANIZATION = (b"\x55\x04\x0b", b"\x55\x04\x0a")
_TEXT_ENCODINGS = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_PEM = re.compile(
    rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----\s(.*?)-----END (?:TRUSTED |X509 )?CERTIFICATE-----",
    re.DOTALL,
)
_LIST_HEADER = 28


class CertificateError(ValueError):
    """These bytes are no certificate, or not one that follows the standard."""


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of DER."""

    tag: int
    start: int
    """Offset of the content."""
    end: int


def _element(data: bytes, offset: int, end: int, tag: int | None = None) -> _Element:
    """The DER element at ``offset``; it must lie wholly before ``end``."""
    if offset + 2 > end:
        raise CertificateError("it ends in the middle of an element")
    found, length = data[offset], data[offset + 1]
    if found & 0x1F == 0x1F:
        raise CertificateError("a tag of several bytes, which certificates don't have")
    start = offset + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or start + count > end:
            raise CertificateError("a length that DER doesn't allow")
        length = int.from_bytes(data[start : start + count], "big")
        if length < 0x80 or length >> 8 * (count - 1) == 0:
            raise CertificateError("a length that isn't written in its shortest form")
        start += count
    if start + length > end:
        raise CertificateError("an element reaches beyond its end")
    if tag is not None and found != tag:
        raise CertificateError(f"tag {tag:#04x} was expected, {found:#04x} is there")
    return _Element(found, start, start + length)


def _children(data: bytes, parent: _Element) -> list[_Element]:
    children: list[_Element] = []
    offset = parent.start
    while offset < parent.end:
        child = _element(data, offset, parent.end)
        children.append(child)
        offset = child.end
    return children


def _name(data: bytes, name: _Element) -> str:
    """The common name, else the unit or the organisation, else an empty text."""
    found: dict[bytes, str] = {}
    for relative in _children(data, name):
        if relative.tag != _SET:
            raise CertificateError("a name that is no list of sets")
        for attribute in _children(data, relative):
            parts = _children(data, attribute)
            if attribute.tag != _SEQUENCE or len(parts) != 2 or parts[0].tag != _OID:
                raise CertificateError("a name's attribute has no type and value")
            kind = data[parts[0].start : parts[0].end]
            encoding = _TEXT_ENCODINGS.get(parts[1].tag)
            if encoding is not None:
                found[kind] = data[parts[1].start : parts[1].end].decode(encoding, "replace")
    return next((found[kind] for kind in (_COMMON_NAME, *_ORGANIZATION) if kind in found), "")


def _certificate(data: bytes, offset: int) -> tuple[Certificate, int]:
    """The certificate at ``offset`` and the offset behind it."""
    outer = _element(data, offset, len(data), _SEQUENCE)
    parts = _children(data, outer)
    if [part.tag for part in parts] != [_SEQUENCE, _SEQUENCE, _BIT_STRING]:
        raise CertificateError("it is no certificate, algorithm and signature")
    fields = _children(data, parts[0])
    if fields and fields[0].tag == _VERSION:
        fields = fields[1:]
    expected = [_INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE]
    if [field.tag for field in fields[:6]] != expected:
        raise CertificateError("its fields aren't those of a certificate")
    serial = data[fields[0].start : fields[0].end]
    if not serial:
        raise CertificateError("its serial number is empty")
    if len(serial) > 1 and serial[0] == 0:
        serial = serial[1:]
    certificate = Certificate(
        sha1=_hex(hashlib.sha1(data[offset : outer.end], usedforsecurity=False).digest()).lower(),
        subject=_name(data, fields[4]),
        serial=_hex(serial),
        key_id=_key_id(data, fields[6:]),
    )
    return certificate, outer.end


def _key_id(data: bytes, rest: list[_Element]) -> str:
    """The subject key identifier (RFC 5280 section 4.2.1.2); empty where there is none."""
    for field in rest:
        if field.tag != _EXTENSIONS:
            continue
        for extensions in _children(data, field):
            for extension in _children(data, extensions):
                parts = _children(data, extension)
                if len(parts) < 2 or data[parts[0].start : parts[0].end] != _SUBJECT_KEY_ID:
                    continue
                inner = _element(data, parts[-1].start, parts[-1].end, _OCTET_STRING)
                return _hex(data[inner.start : inner.end])
    return ""


def _hex(data: bytes) -> str:
    return data.hex(":").upper()


def _der(data: bytes) -> tuple[Certificate, ...]:
    found: list[Certificate] = []
    offset = 0
    while offset < len(data):
        certificate, offset = _certificate(data, offset)
        found.append(certificate)
    return tuple(found)


def _pem(data: bytes) -> tuple[Certificate, ...]:
    found: list[Certificate] = []
    for body in _PEM.findall(data):
        try:
            der = base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error as error:
            raise CertificateError(f"its PEM text is damaged ({error})") from error
        # A "TRUSTED CERTIFICATE" has OpenSSL's own data behind the certificate.
        found.append(_certificate(der, 0)[0])
    if not found:
        raise CertificateError("its PEM text has no whole certificate")
    return tuple(found)


def signature_list(data: bytes) -> tuple[Certificate, ...]:
    """Certificates of an EFI signature database; entries of other kinds (hashes) are passed over.

    Raises:
        CertificateError: the lists don't fill ``data`` exactly, or a certificate is damaged.
    """
    found: list[Certificate] = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _LIST_HEADER:
            raise CertificateError("it ends in the middle of a signature list")
        size, header, entry = (
            int.from_bytes(data[offset + at : offset + at + 4], "little") for at in (16, 20, 24)
        )
        body = size - _LIST_HEADER - header
        if entry < 17 or body < 0 or body % entry or offset + size > len(data):
            raise CertificateError("it is no EFI signature list")
        if data[offset : offset + 16] == EFI_CERT_X509:
            first = offset + _LIST_HEADER + header
            for start in range(first, offset + size, entry):
                # Each entry: 16 bytes that say who added it, then the certificate.
                found.append(_certificate(data[start + 16 : start + entry], 0)[0])
        offset += size
    return tuple(found)


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Certificates in ``data``: PEM, DER (one or several) or EFI signature lists.

    Files of efivarfs have the variable's attributes in their first four bytes. A file that is
    empty, or that has only these, is an empty list.

    Returns:
        SHA-1 in lower case, serial in upper case as ``modinfo`` prints sig_key; both with colons.

    Raises:
        CertificateError: it is none of these, or damaged.
    """
    if b"-----BEGIN " in data:
        return _pem(data)
    if data[:1] == bytes([_SEQUENCE]):
        return _der(data)
    try:
        return signature_list(data)
    except CertificateError as error:
        if len(data) < 4 or int.from_bytes(data[:4], "little") > 0xFF:
            raise
        try:
            return signature_list(data[4:])
        except CertificateError:
            raise error from None
