"""The loader refuses what is wrong, and says which file and which key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_bringup.catalogue.lines import line_of
from gpu_bringup.catalogue.loader import check_folder, load, survey
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
BRANCH = """
[[branch]]
id = "580"
type = "lts"
first_release = "580.65.06"
last_release = "580.178.04"
end_of_support = 2027-01-01
status = "supported"
cuda = "13.0"
flavours = ["open", "proprietary"]
sources = ["endoflife"]
"""
TOOLKIT = """
[[toolkit]]
version = "13.9"
driver = "580.65.06"
minor_driver = "580.65.06"
cc_min = "7.5"
cc_max = "12.1"
sources = ["cuda-release-notes"]
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
    "text",
    [GPU, RELEASE, DISTRIBUTION, REPOSITORY, BREAK, ARCHITECTURE, BRANCH, TOOLKIT],
    ids=lambda t: t[3:12],
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
        (ARCHITECTURE, "0x4000, 0x40ff", "0x23f1, 0x23ff", "pci_ranges[0]", "already in a range"),
        (ARCHITECTURE, '"620"', '"62"', "architecture 'next'.first_branch", "driver branch"),
        (
            ARCHITECTURE,
            '"620"',
            '"620"\nlast_branch = "580"',
            ".last_branch",
            "before first_branch",
        ),
        # Entries that contradict others, or themselves.
        (GPU, '"9.0"', '"9.1"', "gpu 'x9'.compute_capability", "Hopper has compute capability 9.0"),
        (GPU, "23f0", "2901", "gpu 'x9'.pci_ids[0]", "is in a range of Blackwell, not of Hopper"),
        (GPU, "23f0", "2330", "gpu 'x9'.pci_ids[0]", "is the board 'h100-sxm5-80gb' already"),
        (
            RELEASE,
            "2026-11-20",
            "2020-11-20",
            ".released",
            "before the first release of its branch",
        ),
        (BREAK, "96, 97", "97, 96", ".series[0]", "must be below the first known bad"),
        (DISTRIBUTION, '"580.178.04"', '"595.71.05"', ".version", "no release of branch 580"),
        (
            DISTRIBUTION,
            'branch = "580"\nversion = "580.178.04"\npackage_version = ""\nflavour = "open"',
            'branch = "620"\nversion = ""\npackage_version = ""\nflavour = "proprietary"',
            ".drivers[0].flavour",
            "branch 620 ships no proprietary modules, only open",
        ),
        (BRANCH, "2027-01-01", "2024-01-01", ".end_of_support", "before its first release"),
        (
            BRANCH,
            '"580.65.06"',
            '"580.65.06"\nsecurity_floor = "595.71.05"',
            "_floor",
            "no release",
        ),
        (BRANCH, '"580.178.04"', '"580.1.1"', ".last_release", "older than the first release"),
        (TOOLKIT, '"580.65.06"', '"777.1"', "toolkit '13.9'.driver", "is in no driver branch"),
        (
            TOOLKIT,
            'r_driver = "580.65.06"',
            'r_driver = "590.44.01"',
            ".minor_driver",
            "newer than",
        ),
        (TOOLKIT, '"12.1"', '"5.0"', ".cc_max", "lower than cc_min"),
        # One new line more is another text.
        (GPU, '"9.0"', '"9.0\\n"', "gpu 'x9'.compute_capability", "isn't a compute capability"),
        (RELEASE, '"580.999.01"', '"\uff15\uff18\uff10.1"', ".version", "isn't a driver version"),
        (GPU, '"X9"', '"X\u202e9"', "gpu 'x9'.name", "control character"),
        (GPU, '"X9"', f'"{"X" * 20_000}"', "gpu 'x9'.name", "has 20000 characters"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    tmp_path: Path, text: str, old: str, new: str, place: str, words: str
) -> None:
    assert old in text
    error = refusal(tmp_path, text.replace(old, new, 1))
    assert place in error.place
    assert words in error.message
    assert len(error.message) < 1000


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
    for name in ("consoles", "failures", "lessons", "schema"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.toml").write_text("[[lesson]]\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("not data", encoding="utf-8")
    assert load(tmp_path) == load()


def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    for name in ("again", "and-again"):
        (tmp_path / name).symlink_to(tmp_path)
    with pytest.raises(InputError, match="it is a link to a folder that it is in"):
        load(tmp_path)


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


LINES = """# ours

[[gpu]]
id = "y1"
name = '''
[[gpu]]
id = "not a table"
'''

[[distribution]]
os_id = "debian"

[[distribution.drivers]]
id = "a"

[[distribution.drivers]]
id = "b"
"flavour" = "open"

[[gpu]]
id = "x9"
  fabric   = "nvswitch"
"""


@pytest.mark.parametrize(
    ("kind", "number", "path", "line"),
    [
        ("gpu", 1, "", 3),
        ("gpu", 1, ".name", 5),
        ("gpu", 1, ".fabric", 3),
        ("gpu", 2, ".fabric", 22),
        ("gpu", 3, ".fabric", None),
        ("distribution", 1, ".os_id", 11),
        ("distribution", 1, ".drivers[0].id", 14),
        ("distribution", 1, ".drivers[1].flavour", 18),
        ("distribution", 1, ".drivers[1].route", 16),
        ("distribution", 1, ".drivers[7].route", 10),
        ("branch", 1, ".id", None),
    ],
)
def test_the_line_of_a_key(kind: str, number: int, path: str, line: int | None) -> None:
    assert line_of(LINES, kind, number, path) == line


def test_an_error_names_the_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, DISTRIBUTION.replace('"dkms"', '"dmks"'))
    assert error.place == "line 19, distribution 'debian'.drivers[0].route"
    error = refusal(tmp_path, GPU + RELEASE.replace("endoflife", "endoflive"))
    assert error.place == "line 18, release '580.999.01'.sources[0]"


def test_an_overlap_is_the_fault_of_the_later_folder(tmp_path: Path) -> None:
    """The range begins below the project's; the project's own data is not what is wrong."""
    error = refusal(tmp_path, ARCHITECTURE.replace("0x4000, 0x40ff", "0x22c0, 0x2304"))
    assert "already in a range of Hopper" in error.message


def test_everything_else_is_still_there(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GPU, encoding="utf-8")
    (tmp_path / "b.toml").write_text("[[gpu]\n", encoding="utf-8")
    (tmp_path / "c.toml").write_text(
        GPU.replace("x9", "b200").replace("23f0", "2901") + RELEASE, encoding="utf-8"
    )
    (tmp_path / "d.toml").mkdir()
    found = survey(tmp_path)
    assert [Path(error.file).name for error in found.problems] == ["d.toml", "b.toml", "c.toml"]
    assert "x9" in found.entries["gpu"]
    assert "580.999.01" in found.catalogue.releases
    # What the wrong entry would have replaced is as it was.
    assert found.entries["gpu"]["b200"] == {g.id: g for g in load().gpus}["b200"]
    assert found.files["gpu", "x9"] == f"{tmp_path}/a.toml"


def test_what_rests_on_a_wrong_entry_is_left_out_without_further_words(tmp_path: Path) -> None:
    own = ARCHITECTURE.replace('sources = ["pciids"]', 'sources = ["nobody"]')
    board = (
        GPU.replace("supported", "required")
        .replace("hopper", "next")
        .replace('"9.0"', '"11.9"')
        .replace("23f0", "4000")
    )
    (tmp_path / "a.toml").write_text(own + board, encoding="utf-8")
    found = survey(tmp_path)
    assert [error.place for error in found.problems] == ["line 10, architecture 'next'.sources[0]"]
    assert "x9" not in found.entries["gpu"]
    assert len(found.catalogue.gpus) == len(load().gpus)
