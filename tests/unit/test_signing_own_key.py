"""A key that dkms's configuration names is the one that is enrolled, on every family."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.engine import described, load_catalogue
from gpu_bringup.families.detect import family_for
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.facts import Facts, SigningKey
from gpu_bringup.model.unknown import Unknown

SYSTEMS = {
    "debian:12": "6.1.0-50-amd64",
    "ubuntu:24.04": "6.8.0-90-generic",
    "rhel:9": "5.14.0-611.5.1.el9_7.x86_64",
    "sles:15.7": "6.4.0-150700.53.22-default",
}
TOKEN = "pkcs11:token=mok;object=mok;type=private"


def facts_with(os_id: str, *keys: SigningKey) -> Facts:
    answers = Answers(gpus=("L4",), os=os_id, kernel=SYSTEMS[os_id])
    facts = described(answers, load_catalogue())
    return replace(facts, secure_boot=replace(facts.secure_boot, keys=keys))


@pytest.mark.parametrize("os_id", list(SYSTEMS))
@pytest.mark.parametrize("key", ["/root/own.key", TOKEN], ids=["file", "token"])
def test_the_named_pair_is_enrolled(os_id: str, key: str) -> None:
    shim = SigningKey("shim-signed", "/var/lib/shim-signed/mok/MOK.priv",
                      "/var/lib/shim-signed/mok/MOK.der", True, enrolled=True)  # fmt: skip
    facts = facts_with(os_id, SigningKey("dkms", key, "/root/own.der", True), shim)
    assert not isinstance(facts.os, Unknown)
    family = family_for(facts.os)
    assert family is not None
    scheme = family.signing(facts)
    assert (scheme.kind, scheme.key_path, scheme.certificate_path) == ("dkms", key, "/root/own.der")
    assert scheme.enrol.argv == ("mokutil", "--import", "/root/own.der")


@pytest.mark.parametrize("os_id", list(SYSTEMS))
def test_without_one_the_usual_pair_is(os_id: str) -> None:
    dkms = SigningKey("dkms", "/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub", False)
    facts = facts_with(os_id, dkms)
    assert not isinstance(facts.os, Unknown)
    family = family_for(facts.os)
    assert family is not None
    usual = {"ubuntu:24.04": "/var/lib/shim-signed/mok/MOK.der"}.get(os_id, "/var/lib/dkms/mok.pub")
    assert family.signing(facts).enrol.argv == ("mokutil", "--import", usual)
