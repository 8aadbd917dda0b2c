"""The catalogue's boards held against NVIDIA's own lists: some two thousand device ids."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.catalogue.boards import index_of, is_vgpu_name
from gpu_bringup.catalogue.loader import load
from gpu_bringup.catalogue.lookup import (
    architecture_of,
    compute_capability,
    find_gpu,
    gpu_by_pci,
    suggest_gpus,
    systems_with,
)
from gpu_bringup.cli import main
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue, DriverPackage
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.recommend import recommend
from gpu_bringup.rules.describe import board_by_id, named_board
from gpu_bringup.rules.gpu import first_driver, gpu_branch, gpu_flavour, gpu_release
from gpu_bringup.rules.subject import Board, Candidate, Subject

LISTS = Path(__file__).resolve().parents[1] / "cases" / "gpus" / "nvidia-lists.json"
TODAY = date(2026, 11, 22)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


@pytest.fixture(scope="module")
def lists() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(LISTS.read_text(encoding="utf-8"))
    return content


def ids(lines: list[str]) -> list[str]:
    return [f"10de:{word}" for line in lines for word in line.split()]


def ways(catalogue: Catalogue, board: Board, version: str, flavour: Flavour) -> list[str]:
    """Why NVIDIA's driver of this version and flavour is not for this board; empty: it is."""
    package = DriverPackage(
        "x", "", branch_of(version), version, "", flavour, "dkms", "", (), (), "", (), (), ()
    )
    candidate = Candidate(package, version, flavour, catalogue.branches.get(branch_of(version)), "")
    subject = Subject(
        catalogue,
        Answers(),
        catalogue.scenarios["long-term-stable"],
        catalogue.distributions[0],
        (board,),
        (),
        None,
        TODAY,
    )
    rules = (gpu_branch, gpu_release, gpu_flavour)
    return [r.detail for rule in rules for r in rule(subject, candidate) if r.blocking]


def test_legacy_boards_end_with_nvidias_branch(catalogue: Catalogue, lists: dict[str, Any]) -> None:
    wrong = []
    for branch, lines in lists["legacy"].items():
        for pci_id in ids(lines):
            board = board_by_id(pci_id, catalogue)
            if board.last_branch != branch or board.open_modules != "unsupported":
                wrong.append((pci_id, branch, board.name, board.last_branch))
    assert wrong == []
    assert sum(len(ids(lines)) for lines in lists["legacy"].values()) > 850


def test_no_listed_board_is_called_too_old_or_too_new(
    catalogue: Catalogue, lists: dict[str, Any]
) -> None:
    """Whatever NVIDIA's list of a release names, that release may be recommended for."""
    figures: Counter[str] = Counter()
    wrong = []
    for version, lines in lists["listed"].items():
        for pci_id in ids(lines):
            board = board_by_id(pci_id, catalogue)
            figures["placed" if board.architecture else "unknown"] += 1
            figures["named"] += board.gpu is not None
            last, first = board.last_branch, first_driver(board)
            branch = int(branch_of(version))
            late = last is not None and branch > int(last)
            # A branch says no more than that: 525 stands for the first list seen, not for a release.
            early = bool(first) and branch < int(branch_of(first))
            early = early or ("." in first and driver_key(version) < driver_key(first))
            left_out = board.gpu is not None and version in board.gpu.not_listed
            if late or early or left_out:
                wrong.append((version, pci_id, board.name, first, last))
    print(dict(figures), "wrong", len(wrong))
    assert wrong == []
    assert figures["unknown"] == 0
    assert figures["named"] == figures["placed"] > 5000


def test_open_modules_go_with_nvidias_lists(catalogue: Catalogue, lists: dict[str, Any]) -> None:
    """Listed as open: the open flavour is not refused. Listed, but not as open: it is refused."""
    wrong = []
    for version, lines in lists["open"].items():
        able = set(ids(lines))
        for pci_id in able:
            why = ways(catalogue, board_by_id(pci_id, catalogue), version, Flavour.OPEN)
            if why:
                wrong.append((version, pci_id, why))
        for pci_id in set(ids(lists["listed"].get(version, []))) - able:
            if not ways(catalogue, board_by_id(pci_id, catalogue), version, Flavour.OPEN):
                wrong.append((version, pci_id, ["open isn't refused"]))
    assert wrong == []


def test_boards_that_the_newest_driver_has_need_a_flavour_that_exists(
    catalogue: Catalogue, lists: dict[str, Any]
) -> None:
    for pci_id in ids(lists["listed"]["595.99.02"]):
        board = board_by_id(pci_id, catalogue)
        assert ways(catalogue, board, "595.99.02", Flavour.OPEN) == [], pci_id
        closed = ways(catalogue, board, "595.99.02", Flavour.PROPRIETARY)
        assert bool(closed) == (board.open_modules == "required"), pci_id
        assert board.open_modules == "required" or int(pci_id[5:], 16) < 0x2900


def test_every_data_centre_board_has_its_name(catalogue: Catalogue, lists: dict[str, Any]) -> None:
    assert len(lists["names"]) > 90
    for key, name in lists["names"].items():
        device, _, subsystem = key.partition(" ")
        gpu = gpu_by_pci(catalogue, f"10de:{device}", subsystem)
        assert gpu is not None, key
        assert find_gpu(catalogue, name) is not None, name
        # The long list says more than NVIDIA's name where one name means several boards.
        said = re.sub(r"[^a-z0-9]", "", f"{gpu.name} {' '.join(gpu.aliases)}".lower())
        words = re.findall(r"[a-z]*\d+[a-z]*", name.lower().replace("nvidia ", ""))
        assert all(word in said for word in words[:1]), (key, name, gpu.name)


def test_every_chip_lies_in_its_architecture_and_has_its_capability(catalogue: Catalogue) -> None:
    taken: dict[int, str] = {}
    for chip in catalogue.chips:
        architecture = catalogue.architectures[chip.architecture]
        if chip.compute_capability:
            assert chip.compute_capability in architecture.compute_capabilities, chip.id
        for first, last in chip.pci_ranges:
            assert any(a <= first and last <= b for a, b in architecture.pci_ranges), chip.id
            for number in range(first, last + 1):
                assert taken.setdefault(number, chip.id) == chip.id


def test_every_row_of_a_chip_can_be_read(catalogue: Catalogue) -> None:
    for chip in catalogue.chips:
        seen = set()
        for line in chip.boards.splitlines():
            match = re.match(r"^([0-9a-f]{4})(:[0-9a-f]{4})?(/\d{3})? \S.*$", line)
            assert match, (chip.id, line)
            number = int(match[1], 16)
            assert any(a <= number <= b for a, b in chip.pci_ranges), (chip.id, line)
            assert match[0].split(" ")[0] not in seen
            seen.add(match[0].split(" ")[0])
            if match[3]:
                assert match[3][1:] in catalogue.branches, line


def test_long_list_and_chips_agree(catalogue: Catalogue) -> None:
    for gpu in catalogue.gpus:
        for pci_id in gpu.pci_ids:
            chip = index_of(catalogue).chip(pci_id)
            assert chip is not None, (gpu.id, pci_id)
            assert chip.architecture == gpu.architecture, (gpu.id, pci_id)
            assert chip.compute_capability in ("", gpu.compute_capability), (gpu.id, pci_id)


@pytest.mark.parametrize(
    ("pci_id", "name", "capability"),
    [
        ("10de:2206", "GeForce RTX 3080", "8.6"),
        ("10de:1b80", "GeForce GTX 1080", "6.1"),
        ("10de:1d81", "TITAN V", "7.0"),
        ("10de:2c02", "GeForce RTX 5080", "12.0"),
        ("10de:1287", "GeForce GT 730", "3.5"),
        ("10de:102d", "Tesla K80", "3.7"),
        ("10de:2e12", "NVIDIA GB10", "12.1"),
        ("10de:06d1", "Tesla C2050 / C2070", "2.0"),
    ],
)
def test_boards_of_the_compact_table(
    catalogue: Catalogue, pci_id: str, name: str, capability: str
) -> None:
    board = board_by_id(pci_id, catalogue)
    assert board.gpu is not None
    assert board.name == name
    assert compute_capability(catalogue, pci_id) == capability
    assert named_board(name, catalogue).architecture == board.architecture


@pytest.mark.parametrize(
    ("pci_id", "subsystem", "name"),
    [
        ("10de:25b6", "10de:157e", "NVIDIA A2"),
        ("10de:25b6", "10de:14a9", "NVIDIA A16"),
        ("10de:20f5", "10de:179a", "NVIDIA A800 80GB PCIe LC"),
        ("10de:20f5", "10de:1799", "NVIDIA A800 PCIe 80GB"),
        ("10de:20b0", "10de:1450", "NVIDIA A100-PG509-200"),
        ("10de:20b0", "10de:134f", "NVIDIA A100 SXM4 40GB"),
        ("10de:1e30", "10de:129e", "Quadro RTX 8000"),
        ("10de:1e30", "1028:129e", "Quadro RTX 8000"),
        ("10de:1e30", "10de:12ba", "Quadro RTX 6000"),
        ("10de:2bb3", "17aa:227a", "RTX PRO 5000 72GB Blackwell"),
        ("10de:13f2", "10de:1150", "GRID M60-8Q"),
    ],
)
def test_the_subsystem_tells_boards_with_one_id_apart(
    catalogue: Catalogue, pci_id: str, subsystem: str, name: str
) -> None:
    assert board_by_id(pci_id, catalogue, subsystem).name == name


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("H100 80", "NVIDIA H100 SXM5 80GB"),
        ("rtx6000 pro", "RTX PRO 6000 Blackwell Server Edition"),
        ("a100 80gb sxm5", "NVIDIA A100 SXM4 80GB"),
        ("b20", "NVIDIA B200"),
        ("geforce 3080 oc", "GeForce RTX 3080"),
        ("h200 nvl 141", "NVIDIA H200 NVL"),
        ("tesla v100 sxm", "Tesla V100 SXM2 16GB"),
    ],
)
def test_near_misses_find_their_board(catalogue: Catalogue, text: str, near: str) -> None:
    assert find_gpu(catalogue, text) is None
    assert near in suggest_gpus(catalogue, text)[:3]


def test_names_as_people_type_them(catalogue: Catalogue) -> None:
    for text, pci_id in (
        ("a100-80gb", "10de:20b2"),
        ("RTX 3080", "10de:2206"),
        ("gtx1080", "10de:1b80"),
        ("nvidia geforce rtx 5080", "10de:2c02"),
        ("V100 32GB", "10de:1db5"),
        ("10DE:2330", "10de:2330"),
        ("CMP 40HX", "10de:1f0b"),
    ):
        gpu = find_gpu(catalogue, text)
        assert gpu is not None, text
        assert pci_id in gpu.pci_ids, (text, gpu.name)
    assert suggest_gpus(catalogue, "") == ()
    assert suggest_gpus(catalogue, "%%%%") == ()


@pytest.mark.parametrize(
    ("name", "vgpu"),
    [
        ("NVIDIA L40S-8Q", True),
        ("GRID T4-16C", True),
        ("GRID M10-8Q", True),
        ("NVIDIA A100-3-20C", True),
        ("NVIDIA A16-2B", True),
        ("NVIDIA RTX6000-Ada-24Q", False),
        ("GRID V100D-32Q", True),
        ("NVIDIA H100XM-80C", True),
        ("NVIDIA H100 80GB HBM3", False),
        ("Tesla V100-SXM2-16GB", False),
        ("NVIDIA A100-PG509-200", False),
        ("NVIDIA GB300-252", False),
        ("Tesla T4", False),
        ("GRID K520", False),
    ],
)
def test_names_of_slices(name: str, vgpu: bool) -> None:
    assert is_vgpu_name(name) is vgpu


def test_no_board_has_the_name_of_a_slice(catalogue: Catalogue) -> None:
    assert [name for name, _ in index_of(catalogue).names() if is_vgpu_name(name)] == []


def test_systems_name_boards_that_exist_and_fit(catalogue: Catalogue) -> None:
    known = {gpu.id: gpu for gpu in catalogue.gpus}
    assert len(catalogue.systems) >= 10
    for system in catalogue.systems:
        assert system.gpus, system.id
        for gpu_id in system.gpus:
            gpu = known[gpu_id]
            fits = {system.fabric, "nvswitch-board"} | (
                {"none"} if system.fabric == "none" else set()
            )
            assert gpu.fabric in fits, (system.id, gpu_id, gpu.fabric)
            if gpu.first_driver:
                assert int(system.first_branch) <= int(branch_of(gpu.first_driver)), (
                    system.id,
                    gpu_id,
                )
        for switch in system.switch_ids:
            assert switch in catalogue.nvswitch_ids
            assert architecture_of(catalogue, switch) is None
    assert {s.id for s in systems_with(catalogue, "h100-sxm5-80gb")} == {
        "hgx-h100-8-gpu",
        "hgx-h100-4-gpu",
    }


def test_the_wholly_unknown_is_said_to_be_unknown(catalogue: Catalogue) -> None:
    board = board_by_id("10de:3fff", catalogue)
    assert (board.gpu, board.architecture, board.open_modules) == (None, None, "unknown")
    assert ways(catalogue, board, "620.70.06", Flavour.OPEN) == []
    assert compute_capability(catalogue, "10de:3fff") == ""
    assert gpu_by_pci(catalogue, "8086:2330") is None
    assert architecture_of(catalogue, "10de:xyz") is None


def test_unlisted_ids_are_placed_by_their_block(catalogue: Catalogue) -> None:
    for pci_id, architecture in (
        ("10de:23ff", "hopper"),
        ("10de:2a00", None),
        ("10de:3190", "blackwell-ultra"),
        ("10de:2cf0", None),
        ("10de:30c5", "rubin"),
        ("10de:1d6f", "pascal"),
    ):
        place = architecture_of(catalogue, pci_id)
        assert (place.id if place else None) == architecture, pci_id


OS = ("debian:12", "ubuntu:24.04", "rhel:9")


@pytest.mark.parametrize("system", OS)
def test_what_is_recommended_drives_the_board_by_nvidias_lists(
    catalogue: Catalogue, lists: dict[str, Any], system: str
) -> None:
    """For every board that a list names: a branch whose list has it, in a flavour that it takes."""
    by_branch: dict[str, set[str]] = {}
    for version, lines in lists["listed"].items():
        by_branch.setdefault(branch_of(version), set()).update(ids(lines))
    newest_open = set(ids(lists["open"]["615.71.09"])) | set(ids(lists["open"]["595.99.02"]))
    legacy = {i: b for b, lines in lists["legacy"].items() for i in ids(lines)}
    every = set().union(*by_branch.values()) | set(legacy)
    figures: Counter[str] = Counter()
    wrong = []
    for pci_id in sorted(every):
        answers = Answers(gpus=(pci_id,), os=system)
        chosen = recommend(None, answers, catalogue).chosen
        figures["recommended" if chosen else "refused"] += 1
        if chosen is None:
            if pci_id in newest_open:
                wrong.append((pci_id, "refused"))
            continue
        version, flavour = chosen.target.driver.version, chosen.target.driver.flavour
        branch = branch_of(version)
        # Releases newer than the lists that were read follow the newest of them.
        listed = by_branch.get(branch, newest_open if int(branch) > 615 else None)
        ended = pci_id in legacy and int(branch) > int(legacy[pci_id])
        unlisted = listed is not None and pci_id not in listed and pci_id in newest_open
        closed_only = flavour is Flavour.OPEN and pci_id in legacy
        open_only = flavour is not Flavour.OPEN and int(pci_id[5:], 16) >= 0x2900
        if ended or unlisted or closed_only or open_only:
            wrong.append((pci_id, version, flavour.value))
    print(system, dict(figures), "wrong", len(wrong))
    assert wrong == []
    assert figures["recommended"] > 400


def test_profiles_shows_a_board_of_the_compact_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles", "show", "RTX 3080"]) == 0
    shown = capsys.readouterr().out
    assert "GeForce RTX 3080" in shown
    assert "compute capability 8.6" in shown
    assert "profiles/catalogue/chips.toml" in shown
