"""Where a machine's console is: every entry can be reached, wrong ones are refused with their place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_bringup import cli
from gpu_bringup.errors import ExitCode, InputError
from gpu_bringup.model.facts import PlatformFacts
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.signing.consoles import console_of, load_consoles, read_consoles

MACHINES = {
    "aws": PlatformFacts(cloud="aws", vendor="Amazon EC2"),
    "gcp": PlatformFacts(cloud="gcp", vendor="Google"),
    "azure": PlatformFacts(cloud="azure", vendor="Microsoft Corporation"),
    "oci": PlatformFacts(cloud="oracle", vendor="QEMU"),
    "idrac": PlatformFacts(cloud=None, vendor="Dell Inc."),
    "ilo": PlatformFacts(cloud=None, vendor="HPE"),
    "xcc": PlatformFacts(cloud=None, vendor="Lenovo"),
    "supermicro": PlatformFacts(cloud=None, vendor="Supermicro"),
    "qemu": PlatformFacts(cloud=None, vendor="QEMU"),
    "bmc": PlatformFacts(cloud=None, vendor="Somebody else"),
}
GOOD = """
[[console]]
id = "one"
name = "One"
vendors = ["one"]
open = "like this"
before = "so"
sources = ["https://example.org/one"]
"""


def test_every_console_is_found_by_a_machine_that_has_it() -> None:
    assert {item.id for item in load_consoles()} == MACHINES.keys()
    for wanted, platform in MACHINES.items():
        found = console_of(platform)
        assert found is not None and found.id == wanted


def test_a_machine_of_which_nothing_is_known_has_the_general_one() -> None:
    unknown = PlatformFacts(cloud=Unknown("no DMI"), vendor=Unknown("no DMI"))
    found = console_of(unknown)
    assert found is not None and found.id == "bmc"
    assert "ipmitool" in found.open


def test_every_console_names_its_source() -> None:
    for item in load_consoles():
        assert item.sources and all(url.startswith(("http://", "https://")) for url in item.sources)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "One"\n', "", "missing field: name"),
        ('name = "One"', 'name = "One"\ncolour = "red"', "unknown field: colour"),
        ('name = "One"', "name = 1", "name must be a text"),
        ('open = "like this"', 'open = " "', "open must be a text"),
        ('sources = ["https://example.org/one"]', "sources = []", "sources must be a list"),
        ('vendors = ["one"]', 'vendors = "one"', "vendors must be a list"),
        ('vendors = ["one"]', 'vendors = ["One"]', "must be in lower case"),
        ('vendors = ["one"]', 'boards = ["one"]', "unknown field: boards"),
        ('before = "so"', 'before = "so"\ncertainty = "sure"', "documented or second-hand"),
        ("[[console]]", "[[consoles]]", "only [[console]] entries"),
        ("[[console]]", "[console]", "only [[console]] entries"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in GOOD
    folder = tmp_path / "consoles"
    folder.mkdir()
    (folder / "mine.toml").write_text(GOOD.replace(old, new), "utf-8")
    with pytest.raises(InputError) as caught:
        read_consoles(folder, "consoles")
    assert said in str(caught.value)
    assert caught.value.file == "consoles/mine.toml"
    if "entries" not in said:
        assert caught.value.place == "[[console]] 1"
    assert cli.main(["profiles", "validate", str(tmp_path)]) == ExitCode.BAD_INPUT
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + GOOD, "two consoles 'one'"),
        (GOOD.replace('vendors = ["one"]\n', "") + GOOD.replace('"one"', '"two"'), "never"),
    ],
)
def test_entries_that_stand_in_each_others_way(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.toml").write_text(text, "utf-8")
    with pytest.raises(InputError, match=said) as caught:
        read_consoles(tmp_path, "consoles")
    assert caught.value.place == "[[console]] 2"


def test_validate_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profiles", "validate", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["entries"]["consoles"] == len(MACHINES)
