"""What the data of the software stack must say, entry by entry."""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.errors import InputError
from gpu_bringup.ladder.containers import FLOOR
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.versions import branch_of, driver_key


@cache
def catalogue() -> Catalogue:
    return load()


def test_each_branch_has_its_first_and_last_release_on_record() -> None:
    releases = catalogue().releases
    for branch in catalogue().branches.values():
        assert branch.first_release in releases or int(branch.id) < 470, branch.id
        assert branch.last_release in releases or int(branch.id) < 470, branch.id
        newest = max(
            (
                version
                for version, item in releases.items()
                if branch_of(version) == branch.id and item.channel not in ("public", "beta")
            ),
            key=driver_key,
            default=branch.last_release,
        )
        assert driver_key(newest) <= driver_key(branch.last_release), branch.id


def test_within_a_branch_data_centre_releases_don_t_go_back_in_time() -> None:
    by_branch: dict[str, list[str]] = {}
    for version, item in catalogue().releases.items():
        if item.channel == "data-centre" and item.released is not None:
            by_branch.setdefault(branch_of(version), []).append(version)
    assert len(by_branch) > 15
    for branch, versions in by_branch.items():
        days = [catalogue().releases[v].released for v in sorted(versions, key=driver_key)]
        back = sum(1 for a, b in itertools.pairwise(days) if a and b and a > b)
        # 535.104.12, 550.90.12 and their like: a later fix of an older release.
        assert back <= 1, branch


def test_releases_are_as_many_and_dated_as_the_sources_allow() -> None:
    releases = catalogue().releases
    assert len(releases) > 180
    undated = [v for v, item in releases.items() if item.released is None]
    assert len(undated) < 15
    assert all(item.sources for item in releases.values())
    assert [v for v in releases if branch_of(v) == "620"] == ["620.70.06"]


@pytest.mark.parametrize(
    ("version", "day", "channel"),
    [
        ("470.57.02", "2021-07-19", "data-centre"),
        ("515.43.04", "2022-05-11", "beta"),
        ("535.129.03", "2023-10-31", "data-centre"),
        ("550.54.15", "2024-03-18", "data-centre"),
        ("550.67", "2024-03-19", "public"),
        ("580.178.04", "2026-08-03", "data-centre"),
        ("595.104.02", "2026-09-22", "public"),
        ("620.70.06", "2026-11-04", "data-centre"),
    ],
)
def test_releases(version: str, day: str, channel: str) -> None:
    item = catalogue().releases[version]
    assert (str(item.released), item.channel) == (day, channel)


def test_two_sources_that_differ_are_both_named() -> None:
    assert "June 2028" in catalogue().branches["580"].note
    assert "2028-08-04" in catalogue().branches["580"].note
    assert "2026-04-23" in catalogue().releases["535.309.01"].note
    assert "515.65.01" in next(t.note for t in catalogue().toolkits if t.version == "11.7")


def test_bulletins_name_releases_on_record() -> None:
    bulletins = catalogue().stack.bulletins
    assert [item.id for item in bulletins][:2] == ["5861", "5850"]
    for item in bulletins:
        for branch, version in item.fixed:
            if item.component == "driver":
                assert branch_of(version) == branch
                assert version in catalogue().releases, (item.id, version)
            else:
                assert catalogue().stack.component(item.component) is not None
    newest = {b: v for item in bulletins if item.id == "5861" for b, v in item.fixed}
    assert newest == {
        "580": "580.178.04",
        "595": "595.91.07",
        "610": "610.57.04",
        "615": "615.71.09",
    }


def test_toolkits_from_11_0_on_with_their_updates() -> None:
    versions = [item.version for item in catalogue().toolkits]
    assert versions[0] == "11.0" and versions[-1] == "13.5" and "12.7" not in versions
    for item in catalogue().toolkits:
        for version, driver in item.updates:
            assert version.startswith(f"{item.version}.")
            assert driver_key(driver) >= driver_key(item.driver), version
        assert item.driver_certain == (item.version not in ("13.4", "13.5")), item.version
    updates = {v: d for item in catalogue().toolkits for v, d in item.updates}
    assert updates["12.4.1"] == "550.54.15"
    assert updates["13.2.2"] == "595.71.05"


def test_forward_compatibility_is_for_branches_older_than_the_toolkit() -> None:
    toolkits = {item.version: item for item in catalogue().toolkits}
    for item in catalogue().stack.forward:
        assert item.package == f"cuda-compat-{item.toolkit.replace('.', '-')}"
        own = int(branch_of(toolkits[item.toolkit].driver))
        for branch in item.branches:
            assert branch in catalogue().branches
            assert int(branch) < own, (item.toolkit, branch)


def test_known_faults_name_what_exists_and_how_sure_it_is() -> None:
    boards = {gpu.id for gpu in catalogue().gpus}
    for item in catalogue().stack.known_bad:
        assert set(item.gpus) <= boards, item.id
        assert set(item.architectures) <= set(catalogue().architectures), item.id
        assert item.symptom.endswith(".")
        assert branch_of(item.first) in catalogue().branches
        if item.certainty != "confirmed":
            assert item.note or item.scope == "desktop", item.id
    claimed = [i.id for i in catalogue().stack.known_bad if i.certainty == "unverifiable"]
    assert claimed == ["gsp-timeout-535", "vram-leak-535"]


def test_components_and_what_ties_their_version() -> None:
    stack = catalogue().stack
    follows = {item.id: item.follows for item in stack.components}
    assert follows == {
        "container-toolkit": "independent",
        "gpu-operator": "independent",
        "fabricmanager": "driver",
        "nvlsm": "independent",
        "imex": "driver",
        "dcgm": "independent",
        "persistenced": "driver",
    }
    toolkit = stack.component("container-toolkit")
    assert toolkit is not None and toolkit.minimum == FLOOR
    assert "CVE-2026-24260" in toolkit.minimum_why
    for item in stack.component_releases:
        assert item.component in follows
        assert not item.default_driver or item.default_driver in item.drivers
        for driver in item.drivers:
            assert driver in catalogue().releases, (item.component, driver)
    operator = {i.version: i for i in stack.component_releases if i.component == "gpu-operator"}
    assert operator["26.7.0"].default_driver == "595.91.07"


def test_base_images_say_in_their_tag_what_they_are() -> None:
    for item in catalogue().stack.images:
        assert item.tag.startswith(f"{item.cuda}.")
        assert f"-{item.kind}-" in item.tag
        assert item.cudnn == ("cudnn" in item.tag)
        assert re.search(r"(ubuntu\d\d\.\d\d|ubi\d+)$", item.tag)
        assert item.cuda in {toolkit.version for toolkit in catalogue().toolkits}


BULLETIN = """
[[bulletin]]
id = "9999"
title = "GPU Display Driver"
component = "driver"
fixed = [["580", "580.999.01"]]
sources = ["endoflife"]
"""
FAULT = """
[[known_bad]]
id = "ours"
first = "580.65.06"
fixed = "580.82.07"
symptom = "It hangs."
certainty = "reported"
scope = "server"
architectures = ["hopper"]
sources = ["endoflife"]
"""


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        (BULLETIN, '"580.999.01"', '"595.1.1"', "is no release of branch 580"),
        (FAULT, '"580.82.07"', '"575.51.02"', "is older than the first one"),
        (FAULT, '"hopper"', '"hoper"', "did you mean 'hopper'"),
        (FAULT, '"reported"', '"sure"', "is none of confirmed, reported, unverifiable"),
        (FAULT, 'first = "580.65.06"', 'first = "newest"', "isn't a driver version"),
    ],
)
def test_what_contradicts_is_refused_with_its_place(
    tmp_path: Path, text: str, old: str, new: str, words: str
) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(text, encoding="utf-8")
    assert load(tmp_path).stack.bulletins
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        load(tmp_path)
    assert "ours.toml" in caught.value.file
