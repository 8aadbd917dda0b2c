"""The loader refuses what is wrong, and says which file and which key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_bringup.catalogue.loader import check_folder, load
from gpu_bringup.errors import InputError

GPU = """
[[gpu]]
id = "x9"
name = "X9"
aliases = ["X nine"]
pci_ids = ["10de:23f0"]
architecture = "hopper"
compute_capability = "9.0"
open_modules = "supported"
fabric = "none"
data_centre = true
sources = ["pciids"]
"""
RELEASE = """
[[release]]
version = "580.999.01"
released = 2026-11-20
security_fix = false
sources = ["endoflife"]
"""
DISTRIBUTION = """
[[distribution]]
os_id = "debian"
version = "99"
codename = "nine"
name = "Debian 99"
family = "debian"
kernel = "7.9"
nvidia_distro = ""
sources = ["debian-archive"]

[[distribution.drivers]]
id = "debian99-open"
source = "distribution"
branch = "580"
version = "580.178.04"
package_version = ""
flavour = "open"
route = "dkms"
kernel_package = "nvidia-open-kernel-dkms"
packages = ["nvidia-open-kernel-dkms", "libcuda1"]
components = []
repository = ""
pin = []
module_names = ["nvidia"]
sources = ["debian-archive"]
"""
REPOSITORY = """
[[repository]]
id = "mirror"
name = "Our mirror"
uri = "https://mirror.example.org/{distro}/"
suite = "/"
key_uri = "https://mirror.example.org/key.asc"
fingerprints = ["EB693B3035CD5710E231E123A4B469963BF863CC"]
sources = ["nvidia-repository"]
"""
BREAK = """
[[stable_break]]
id = "ours"
symptom = "error"
flavour = "open"
mainline = "6.19"
series = [["6.12", 96, 97]]
fixed = [["580", "all"]]
sources = ["endoflife"]
"""
ARCHITECTURE = """
[[architecture]]
id = "next"
name = "Next"
compute_capabilities = ["11.9"]
pci_ranges = [[0x4000, 0x40ff]]
open_modules = "required"
first_branch = "620"
first_cuda = "13.5"
sources = ["pciids"]
"""


def refusal(folder: Path, text: str | bytes, name: str = "ours.toml") -> InputError:
    """Write one file, load it, hand back the error."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        load(folder)
    assert name in caught.value.file
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    "text", [GPU, RELEASE, DISTRIBUTION, REPOSITORY, BREAK, ARCHITECTURE], ids=lambda t: t[3:12]
)
def test_what_the_cases_below_are_made_of_is_right(tmp_path: Path, text: str) -> None:
    (tmp_path / "ours.toml").write_text(text, encoding="utf-8")
    load(tmp_path)


@pytest.mark.parametrize(
    ("text", "old", "new", "place", "words"),
    [
        (GPU, '"supported"', '"suported"', "gpu 'x9'.open_modules", "is none of required"),
        (GPU, '"none"', '"nvswitch"', "gpu 'x9'.fabric", "is none of none, fabricmanager"),
        (GPU, '"hopper"', '"hoper"', "gpu 'x9'.architecture", "did you mean 'hopper'?"),
        (GPU, '"10de:23f0"', '"10DE:23F0"', "gpu 'x9'.pci_ids[0]", "isn't a PCI id"),
        (GPU, '"9.0"', '"90"', "gpu 'x9'.compute_capability", "isn't a compute capability"),
        (GPU, '"pciids"', '"pciid"', "gpu 'x9'.sources[0]", "did you mean 'pciids'?"),
        (GPU, '"X nine"', "9", "gpu 'x9'.aliases[0]", "isn't a text"),
        (GPU, '"X9"', r'"\u001b[31mX9"', "gpu 'x9'.name", "control character"),
        (GPU, "data_centre", "memory_gb = nan\ndata_centre", "gpu 'x9'.memory_gb", "a number"),
        (GPU, "data_centre", "memory_gb = true\ndata_centre", "gpu 'x9'.memory_gb", "a number"),
        (GPU, "data_centre = true", "data_center = true", "gpu 'x9'", "mean 'data_centre'?"),
        (GPU, "data_centre = true\n", "", "gpu 'x9'", "'data_centre' is missing"),
        (GPU, 'id = "x9"', "id = 9", "gpu number 1.id", "isn't a text"),
        (GPU, 'id = "x9"', 'id = ""', "gpu ''.id", "isn't an id"),
        (RELEASE, "2026-11-20", '"2026-11-20"', "release '580.999.01'.released", "isn't a date"),
        (RELEASE, "2026-11-20", "2026-11-20T10:00:00", "release '580.999.01'.released", "a date"),
        (RELEASE, "580.999.01", "R580", "release 'R580'.version", "isn't a driver version"),
        (DISTRIBUTION, '"580"', '"581"', ".drivers[0].branch", "there is no driver branch '581'"),
        (DISTRIBUTION, '"dkms"', '"dmks"', ".drivers[0].route", "is none of dkms, prebuilt"),
        (DISTRIBUTION, '"open"', '"opne"', ".drivers[0].flavour", "is none of open, proprietary"),
        (DISTRIBUTION, '"libcuda1"', '"--force"', ".drivers[0].packages[1]", "name of a package"),
        (DISTRIBUTION, '["nvidia-open-kernel-dkms", ', "[", "kernel_package", "among the packages"),
        (
            DISTRIBUTION,
            'repository = ""',
            'repository = "nvidia"',
            ".drivers[0].repository",
            "no repository 'nvidia'",
        ),
        (
            DISTRIBUTION,
            'source = "distribution"',
            'source = "nvidia-repository"',
            ".drivers[0]",
            "needs the repository that has it",
        ),
        (REPOSITORY, "EB69", "EB6", "repository 'mirror'.fingerprints[0]", "40 hexadecimal"),
        (REPOSITORY, "https://mirror.example.org/{", "ftp://{", "repository 'mirror'.uri", "https"),
        (BREAK, "96, 97", "96", ".series[0]", "isn't a list of 3 values"),
        (BREAK, "96, 97", '96, "97"', ".series[0][2]", "isn't a whole number"),
        (BREAK, '"580", "all"', '"58", "all"', ".fixed[0]", "there is no driver branch '58'"),
        (ARCHITECTURE, "0x4000", "0x5000", "pci_ranges[0]", "no range of device ids"),
        (ARCHITECTURE, "0x4000, 0x40ff", "0x23f0, 0x24ff", "pci_ranges[0]", "already in a range"),
        (ARCHITECTURE, '"620"', '"62"', "architecture 'next'.first_branch", "a driver branch"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    tmp_path: Path, text: str, old: str, new: str, place: str, words: str
) -> None:
    assert old in text
    error = refusal(tmp_path, text.replace(old, new, 1))
    assert place in error.place
    assert words in error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\x7fELF\x02\x01\xff\xfe", "isn't UTF-8 text (line 1"),
        ("# a comment\nname = 'caf\xe9'\n".encode("latin-1"), "isn't UTF-8 text (line 2"),
        ("[[gpu]]\nid = \n", "line 2"),
        ("[[release]]\nreleased = 2026-13-45\n", "line 2"),
        ("[[gpu]\n", "line 1"),
        ("a = " + "9" * 5000, "isn't valid TOML"),
        ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("as_of = '2026-11-22'\n", "isn't a date"),
        ("as_of = 2026-11-22T00:00:00\n", "isn't a date"),
        ("gpu = 3\n", "write [[gpu]]"),
        ("gpu = [3]\n", "isn't a table"),
        ("[[gpus]]\nid = 'x'\n", "did you mean 'gpu'?"),
        ("[[zzz]]\nid = 'x'\n", "there are source, architecture"),
    ],
)
def test_a_file_that_is_no_data_is_named(tmp_path: Path, text: str | bytes, words: str) -> None:
    assert words in refusal(tmp_path, text).message


def test_an_entry_may_stand_once_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GPU, encoding="utf-8")
    error = refusal(tmp_path, GPU, "b.toml")
    assert "stands in" in error.message
    assert "a.toml" in error.message


def test_a_later_folder_replaces_by_id(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "gpus.toml").write_text(GPU.replace('"x9"', '"b200"'), encoding="utf-8")
    before, after = load(), load(tmp_path)
    assert len(after.gpus) == len(before.gpus)
    (changed,) = [gpu for gpu in after.gpus if gpu.id == "b200"]
    assert changed.name == "X9"


def test_folders_of_other_kinds_are_left_alone(tmp_path: Path) -> None:
    for name in ("failures", "lessons", "schema"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.toml").write_text("[[lesson]]\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("not data", encoding="utf-8")
    assert load(tmp_path) == load()


def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(tmp_path)
    assert "stands in" in refusal(tmp_path, GPU).message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "gone.toml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(
        InputError, match=r"gone\.toml: it is no regular file, or a link to nothing"
    ):
        load(tmp_path)


def test_a_file_checked_alone_is_in_what_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text(GPU, encoding="utf-8")
    assert "x9" in {gpu.id for gpu in check_folder(path).gpus}
