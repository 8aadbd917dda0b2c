"""The project's data and its loader."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import jsonschema
import pytest

from gpu_bringup.catalogue.loader import check_folder, load
from gpu_bringup.catalogue.lookup import (
    architecture_of,
    distribution,
    find_gpu,
    gpu_by_pci,
    suggest_gpus,
    toolkit_for_driver,
)
from gpu_bringup.catalogue.schema import schema_files
from gpu_bringup.errors import InputError
from gpu_bringup.model.catalogue import Catalogue

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROFILES = Path(__file__).resolve().parents[2] / "profiles"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def test_every_file_fits_its_schema() -> None:
    schemas = {
        path.name.removesuffix(".schema.json"): json.loads(path.read_text(encoding="utf-8"))
        for path in (PROFILES / "schema").glob("*.schema.json")
    }
    seen = 0
    for path in PROFILES.rglob("*.toml"):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        plain = json.loads(json.dumps(data, default=str))
        for kind in plain:
            if kind == "as_of":
                continue
            jsonschema.validate({kind: plain[kind]}, schemas[kind])
            seen += len(plain[kind])
    assert seen > 300


def test_schema_files_are_current() -> None:
    for name, text in schema_files().items():
        assert (PROFILES / "schema" / name).read_text(encoding="utf-8") == text, name


def test_every_source_is_used(catalogue: Catalogue) -> None:
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in PROFILES.rglob("*.toml")
        if path.name != "sources.toml"
    )
    unused = [source for source in catalogue.sources if f'"{source}"' not in text]
    assert unused == []


def test_ranges_do_not_overlap_and_place_every_board(catalogue: Catalogue) -> None:
    ranges = sorted(
        (first, last, item.id)
        for item in catalogue.architectures.values()
        for first, last in item.pci_ranges
    )
    for (_, last, left), (first, _, right) in itertools.pairwise(ranges):
        assert last < first, (left, right)
    for gpu in catalogue.gpus:
        for pci_id in gpu.pci_ids:
            number = int(pci_id.split(":")[1], 16)
            places = catalogue.architectures[gpu.architecture].pci_ranges
            assert any(first <= number <= last for first, last in places), gpu.name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("H100", "NVIDIA H100 SXM5 80GB"),
        ("10DE:2330", "NVIDIA H100 SXM5 80GB"),
        ("nvidia h200", "NVIDIA H200 SXM"),
        ("b200", "NVIDIA B200"),
        ("a100", "NVIDIA A100 SXM4 80GB"),
        ("rtx-4090", "GeForce RTX 4090"),
        ("T4", "Tesla T4"),
    ],
)
def test_names_that_people_type(catalogue: Catalogue, text: str, name: str) -> None:
    found = find_gpu(catalogue, text)
    assert found is not None
    assert found.name == name


def test_unlisted_boards_are_placed_and_others_are_not(catalogue: Catalogue) -> None:
    placed = architecture_of(catalogue, "10de:23ff")
    assert placed is not None
    assert placed.name == "Hopper"
    assert architecture_of(catalogue, "10de:ffff") is None
    assert architecture_of(catalogue, "1002:2330") is None
    assert architecture_of(catalogue, "10de:zzzz") is None
    assert find_gpu(catalogue, "H1000") is None
    assert any("H100" in name for name in suggest_gpus(catalogue, "H1000"))


def test_the_subsystem_tells_boards_with_one_id_apart(catalogue: Catalogue) -> None:
    a16 = gpu_by_pci(catalogue, "10de:25b6", "10de:14a9")
    a2 = gpu_by_pci(catalogue, "10de:25b6", "10de:157e")
    assert a16 is not None
    assert a2 is not None
    assert (a16.name, a2.name) == ("NVIDIA A16", "NVIDIA A2")


@pytest.mark.parametrize(
    ("os_id", "version", "name"),
    [
        ("debian", "13", "Debian 13 (trixie)"),
        ("debian", "13.2", "Debian 13 (trixie)"),
        ("almalinux", "9.8", "AlmaLinux 9"),
        ("ubuntu", "24.04", "Ubuntu 24.04 LTS"),
    ],
)
def test_releases(catalogue: Catalogue, os_id: str, version: str, name: str) -> None:
    found = distribution(catalogue, os_id, version)
    assert found is not None
    assert found.name == name


def test_toolkits(catalogue: Catalogue) -> None:
    newest = toolkit_for_driver(catalogue, "580.178.04")
    assert newest is not None
    assert newest.version == "13.0"
    old = toolkit_for_driver(catalogue, "580.178.04", "12.9")
    assert old is not None
    assert old.version == "12.9"
    assert distribution(catalogue, "slackware", "15") is None


_GOOD = """
[[scenario]]
id = "ours"
title = "Ours"
summary = "The company's stack"
branch_types = ["lts"]
min_support_months = 6
containers = false
hold = true
extras = []
sources = ["torch"]
"""


def test_an_operators_profile_is_added(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text(_GOOD, encoding="utf-8")
    assert load(tmp_path).scenarios["ours"].title == "Ours"
    assert "ours" not in load().scenarios


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("title =", "titel ="), ("unknown key 'titel'", "did you mean 'title'")),
        (('title = "Ours"\n', ""), ("the key 'title' is missing",)),
        (("hold = true", 'hold = "yes"'), ("ours.toml", "hold", "isn't true or false")),
        (('["torch"]', '["nowhere"]'), ("there is no source 'nowhere'",)),
        (("[[scenario]]", "[[scenarios]]"), ("unknown kind of entry 'scenarios'",)),
        (("[[scenario]]", "[scenario]"), ("write [[scenario]]",)),
        (('["lts"]', '"lts"'), ("branch_types", "isn't a list")),
        (("hold = true", "hold = "), ("isn't valid TOML", "line")),
        (("min_support_months = 6", "min_support_months = 2.5"), ("isn't a whole number",)),
    ],
)
def test_bad_profiles_name_file_and_place(
    tmp_path: Path, change: tuple[str, str], words: tuple[str, ...]
) -> None:
    (tmp_path / "ours.toml").write_text(_GOOD.replace(*change), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert "ours.toml" in str(caught.value)
    assert caught.value.exit_code == 2
    for word in words:
        assert word in str(caught.value)


def test_binary_junk_and_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "junk.toml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"junk\.toml: it isn't UTF-8 text"):
        load(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no such file or folder"):
        check_folder(tmp_path / "nowhere.toml")


def test_a_single_file_can_be_checked(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text(_GOOD, encoding="utf-8")
    check_folder(path)
    path.write_text(_GOOD.replace("title", "titel"), encoding="utf-8")
    with pytest.raises(InputError, match="titel"):
        check_folder(path)


def test_bad_pci_id(tmp_path: Path) -> None:
    text = """
[[gpu]]
id = "x"
name = "X"
aliases = []
pci_ids = ["2330"]
architecture = "hopper"
compute_capability = "9.0"
open_modules = "supported"
fabric = "none"
data_centre = true
sources = ["pciids"]
"""
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="isn't a PCI id"):
        load(tmp_path)
