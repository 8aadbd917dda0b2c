"""The compiler that built the kernel, against those that the system offers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.target import Verdict
from gpu_bringup.rules.compiler import compiler_kernel
from gpu_bringup.rules.release import target_kernel
from gpu_bringup.rules.subject import Candidate, Subject, TargetKernel
from small_catalogue import CATALOGUE, DEBIAN13, OPEN, UBUNTU

PACKAGE = DEBIAN13.drivers[0]
CANDIDATE = Candidate(PACKAGE, "550.163.01", OPEN, CATALOGUE.branches["550"], "distribution")
OFFERING = replace(DEBIAN13, compilers=("gcc-12", "gcc-13", "gcc-14"))


def subject(*kernels: TargetKernel, offering: bool = True) -> Subject:
    return Subject(
        catalogue=CATALOGUE,
        answers=Answers(),
        scenario=CATALOGUE.scenarios["long-term-stable"],
        distribution=OFFERING if offering else DEBIAN13,
        boards=(),
        kernels=kernels,
        secure_boot=False,
        today=date(2026, 11, 22),
    )


def kernel(compiler: str, present: bool | None) -> TargetKernel:
    found = target_kernel("6.12.107+deb13-amd64")
    return replace(found, compiler=compiler, compiler_present=present)


@pytest.mark.parametrize(
    ("compiler", "present", "verdict", "words"),
    [
        ("gcc-14", True, Verdict.OK, "is installed"),
        ("gcc-14", False, Verdict.OK, "has as a package"),
        ("gcc-13", None, Verdict.OK, "has as a package"),
        ("gcc-15", False, Verdict.VIOLATED, "an older gcc may refuse the options"),
        ("gcc-11", False, Verdict.VIOLATED, "doesn't have"),
        ("clang", False, Verdict.VIOLATED, "gcc-12, gcc-13, gcc-14"),
        # A compiler that the system doesn't offer is no worry where it is installed.
        ("gcc-15", True, Verdict.OK, "is installed"),
    ],
)
def test_compilers(compiler: str, present: bool | None, verdict: Verdict, words: str) -> None:
    (reason,) = compiler_kernel(subject(kernel(compiler, present)), CANDIDATE)
    assert (reason.rule, reason.verdict) == ("compiler-kernel", verdict)
    assert words in reason.detail
    assert not reason.blocking


def test_only_an_older_gcc_refuses_options() -> None:
    (reason,) = compiler_kernel(subject(kernel("gcc-11", False)), CANDIDATE)
    assert "refuse" not in reason.detail


def test_what_a_system_offers_may_be_unknown() -> None:
    (reason,) = compiler_kernel(subject(kernel("gcc-14", False), offering=False), CANDIDATE)
    assert reason.verdict is Verdict.UNKNOWN


def test_each_kernel_is_told_and_an_unknown_compiler_is_not() -> None:
    kernels = (kernel("gcc-14", True), kernel("", None), kernel("gcc-15", False))
    found = [reason.verdict for reason in compiler_kernel(subject(*kernels), CANDIDATE)]
    assert found == [Verdict.OK, Verdict.VIOLATED]


def test_ready_made_modules_need_no_compiler() -> None:
    prebuilt = next(p for p in UBUNTU.drivers if p.route == "prebuilt")
    candidate = replace(CANDIDATE, package=prebuilt)
    assert list(compiler_kernel(subject(kernel("gcc-15", False)), candidate)) == []


def test_debians_kernels_are_built_by_compilers_that_their_release_has() -> None:
    by_version = {d.version: d for d in load().distributions if d.os_id == "debian"}
    for version, compiler in (("11", "gcc-10"), ("12", "gcc-12"), ("13", "gcc-14")):
        assert compiler in by_version[version].compilers
