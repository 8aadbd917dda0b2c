"""Rules about boards, on the project's own data: flavour, branch, mixtures, slices, the unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.facts.described import described_facts
from gpu_bringup.facts.pci import is_vgpu
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue, DriverPackage
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.facts import PciDevice, PciFacts
from gpu_bringup.model.target import Reason, Verdict
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import branch_of
from gpu_bringup.rules.capability import cuda_span
from gpu_bringup.rules.describe import board_by_id, boards_of, find_distribution, named_board
from gpu_bringup.rules.fabric import fabric, fabric_source
from gpu_bringup.rules.gpu import (
    conflict,
    gpu_branch,
    gpu_flavour,
    gpu_release,
    mixed_gpus,
    mixture,
)
from gpu_bringup.rules.guests import vgpu_guest
from gpu_bringup.rules.peers import peer_to_peer
from gpu_bringup.rules.software import gpu_cuda
from gpu_bringup.rules.subject import Board, Candidate, Rule, Subject

OPEN, CLOSED = Flavour.OPEN, Flavour.PROPRIETARY


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def subject(catalogue: Catalogue, *boards: Board) -> Subject:
    return Subject(
        catalogue,
        Answers(),
        catalogue.scenarios["long-term-stable"],
        catalogue.distributions[0],
        boards,
        (),
        None,
        date(2026, 11, 22),
    )


def driver(catalogue: Catalogue, version: str, flavour: Flavour) -> Candidate:
    package = DriverPackage(
        "x", "", branch_of(version), version, "", flavour, "dkms", "", (), (), "", (), (), ()
    )
    return Candidate(package, version, flavour, catalogue.branches.get(branch_of(version)), "")


def ask(
    rule: Rule, catalogue: Catalogue, names: tuple[str, ...], version: str, flavour: Flavour
) -> list[Reason]:
    boards = tuple(named_board(name, catalogue) for name in names)
    return list(rule(subject(catalogue, *boards), driver(catalogue, version, flavour)))


@pytest.mark.parametrize(
    ("name", "version", "flavour", "blocked"),
    [
        ("B200", "580.178.04", CLOSED, True),
        ("B200", "580.178.04", OPEN, False),
        ("RTX 5090", "580.178.04", CLOSED, True),
        ("GH200", "580.178.04", CLOSED, True),
        ("H100", "580.178.04", CLOSED, False),
        ("H100", "580.178.04", OPEN, False),
        ("T4", "580.178.04", OPEN, False),
        ("V100", "580.178.04", OPEN, True),
        ("V100", "580.178.04", CLOSED, False),
        ("P40", "535.309.01", OPEN, True),
        ("M60", "535.309.01", OPEN, True),
        ("K80", "470.256.02", OPEN, True),
        ("CMP 50HX", "565.57.01", OPEN, True),
        ("CMP 50HX", "565.57.01", CLOSED, False),
        ("CMP 50HX", "580.178.04", OPEN, False),
        ("10de:2206", "550.163.01", OPEN, False),
    ],
)
def test_flavour(
    catalogue: Catalogue, name: str, version: str, flavour: Flavour, blocked: bool
) -> None:
    (reason,) = ask(gpu_flavour, catalogue, (name,), version, flavour)
    assert reason.blocking is blocked, reason.detail
    assert reason.sources


@pytest.mark.parametrize(
    ("name", "version", "blocked"),
    [
        ("V100", "580.178.04", False),
        ("V100", "590.48.01", True),
        ("K80", "470.256.02", False),
        ("K80", "535.309.01", True),
        ("GRID K1", "470.256.02", True),
        ("GRID K520", "470.256.02", False),
        ("Tesla C2075", "470.256.02", True),
        ("GeForce 8800 GTX", "390.157", True),
        ("A100", "450.248.02", False),
        ("A40", "450.248.02", True),
        ("L40S", "525.147.05", True),
        ("B300", "570.211.01", True),
        ("RTX 4070 SUPER", "535.309.01", True),
        ("RTX 4070 SUPER", "550.163.01", False),
        ("AX800", "525.147.05", True),
        ("10de:0141", "470.256.02", True),
    ],
)
def test_branch(catalogue: Catalogue, name: str, version: str, blocked: bool) -> None:
    (reason,) = ask(gpu_branch, catalogue, (name,), version, CLOSED)
    assert reason.blocking is blocked, reason.detail


def test_a_release_whose_list_leaves_the_board_out_is_not_promised(catalogue: Catalogue) -> None:
    board = ("10de:2c3a",)
    assert [r.verdict for r in ask(gpu_release, catalogue, board, "580.142", OPEN)] == [Verdict.OK]
    (left_out,) = ask(gpu_release, catalogue, board, "580.178.04", OPEN)
    assert left_out.blocking
    assert "580.159.03 and 580.178.04" in left_out.detail
    (newer,) = ask(gpu_release, catalogue, board, "595.99.02", OPEN)
    assert newer.verdict is Verdict.OK


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("V100", "B200"), "needs the open modules"),
        (("P40", "RTX 5090"), "needs the open modules"),
        (("K80", "A100"), ""),
        (("K80", "H100"), "no driver serves both"),
        (("K80", "L4"), "no driver serves both"),
        (("GRID K1", "P40"), "no driver serves both"),
        (("Tesla C2075", "T4"), "no driver serves both"),
        (("V100", "H100"), ""),
        (("RTX 3090", "A100"), ""),
        (("RTX 5090", "H200"), ""),
    ],
)
def test_mixtures_that_no_driver_serves(
    catalogue: Catalogue, names: tuple[str, ...], words: str
) -> None:
    against = mixture(subject(catalogue, *(named_board(name, catalogue) for name in names)))
    if not words:
        assert against is None
        return
    assert against is not None
    assert words in against.detail
    assert "two machines" in against.detail
    assert against.blocking


def test_a_mixture_with_a_common_driver_says_which(catalogue: Catalogue) -> None:
    (reason,) = ask(mixed_gpus, catalogue, ("V100", "H100"), "580.178.04", CLOSED)
    assert reason.verdict is Verdict.OK
    assert "the proprietary modules, because of Tesla V100" in reason.detail
    assert "nothing newer than R580" in reason.detail
    (old,) = ask(mixed_gpus, catalogue, ("K80", "P40"), "470.256.02", CLOSED)
    assert "nothing newer than R470" in old.detail


@pytest.mark.parametrize("name", ["NVIDIA L40S-8Q", "GRID T4-16C", "NVIDIA A100-3-20C"])
def test_a_slice_takes_the_guest_driver_of_its_host(catalogue: Catalogue, name: str) -> None:
    (reason,) = ask(vgpu_guest, catalogue, (name,), "580.178.04", OPEN)
    assert reason.blocking
    assert name in reason.detail
    assert "GRID guest driver" in reason.detail
    assert all(source.startswith("https://") for source in reason.sources)


def test_a_whole_board_is_no_slice(catalogue: Catalogue) -> None:
    assert ask(vgpu_guest, catalogue, ("L40S", "T4"), "580.178.04", OPEN) == []


@pytest.mark.parametrize(
    ("config", "answer"),
    [
        ("\xde\x10" + "\x00" * 62, None),
        ("\xde\x10" + "\x00" * 94 + "\t\x00\x1bVF\x01" + "\x00" * 150, True),
        ("\xde\x10" + "\x00" * 94 + "\t\ufffd\x1bVF\x01" + "\x00" * 150, True),
        ("\xde\x10" + "\x00" * 94 + "\t\x00\x14\x01\x10\x00" + "\x00" * 150, False),
        ("\xde\x10" + "\x00" * 254, False),
    ],
)
def test_a_vgpu_is_seen_by_its_vendor_capability(config: str, answer: bool | None) -> None:
    seen = is_vgpu(config)
    assert isinstance(seen, Unknown) if answer is None else seen is answer


def test_an_unknown_board_is_told_and_not_blocked(catalogue: Catalogue) -> None:
    board = board_by_id("10de:3fff", catalogue)
    one = subject(catalogue, board)
    for rule in (gpu_branch, gpu_flavour, gpu_cuda):
        reasons = list(rule(one, driver(catalogue, "620.70.06", OPEN)))
        assert [reason.verdict for reason in reasons] == [Verdict.UNKNOWN]
    placed = subject(catalogue, board_by_id("10de:23fe", catalogue))
    (reason,) = gpu_branch(placed, driver(catalogue, "580.178.04", OPEN))
    assert reason.verdict is Verdict.OK
    assert "placed as Hopper by its PCI id" in reason.detail


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("V100", "9.0", "12.9"),
        ("P40", "8.0", "12.9"),
        ("M60", "6.5", "12.9"),
        ("T4", "10.0", ""),
        ("A100", "11.0", ""),
        ("A40", "11.1", ""),
        ("L4", "11.8", ""),
        ("H100", "11.8", ""),
        ("B200", "12.8", ""),
        ("B300", "12.9", ""),
        ("GB10", "12.9", ""),
        ("K80", "5.0", "11.8"),
        ("10de:0041", "", ""),
    ],
)
def test_cuda_versions_of_a_board(catalogue: Catalogue, name: str, first: str, last: str) -> None:
    assert cuda_span(catalogue, named_board(name, catalogue)) == (first, last)


def test_what_no_branch_on_offer_drives_is_refused_in_one_sentence(catalogue: Catalogue) -> None:
    newest = catalogue.distributions[0]
    offered = min(int(package.branch) for package in newest.drivers)
    assert offered > 390
    against = conflict(subject(catalogue, named_board("Tesla C2075", catalogue)))
    assert against is not None
    assert "R390, whose support ended in December 2022, is the last driver branch" in against.detail
    assert newest.name in against.detail
    assert conflict(subject(catalogue, named_board("V100", catalogue))) is None
    sliced = conflict(subject(catalogue, named_board("L40S-8Q", catalogue)))
    assert sliced is not None
    assert sliced.rule == "vgpu-guest"


def test_geforce_boards_are_told_of_their_way_to_each_other(catalogue: Catalogue) -> None:
    (note,) = ask(peer_to_peer, catalogue, ("RTX 4090", "L40S"), "580.178.04", OPEN)
    assert note.verdict is Verdict.OK
    assert not note.blocking
    assert "users report" in note.detail
    assert ask(peer_to_peer, catalogue, ("RTX 4090",), "580.178.04", OPEN) == []
    assert ask(peer_to_peer, catalogue, ("H100", "H200"), "580.178.04", OPEN) == []


def test_a_vgpu_on_the_bus_is_refused_and_a_passed_through_gpu_is_not(catalogue: Catalogue) -> None:
    def seen(vgpu: bool) -> Reason | None:
        device = PciDevice("0000:06:00.0", "10de:26b9", "10de:1851", vgpu=vgpu)
        facts = described_facts(Answers(os="debian:12"), catalogue)
        facts = replace(facts, pci=PciFacts((device,), ()))
        boards = boards_of(facts, Answers(), catalogue)
        assert isinstance(boards, tuple)
        return conflict(subject(catalogue, *boards))

    against = seen(True)
    assert against is not None
    assert "NVIDIA L40S (vGPU) is a vGPU" in against.detail
    assert seen(False) is None


@pytest.mark.parametrize(
    ("names", "system", "source", "missing"),
    [
        (("H20",), "debian:13", "distribution", "Fabric Manager"),
        (("H100",) * 8, "debian:12", "distribution", "Fabric Manager"),
        (("H100",), "debian:12", "distribution", ""),
        (("B200",), "ubuntu:24.04", "distribution", "NVLSM"),
        (("GB200",), "ubuntu:24.04", "distribution", ""),
        (("H20",), "ubuntu:24.04", "distribution", ""),
        (("B200",), "debian:13", "nvidia-repository", ""),
        (("L40S",), "debian:13", "distribution", ""),
    ],
)
def test_the_archive_must_have_the_fabrics_software(
    catalogue: Catalogue, names: tuple[str, ...], system: str, source: str, missing: str
) -> None:
    boards = boards_of(None, Answers(gpus=names), catalogue)
    release = find_distribution(system, catalogue)
    assert isinstance(boards, tuple)
    assert release is not None
    one = replace(subject(catalogue, *boards), distribution=release)
    candidate = replace(driver(catalogue, "580.178.04", OPEN), source_kind=source)
    reasons = list(fabric_source(one, candidate))
    assert bool(reasons) is bool(missing)
    if missing:
        assert reasons[0].blocking
        assert f"has no {missing}, which" in reasons[0].detail
        assert "580.178.04" in reasons[0].detail


def test_the_fabrics_software_is_named_in_the_drivers_version(catalogue: Catalogue) -> None:
    (reason,) = ask(fabric, catalogue, ("B300",), "580.178.04", OPEN)
    assert "Fabric Manager of exactly version 580.178.04 and NVLSM" in reason.detail
    (tray,) = ask(fabric, catalogue, ("GB200",), "580.178.04", OPEN)
    assert "nvidia-imex of version 580.178.04" in tray.detail
