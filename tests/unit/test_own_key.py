"""The operator's own signing key: the plan's steps, the flags, and what is said where it isn't used."""

from __future__ import annotations

import subprocess
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.commands.wish import own_key
from gpu_bringup.engine import described, examine, load_catalogue
from gpu_bringup.errors import InputError
from gpu_bringup.ladder import signature
from gpu_bringup.ladder.base import Context
from gpu_bringup.ladder.ladder import climb
from gpu_bringup.ladder.signing import (
    DKMS_SIGNING,
    OWN_CERTIFICATE,
    OWN_KEY,
    PUT_BACK,
    own_key_named,
)
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.enums import SecureBoot
from gpu_bringup.model.facts import Certificate, Facts, ModuleFile, SigningKey
from gpu_bringup.model.ladder import State
from gpu_bringup.model.plan import Plan, Step
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.plan import make_plan
from unit import make_facts as make

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "own-key.sh"
PAIR = ("/root/own.key", "/root/own.der")
TOKEN = "pkcs11:token=mok;object=mok;type=private?pin-source=file:/root/pin"
KERNELS = {
    "debian:11": "5.10.0-36-amd64",
    "debian:12": "6.1.0-50-amd64",
    "ubuntu:24.04": "6.8.0-90-generic",
    "rhel:9": "5.14.0-611.5.1.el9_7.x86_64",
    "sles:15.7": "6.4.0-150700.53.22-default",
}
SHIM = ("/var/lib/shim-signed/mok/MOK.priv", "/var/lib/shim-signed/mok/MOK.der")
AKMODS = ("/etc/pki/akmods/private/private_key.priv", "/etc/pki/akmods/certs/public_key.der")
DKMS = ("/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub")


def plan_for(
    os_id: str,
    *keys: SigningKey,
    pair: tuple[str, str] = ("", ""),
    source: str = "nvidia-repository",
    secure_boot: bool = True,
    driver: str = "",
) -> Plan:
    answers = Answers(gpus=("L4",), os=os_id, kernel=KERNELS[os_id], secure_boot=secure_boot,
                      source=SourceKind(source) if source else None, driver=driver,
                      signing_key=pair[0], signing_certificate=pair[1])  # fmt: skip
    catalogue = load_catalogue()
    facts = described(answers, catalogue)
    if keys:
        facts = replace(facts, secure_boot=replace(facts.secure_boot, keys=keys))
    return examine(None, facts, answers, catalogue).plan


def step(plan: Plan, step_id: str) -> Step:
    (found,) = [item for item in plan.steps if item.id == step_id]
    return found


def built_here(plan: Plan) -> bool:
    """Does dkms build the modules?"""
    return any(step.id.startswith("build-module-") for step in plan.steps)


def told(plan: Plan) -> tuple[str, ...]:
    """The pair that dkms is told of; empty: of none."""
    argvs = [c.argv for s in plan.steps for c in s.commands if OWN_KEY in c.argv]
    assert len(argvs) <= 1
    return argvs[0][3:5] if argvs else ()


# --- the plan -------------------------------------------------------------------------------------


@pytest.mark.parametrize("os_id", ["debian:12", "rhel:9"])
@pytest.mark.parametrize("key", [PAIR[0], TOKEN], ids=["file", "token"])
def test_the_key_is_tried_before_the_build_and_its_certificate_is_enrolled(
    os_id: str, key: str
) -> None:
    plan = plan_for(os_id, pair=(key, PAIR[1]))
    order = [item.id for item in plan.steps]
    assert order.index("signing-key") < order.index("driver") < order.index("enrol-key")
    sign = step(plan, "signing-key")
    (write,) = [w for w in sign.writes if w.path == OWN_KEY]
    assert write.content == SCRIPT.read_text(encoding="utf-8")
    argv = ("sh", OWN_KEY, KERNELS[os_id], key, PAIR[1], DKMS_SIGNING, OWN_CERTIFICATE)
    assert argv in [command.argv for command in sign.commands]
    undone = [command.argv for command in sign.undo]
    for path in (DKMS_SIGNING, OWN_CERTIFICATE):
        assert ("sh", "-c", PUT_BACK, "sh", path) in undone
    # Not the operator's own file: somebody might have changed it since the check.
    assert step(plan, "enrol-key").commands[0].argv == ("mokutil", "--import", OWN_CERTIFICATE)


def test_what_a_token_or_a_file_costs_later_is_said_before() -> None:
    token = step(plan_for("debian:12", pair=(TOKEN, PAIR[1])), "signing-key")
    assert "PIN must be there whenever a kernel is upgraded" in token.risk
    file = step(plan_for("debian:12", pair=PAIR), "signing-key")
    assert "must stay where it is" in file.risk


def test_on_debian_11_the_script_of_dkms_2_finds_the_pair_in_the_same_configuration() -> None:
    sign = step(plan_for("debian:11", pair=PAIR, source="", driver="535"), "signing-key")
    argvs = [command.argv for command in sign.commands]
    tried = next(n for n, argv in enumerate(argvs) if OWN_KEY in argv)
    assert argvs[tried + 1][-1] == "--make-key"
    assert any('sign_tool="' in " ".join(argv) for argv in argvs)


def test_a_key_counts_without_secure_boot_too() -> None:
    assert told(plan_for("debian:12", pair=PAIR, secure_boot=False)) == PAIR
    assert told(plan_for("debian:12", secure_boot=False)) == ()


@pytest.mark.parametrize("os_id", ["ubuntu:24.04", "sles:15.7"])
def test_where_modules_come_ready_made_the_plan_says_that_the_key_is_not_used(os_id: str) -> None:
    plain, named = (plan_for(os_id, pair=pair, source="") for pair in (("", ""), PAIR))
    assert not built_here(plain)
    said = [text for text in named.blocked if "signing key that you named is not used" in text]
    assert len(said) == 1
    assert named.steps == plain.steps
    assert not any("signing key that you named" in text for text in plain.blocked)


# --- a host whose driver stands --------------------------------------------------------------------


def key_of(name: str, pair: tuple[str, str], **more: bool) -> SigningKey:
    certificate = Certificate(name * 20, "Own key", name)
    return SigningKey("dkms", *pair, True, certificate, **more)


def standing(signer: str, serial: str, key: SigningKey, *, enforced: bool = True) -> Context:
    """A healthy host whose modules bear this signature, and a wish for an own key."""
    facts: Facts = make.healthy()
    files = facts.modules.files
    assert isinstance(files, tuple)
    signed = tuple(replace(file, signer=signer, signature_key=serial) for file in files)
    state = SecureBoot.ENABLED if enforced else SecureBoot.DISABLED
    enrolled = (key.certificate,) if isinstance(key.certificate, Certificate) else ()
    secure = replace(facts.secure_boot, state=state, sig_enforce=enforced, lockdown="none",
                     keys=(key,), enrolled=enrolled, pending=())  # fmt: skip
    facts = replace(facts, modules=replace(facts.modules, files=signed), secure_boot=secure)
    target = replace(make.TARGET, signing_key=PAIR[0], signing_certificate=PAIR[1])
    return make.context(facts, target)


@pytest.mark.parametrize("enforced", [True, False])
def test_modules_of_dkmss_own_key_are_built_anew_with_the_named_one(enforced: bool) -> None:
    ctx = standing(make.SIGNER, "01", key_of("01", DKMS, enrolled=True), enforced=enforced)
    found = signature.check(ctx)
    assert found.state is State.BROKEN
    assert "don't bear the key that you named" in found.summary
    steps = signature.repair(ctx)
    ids = [item.id for item in steps]
    assert ids.index("signing-key") < ids.index(f"sign-module-{make.KERNEL}")
    assert ("enrol-key" in ids) is False or enforced


def test_with_the_named_key_on_every_module_there_is_nothing_to_do() -> None:
    ctx = standing("Own key", "02", key_of("02", PAIR, enrolled=True))
    assert own_key_named(ctx)
    assert signature.check(ctx).state is State.OK


def test_the_same_key_with_a_new_certificate_is_told_again() -> None:
    ctx = standing("Own key", "02", key_of("02", (PAIR[0], "/root/old.der"), enrolled=True))
    assert signature.check(ctx).state is State.BROKEN
    assert "signing-key" in [item.id for item in signature.repair(ctx)]


def test_an_unreadable_certificate_does_not_start_a_build() -> None:
    key = replace(key_of("02", PAIR), certificate=Unknown("read by root only"))
    ctx = standing("Own key", "02", key)
    assert not any(item.id.startswith("sign-module") for item in signature.repair(ctx))


# --- one key a host --------------------------------------------------------------------------------


def present(kind: str, pair: tuple[str, str], *, enrolled: bool = True) -> SigningKey:
    return SigningKey(kind, *pair, True, enrolled=enrolled, pending=False)


def absent(kind: str, pair: tuple[str, str]) -> SigningKey:
    return SigningKey(kind, *pair, False, enrolled=False, pending=False)


@pytest.mark.parametrize("enrolled", [True, False])
@pytest.mark.parametrize(
    ("os_id", "keys", "expected"),
    [
        # Ubuntu's dkms takes shim-signed's pair unasked, Debian's and Red Hat's their own.
        ("ubuntu:24.04", {"shim-signed": SHIM}, ()),
        ("debian:12", {"dkms": DKMS}, ()),
        ("rhel:9", {"dkms": DKMS}, ()),
        # A pair that the host has for other modules: dkms would make a second one beside it.
        ("ubuntu:24.04", {"dkms": DKMS}, DKMS),
        ("debian:12", {"shim-signed": SHIM}, SHIM),
        ("rhel:9", {"akmods": AKMODS}, AKMODS),
    ],
)
def test_a_key_that_is_there_is_the_one_that_signs(
    os_id: str, keys: dict[str, tuple[str, str]], expected: tuple[str, ...], enrolled: bool
) -> None:
    usual = {"dkms": DKMS, "shim-signed": SHIM, "akmods": AKMODS}
    known = [present(k, keys[k], enrolled=enrolled) if k in keys else absent(k, usual[k])
             for k in usual]  # fmt: skip
    plan = plan_for(os_id, *known)
    assert built_here(plan)
    assert told(plan) == expected
    made = [c.argv for s in plan.steps for c in s.commands]
    assert not any(
        "--new-key" in argv or "kmodgenca" in argv or "--make-key" in argv for argv in made
    )
    imported = [argv[-1] for argv in made if argv[:2] == ("mokutil", "--import")]
    assert imported == ([] if enrolled else [next(iter(keys.values()))[1]])


def test_a_key_is_made_only_where_none_is_known_to_exist() -> None:
    none = (absent("dkms", DKMS), absent("shim-signed", SHIM))
    fresh = plan_for("ubuntu:24.04", *none)
    assert ("update-secureboot-policy", "--new-key") in [
        command.argv for command in step(fresh, "signing-key").commands
    ]
    # Not known is not absent: a second key would orphan an enrolled one.
    vague = replace(none[1], exists=Unknown("read by root only"))
    unsure = plan_for("ubuntu:24.04", none[0], vague)
    assert not any("--new-key" in c.argv for s in unsure.steps for c in s.commands)


# --- words where no key of the firmware helps ------------------------------------------------------


def refused(serial: str = "07", **secure: object) -> Context:
    facts = make.healthy()
    files = facts.modules.files
    assert isinstance(files, tuple)
    signed: tuple[ModuleFile, ...] = tuple(
        replace(file, signer="Own key", signature_key=serial) for file in files
    )
    key = key_of("07", DKMS, enrolled=bool(secure.get("enrolled")))
    settings = {"keys": (key,), "pending": (), "enrolled": (), "lockdown": "none", **secure}
    modules = replace(facts.modules, files=signed, loaded_version=None)
    return make.context(replace(facts, modules=modules,
                                secure_boot=replace(facts.secure_boot, **settings)))  # fmt: skip


def test_a_revoked_key_is_named_as_such_and_not_enrolled_again() -> None:
    certificate = key_of("07", DKMS).certificate
    ctx = refused(state=SecureBoot.ENABLED, sig_enforce=True, enrolled=(certificate,),
                  revoked=(certificate,))  # fmt: skip
    found = signature.check(ctx)
    assert found.causes[0].cause == "sb-key-revoked"
    assert "enrolling it again doesn't help" in found.summary


@pytest.mark.parametrize("state", [SecureBoot.UNSUPPORTED, SecureBoot.DISABLED])
@pytest.mark.parametrize(
    ("policy", "source"),
    [({"sig_enforce": True}, "sig_enforce"), ({"sig_enforce": False, "lockdown": "integrity"}, "lockdown")],
)  # fmt: skip
def test_a_policy_of_the_kernels_own_is_told_from_secure_boot(
    state: SecureBoot, policy: dict[str, object], source: str
) -> None:
    ctx = refused(state=state, **policy)
    found = signature.check(ctx)
    assert found.causes[0].cause == "kernel-lockdown"
    assert "keys of the firmware don't count" in found.summary
    assert source in found.causes[0].evidence[0].source
    steps = signature.repair(ctx)
    assert not any("mokutil" in c.argv for s in steps for c in s.commands)


def test_what_only_a_person_can_do_about_it_is_in_the_plan() -> None:
    ctx = refused(state=SecureBoot.UNSUPPORTED, sig_enforce=True)
    plan = make_plan(ctx, climb(ctx))
    assert plan.blocked


# --- the flags -------------------------------------------------------------------------------------


def flags(key: str | None, certificate: str | None) -> tuple[str, str]:
    return own_key(Namespace(signing_key=key, signing_certificate=certificate))


def test_files_are_named_by_their_whole_path_and_a_uri_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert flags("a.key", "a.der") == (f"{tmp_path}/a.key", f"{tmp_path}/a.der")
    assert flags(TOKEN, "/root/a.der") == (TOKEN, "/root/a.der")
    assert flags(None, None) == ("", "")


@pytest.mark.parametrize(
    ("key", "certificate", "said"),
    [
        ("a.key", None, "belong together"),
        (None, "a.der", "belong together"),
        ("pkcs11:token=mok?pin-value=4711", "a.der", "PIN itself"),
        ("a key", "a.der", "spaces"),
        ('a"; touch /tmp/x; "', "a.der", "quotes"),
        ("a$(id)", "a.der", "$"),
        ("a.key", "a`id`.der", "quotes"),
        ("a.key", "a.der\nsign_file=/tmp/x", "spaces"),
    ],
)
def test_flags_that_cannot_be_meant(key: str | None, certificate: str | None, said: str) -> None:
    with pytest.raises(InputError) as raised:
        flags(key, certificate)
    assert said in str(raised.value)
    assert "4711" not in str(raised.value)


@pytest.mark.process
def test_an_older_file_of_ours_comes_back(tmp_path: Path) -> None:
    """Run for real: with an older file kept beside it, and without."""
    place = tmp_path / "signing.conf"
    place.write_text("new")
    (tmp_path / "signing.conf.before").write_text("older")
    for left in (["signing.conf"], []):
        subprocess.run(["sh", "-c", PUT_BACK, "sh", str(place)], check=True)
        assert [path.name for path in tmp_path.iterdir()] == left
        if left:
            assert place.read_text() == "older"
