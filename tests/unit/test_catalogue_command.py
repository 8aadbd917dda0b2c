"""``gpu-bringup profiles``: what it prints, and its exit statuses."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.commands.profiles import run
from gpu_bringup.errors import InputError


def call(action: str, name: str | None = None, **more: Any) -> int:
    return run(argparse.Namespace(action=action, name=name, **more))


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list") == 0
    text = capsys.readouterr().out
    for name in ("long-term-stable", "new-hardware", "kubernetes", "compliance"):
        assert name in text


def test_list_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert {"id", "title", "summary"} == set(document["profiles"][0])
    assert len(document["profiles"]) == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("long-term-stable", ("lts, production", "12 months or more", "535.129.03")),
        ("580", ("2028-06-01", "580.65.06 to 580.178.04", "open, proprietary")),
        ("R620", ("unknown (not confirmed", "modules         open")),
        ("h100", ("NVIDIA H100 SXM5 80GB", "10de:2330", "525.85.05", "Hopper")),
        ("tesla p40", ("last branch", "R580", "unsupported")),
    ],
)
def test_show(capsys: pytest.CaptureFixture[str], name: str, words: tuple[str, ...]) -> None:
    assert call("show", name) == 0
    text = capsys.readouterr().out
    for word in (*words, "https://"):
        assert word in text


@pytest.mark.parametrize(
    ("name", "kind", "ident"),
    [("kubernetes", "profile", "kubernetes"), ("595", "branch", "595"), ("B200", "gpu", "b200")],
)
def test_show_json(capsys: pytest.CaptureFixture[str], name: str, kind: str, ident: str) -> None:
    assert call("show", name, json=True) == 0
    assert json.loads(capsys.readouterr().out)[kind]["id"] == ident


@pytest.mark.parametrize(
    ("name", "hint"),
    [("long-term-stabel", "long-term-stable"), ("H1000", "H100"), ("qqqqqq", "profiles list")],
)
def test_show_what_is_not_there(name: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        call("show", name)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_show_wants_a_name() -> None:
    with pytest.raises(InputError, match="say which"):
        call("show")


def test_validate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call("validate") == 0
    assert "Valid, as of" in capsys.readouterr().out
    assert call("validate", json=True) == 0
    assert json.loads(capsys.readouterr().out)["entries"]["gpus"] > 60
    path = tmp_path / "ours.toml"
    path.write_text("[[gpu]]\nid = 3\n", encoding="utf-8")
    for target in (path, tmp_path):
        with pytest.raises(InputError) as caught:
            call("validate", str(target))
        assert str(path) in caught.value.file
        assert "gpu number 1" in caught.value.place
    with pytest.raises(InputError, match="no such file or folder"):
        call("validate", str(tmp_path / "nowhere"))
