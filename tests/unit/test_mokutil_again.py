"""The real mokutil asked again for a key that is waiting, trusted or forbidden, and what is planned then.

It reads the firmware's variables from EFIVARFS_PATH (libefivar), so that no firmware is touched.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup import enrolling
from gpu_bringup.engine import load_catalogue, observe
from gpu_bringup.model.facts import Certificate
from unit import secure_record as made

pytestmark = pytest.mark.process
SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
IMAGE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"


def variables(folder: Path, name: str, guid: str) -> Path:
    """A certificate, and variables in one of which it is listed (UEFI: EFI_SIGNATURE_LIST)."""
    certificate = folder / "own.der"
    subprocess.run(
        ["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=own",
         "-outform", "DER", "-keyout", str(folder / "own.key"), "-out", str(certificate)],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    data = certificate.read_bytes()
    efi = folder / "efi"
    efi.mkdir()
    (efi / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\6\0\0\0\1")
    sizes = struct.pack("<III", 44 + len(data), 0, 16 + len(data))
    head = uuid.UUID(X509).bytes_le + sizes + uuid.UUID(SHIM).bytes_le
    (efi / f"{name}-{guid}").write_bytes(b"\7\0\0\0" + head + data)
    return certificate


@pytest.mark.parametrize(
    ("name", "guid", "text"),
    [
        ("MokNew", SHIM, "is already in the enrollment request"),
        ("MokListRT", SHIM, "is already enrolled"),
        ("db", IMAGE, "is already in db"),
        ("MokListXRT", SHIM, "is blocked in MokListX"),
    ],
)
def test_mokutil_skips_it_asks_for_no_password_and_ends_with_0(
    tmp_path: Path, name: str, guid: str, text: str
) -> None:
    assert shutil.which("mokutil"), "this test needs the package mokutil"
    certificate = variables(tmp_path, name, guid)
    before = sorted((p.name, p.read_bytes()) for p in (tmp_path / "efi").iterdir())
    done = subprocess.run(
        ["mokutil", "--import", str(certificate)], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
        env={**os.environ, "EFIVARFS_PATH": f"{tmp_path}/efi/", "LIBEFIVAR_OPS": "efivarfs"},
    )  # fmt: skip
    assert done.returncode == 0 and "SKIP: " in done.stdout and text in done.stdout
    assert sorted((p.name, p.read_bytes()) for p in (tmp_path / "efi").iterdir()) == before


def test_a_waiting_key_is_not_asked_for_again_only_the_reboot_is_left() -> None:
    plan = enrolling.enrol_again(observe(made.host(made.secure("waiting"))), load_catalogue())
    assert [step.reboot for step in plan.steps] == [True]
    assert "enrol-key" not in [step.id for step in plan.steps]
    assert "Proof after the reboot" in plan.steps[0].expect + plan.steps[0].risk


def test_an_enrolled_key_is_not_asked_for_again() -> None:
    plan = enrolling.enrol_again(observe(made.host(made.secure("enrolled"))), load_catalogue())
    assert plan.empty and "trusts the key" in plan.blocked[0]


def test_a_forbidden_key_is_never_asked_for() -> None:
    facts = observe(made.host(made.secure("not-asked")))
    own = Certificate(**made.OWN)
    facts = replace(facts, secure_boot=replace(facts.secure_boot, revoked=(own,)))
    plan = enrolling.enrol_again(facts, load_catalogue())
    assert plan.empty and "revoked" in plan.blocked[0]
