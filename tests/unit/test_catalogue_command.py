"""``gpu-bringup profiles``: what it prints, and its exit statuses."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.cli import main
from gpu_bringup.commands.profiles import run
from gpu_bringup.errors import InputError

OWN = """
[[scenario]]
id = "acme"
title = "ACME"
extends = "compliance"
pinned_driver = "580.178.04"
sources = []
"""


def call(action: str, name: str | None = None, **more: Any) -> int:
    return run(argparse.Namespace(action=action, name=name, **more))


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list") == 0
    text = capsys.readouterr().out
    for name in ("long-term-stable", "new-hardware", "kubernetes", "compliance"):
        assert name in text
    assert "gpus," in text
    assert "73 claims" in text


def test_list_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    first = document["profiles"][0]
    assert {"id", "title", "summary", "origin", "extends", "effective"} == set(first)
    assert len(document["profiles"]) == 4
    assert document["entries"]["gpus"] > 60
    assert document["problems"] == []


def test_list_shows_the_good_and_the_broken(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
    (tmp_path / "bad.toml").write_text(
        OWN.replace('"ACME"', "7").replace("acme", "other"), encoding="utf-8"
    )
    assert call("list", profiles=tmp_path) == 2
    shown = capsys.readouterr()
    assert "acme  ACME" in shown.out
    assert f"extends compliance; from {tmp_path}/own.toml (--profiles)" in shown.out
    assert f"BROKEN  {tmp_path}/bad.toml: line 4, scenario 'other'.title" in shown.out
    assert f"{tmp_path}/bad.toml: line 4, scenario 'other'.title: 7 isn't a text" in shown.err
    assert call("list", profiles=tmp_path, json=True) == 2
    document = json.loads(capsys.readouterr().out)
    assert "acme" in {item["id"] for item in document["profiles"]}
    (problem,) = document["problems"]
    assert (problem["line"], problem["place"]) == (4, "scenario 'other'.title")
    assert (problem["file"], problem["message"]) == (f"{tmp_path}/bad.toml", "7 isn't a text")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("long-term-stable", ("lts, production", "12 months or more", "535.129.03", "OUTDATED")),
        ("580", ("2028-06-01", "580.65.06 to 580.", "open, proprietary")),
        ("R620", ("unknown (not confirmed", "modules         open")),
        ("h100", ("NVIDIA H100 SXM5 80GB", "10de:2330", "525.85.05", "Hopper")),
        ("tesla p40", ("last branch", "R580", "unsupported")),
        ("debian:13", ("trixie", "profiles/catalogue/distributions/debian.toml")),
        ("580.178.04", ("580.178.04", "released")),
        ("hopper", ("compute capabilities 9.0", "2300 to 23ff")),
    ],
)
def test_show(capsys: pytest.CaptureFixture[str], name: str, words: tuple[str, ...]) -> None:
    assert call("show", name) == 0
    text = capsys.readouterr().out
    for word in (*words, "https://", "read 2026-"):
        assert word in text


@pytest.mark.parametrize(
    ("kind", "entry", "words"),
    [
        ("gpu", None, ("h200", "NVIDIA H200")),
        ("gpus", "H200", ("NVIDIA H200 SXM", "141 GB")),
        ("branch", "R580", ("R580", "lts")),
        ("os", "debian:13", ("Debian 13",)),
        ("kernel-limit", None, ("580.178.04",)),
        ("claim", "11", ("OUTDATED", "535.129.03", "why:")),
        ("guide", "68", ("NV_GPU_MAX_HEAP_SIZE", "FALSE")),
        ("guide", None, ("73 claims", "kubernetes", "In general", "cgroup", "unproven")),
        ("profile", "kubernetes", ("Containers and Kubernetes",)),
    ],
)
def test_show_a_kind(
    capsys: pytest.CaptureFixture[str], kind: str, entry: str | None, words: tuple[str, ...]
) -> None:
    assert call("show", kind, entry=entry) == 0
    text = capsys.readouterr().out
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("name", "kind", "ident"),
    [("kubernetes", "profile", "kubernetes"), ("595", "branch", "595"), ("B200", "gpu", "b200")],
)
def test_show_json(capsys: pytest.CaptureFixture[str], name: str, kind: str, ident: str) -> None:
    assert call("show", name, json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document[kind]["id"] == ident
    assert [item["id"] for item in document["sources"]] == document[kind]["sources"]
    assert all(item["read"] for item in document["sources"])


def test_show_json_of_a_kind_and_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show", "branch", json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "branch"
    assert "580" in {item["id"] for item in document["entries"]}
    assert call("show", "guide", json=True) == 0
    claims = json.loads(capsys.readouterr().out)["claims"]
    assert [item["id"] for item in claims] == [str(number) for number in range(1, 74)]
    assert claims[10]["profile"] == "long-term-stable"
    assert claims[0]["profile"] is None


def test_show_tells_whom_a_value_is_from(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
    assert call("show", "acme", profiles=tmp_path) == 0
    text = capsys.readouterr().out
    assert "pinned driver   580.178.04\n" in text
    assert "support left    12 months or more   (from compliance)" in text
    assert call("show", "acme", profiles=tmp_path, json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["extends"] == ["compliance"]
    assert document["origin"]["file"] == f"{tmp_path}/own.toml"
    assert document["inherited"]["hold"] == "compliance"


@pytest.mark.parametrize(
    ("name", "entry", "hint"),
    [
        ("long-term-stabel", None, "long-term-stable"),
        ("H1000", None, "H100"),
        ("qqqqqq", None, "profiles list"),
        ("gpu", "H1000", "H100"),
        ("branch", "58", "580"),
        ("claim", "99", "profiles show claim lists them all"),
        ("os", "debain:13", "debian:13"),
        ("os", "debian", "debian:13 or debian:12"),
    ],
)
def test_show_what_is_not_there(name: str, entry: str | None, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        call("show", name, entry=entry)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_show_wants_a_name() -> None:
    with pytest.raises(InputError, match="say which"):
        call("show")


def test_validate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call("validate") == 0
    assert "Valid, as of" in capsys.readouterr().out
    assert call("validate", json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["entries"]["gpus"] > 60
    assert document["valid"] is True
    path = tmp_path / "ours.toml"
    path.write_text("[[gpu]]\nid = 3\n\n[[gpus]]\nid = 'x'\n", encoding="utf-8")
    for target in (path, tmp_path):
        assert call("validate", str(target)) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert f"{path}: line 2, gpu number 1.id: 3 isn't a text" in shown.err
        assert "line 4, gpus: unknown kind of entry 'gpus'; did you mean 'gpu'?" in shown.err
    assert call("validate", str(path), json=True) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["valid"] is False
    assert [item["line"] for item in document["problems"]] == [2, 4]
    with pytest.raises(InputError, match="no such file or folder"):
        call("validate", str(tmp_path / "nowhere"))


def test_options_may_stand_before_the_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
    for arguments in (["--json", str(tmp_path)], [str(tmp_path), "--json"]):
        assert main(["profiles", "validate", *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["entries"]["scenarios"] == 5
    with pytest.raises(SystemExit) as caught:
        main(["profiles", "list", "acme"])
    assert caught.value.code == 2


def test_several_claims_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles", "show", "guide", "16", "58"]) == 0
    text = capsys.readouterr().out
    assert "Claim 16" in text and "Claim 58" in text
    with pytest.raises(InputError, match="one document"):
        call("show", "guide", entry=["16", "58"], json=True)


def test_a_folder_without_profiles_is_not_valid(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("nothing\n", encoding="utf-8")
    assert call("validate", str(tmp_path)) == 2
    assert "no file was read" in capsys.readouterr().err
