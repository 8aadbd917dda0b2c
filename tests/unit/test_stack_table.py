"""The tables that are written into check_cuda_stack.sh: from the catalogue, and safe in a shell."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.export.stack_table import BEGIN, END, block, updated
from gpu_bringup.model.catalogue import Catalogue


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def rows(text: str, name: str) -> list[list[str]]:
    found = re.search(rf"^{name}='\n(.*?)^'$", text, re.DOTALL | re.MULTILINE)
    assert found
    return [line.split(" ") for line in found[1].splitlines()]


def test_every_toolkit_architecture_and_branch_is_there(catalogue: Catalogue) -> None:
    text = block(catalogue)
    assert [row[0] for row in rows(text, "TOOLKITS")] == sorted(
        (item.version for item in catalogue.toolkits),
        key=lambda version: [int(part) for part in version.split(".")],
    )
    ranges = sum(len(item.pci_ranges) for item in catalogue.architectures.values())
    assert len(rows(text, "ARCHITECTURES")) == ranges
    assert {row[0] for row in rows(text, "BRANCHES")} == set(catalogue.branches)
    for name, width in (("TOOLKITS", 3), ("ARCHITECTURES", 8), ("BOARDS", 3), ("BRANCHES", 3)):
        assert {len(row) for row in rows(text, name)} == {width}


def test_boards_are_listed_only_where_they_differ(catalogue: Catalogue) -> None:
    listed = {row[0]: row[1:] for row in rows(block(catalogue), "BOARDS")}
    for gpu in catalogue.gpus:
        modules = catalogue.architectures[gpu.architecture].open_modules
        same = gpu.open_modules == modules
        for pci_id in gpu.pci_ids:
            device = f"0x{pci_id.partition(':')[2]}"
            if not same and device in listed:
                assert listed[device][0] == gpu.open_modules
            if gpu.fabric == "imex":
                assert listed[device][1] == "imex"


def test_boards_that_share_an_id_and_differ_are_left_to_their_architecture(
    catalogue: Catalogue,
) -> None:
    (gh200,) = [gpu for gpu in catalogue.gpus if "10de:2342" in gpu.pci_ids][:1]
    twin = replace(gh200, id="twin", open_modules="supported")
    text = block(replace(catalogue, gpus=(*catalogue.gpus, twin)))
    assert "0x2342" in {row[0] for row in rows(block(catalogue), "BOARDS")}
    assert "0x2342" not in {row[0] for row in rows(text, "BOARDS")}


def test_nothing_in_it_means_anything_to_a_shell(catalogue: Catalogue) -> None:
    for line in block(catalogue).splitlines():
        if line.startswith("#") or line.endswith("='") or line == "'":
            continue
        assert all(word == shlex.quote(word) for word in line.split(" "))
    evil = replace(catalogue.toolkits[0], driver="1.2'; rm -rf /; '")
    with pytest.raises(ValueError, match="cannot stand in a shell table"):
        block(replace(catalogue, toolkits=(evil,)))


def test_only_the_generated_part_is_renewed(catalogue: Catalogue) -> None:
    script = f"#!/bin/bash\necho before\n{BEGIN}\nold\n{END}\necho after\n"
    renewed = updated(script, catalogue)
    assert renewed == f"#!/bin/bash\necho before\n{block(catalogue)}echo after\n"
    assert updated(renewed, catalogue) == renewed
    for broken in ("nothing", script.replace(END, ""), script + script):
        with pytest.raises(ValueError, match="generated part"):
            updated(broken, catalogue)
