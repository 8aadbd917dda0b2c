"""Certificates made by the real openssl, and damaged ones."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest

from gpu_bringup.hosts.certificates import (
    EFI_CERT_X509,
    CertificateError,
    read_certificates,
    signature_list,
)
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.unknown import Unknown

SHA256 = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328").bytes_le
OWNER = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23").bytes_le

pytestmark = pytest.mark.process


def _openssl(*arguments: str) -> str:
    return subprocess.run(
        ("openssl", *arguments), check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module", params=["rsa", "ec", "utf8-no-cn"])
def der(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    key = ("rsa:2048",) if request.param == "rsa" else ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    subject = (
        "/O=Größe/OU=Einheit"
        if request.param == "utf8-no-cn"
        else "/O=x/CN=DKMS module signing key"
    )
    path = folder / "mok.pub"
    _openssl(
        *("req", "-x509", "-new", "-nodes", "-newkey", *key, "-days", "3650", "-utf8"),
        *(
            "-subj",
            subject,
            "-outform",
            "DER",
            "-out",
            str(path),
            "-keyout",
            str(folder / "mok.key"),
        ),
    )
    return path


def _list(kind: bytes, *entries: bytes) -> bytes:
    size = len(entries[0]) + 16
    head = kind + b"".join(
        number.to_bytes(4, "little") for number in (28 + size * len(entries), 0, size)
    )
    return head + b"".join(OWNER + entry for entry in entries)


def test_openssl_says_the_same(der: Path) -> None:
    (certificate,) = read_certificates(der.read_bytes())
    said = _openssl("x509", "-inform", "DER", "-in", str(der), "-noout", "-fingerprint", "-serial")
    fingerprint, serial = (line.partition("=")[2] for line in said.splitlines())
    assert certificate.sha1.upper() == fingerprint
    assert certificate.serial.replace(":", "") == serial
    assert certificate.subject in ("DKMS module signing key", "Einheit")


def test_pem_lists_and_variables(der: Path) -> None:
    data = der.read_bytes()
    expected = read_certificates(data)
    pem = _openssl("x509", "-inform", "DER", "-in", str(der)).encode()
    assert read_certificates(pem) == expected
    assert read_certificates(b"# bundle\n" + pem + b"\n" + pem) == expected * 2
    assert read_certificates(data + data) == expected * 2
    hashes = _list(SHA256, b"\0" * 32, b"\1" * 32)
    both = hashes + _list(EFI_CERT_X509, data) + _list(EFI_CERT_X509, data)
    assert signature_list(both) == expected * 2
    assert read_certificates(both) == expected * 2
    # efivarfs: the attributes come first.
    assert read_certificates(b"\x06\0\0\0" + both) == expected * 2
    assert read_certificates(b"\x07\0\0\0" + hashes) == ()
    assert read_certificates(b"\x07\0\0\0") == ()
    assert read_certificates(b"") == ()


def test_every_truncation_is_an_error_and_nothing_else(der: Path) -> None:
    data = der.read_bytes()
    for end in range(1, len(data)):
        with pytest.raises(CertificateError):
            read_certificates(data[:end])
    listed = _list(EFI_CERT_X509, data)
    for end in range(5, len(listed)):
        with pytest.raises(CertificateError):
            read_certificates(listed[:end])


def test_flipped_bytes_never_crash(der: Path) -> None:
    data = der.read_bytes()
    for at in range(min(len(data), 400)):
        for value in (0x00, 0x7F, 0x80, 0xFF):
            damaged = data[:at] + bytes([value]) + data[at + 1 :]
            try:
                found = read_certificates(damaged)
            except CertificateError:
                continue
            assert all(len(certificate.sha1) == 59 for certificate in found)


def test_the_host_reads_them(der: Path, tmp_path: Path) -> None:
    host = LocalHost()
    found = host.certificates(str(der))
    assert isinstance(found, tuple)
    assert len(found) == 1
    assert host.certificates(str(tmp_path / "none")) is None
    junk = tmp_path / "junk"
    junk.write_bytes(b"hello, no certificate")
    answer = host.certificates(str(junk))
    assert isinstance(answer, Unknown)
    assert "no certificate that can be read" in answer.reason
