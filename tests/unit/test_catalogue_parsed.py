"""Parsed data is kept by the content of its files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gpu_bringup.catalogue import parsed
from gpu_bringup.catalogue.loader import load
from gpu_bringup.errors import InputError


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    return tmp_path / "cache/data"


def test_what_was_kept_comes_back(state: Path) -> None:
    content = [{"branch": [{"id": "580", "end": date(2028, 6, 1), "sources": ["a"]}]}]
    key = parsed.key_of([b"one", b"two"])
    assert parsed.load(key) is None
    parsed.keep(key, content)
    assert parsed.load(key) == content
    assert key != parsed.key_of([b"onet", b"wo"])
    (state / f"{key}.json").write_text("[{", encoding="utf-8")
    assert parsed.load(key) is None


def test_a_second_load_is_the_same_and_a_changed_file_is_seen(tmp_path: Path, state: Path) -> None:
    assert load() == load()
    assert len(list(state.glob("*.json"))) == 1
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "x.toml").write_text("[[scenario]]\nid = 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.toml"):
        load(folder)
    with pytest.raises(InputError, match=r"x\.toml"):
        load(folder)


def test_old_data_does_not_pile_up(state: Path) -> None:
    for number in range(20):
        parsed.keep(parsed.key_of([str(number).encode()]), [{"n": number}])
    assert len(list(state.glob("*.json"))) <= 8


def test_without_a_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path / "file"))
    assert load().scenarios
