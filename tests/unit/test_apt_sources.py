"""Editing apt's source files: only what must change does, in whatever shape the file is."""

from __future__ import annotations

import pytest

from gpu_bringup.families import apt_sources

DEBIAN_12 = ("contrib", "non-free", "non-free-firmware")
KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"

CLOUD_IMAGE = f"""\
Types: deb deb-src
# A comment inside the stanza
URIs: https://archive.example.org/debian
Suites: trixie trixie-updates
Components: main
Signed-By: {KEY}

Types: deb
URIs: https://archive.example.org/debian-security
Suites: trixie-security
Components: main contrib
X-Unknown: kept
Signed-By: {KEY}
"""


def enable(text: str, path: str = "/etc/apt/sources.list", codename: str = "bookworm") -> str:
    """The edited text, or the same text when nothing was changed."""
    edited = apt_sources.enable({path: text}, DEBIAN_12, codename)
    assert edited.problems == ()
    return edited.changed.get(path, text)


def deb822(text: str, codename: str = "bookworm") -> str:
    return enable(text, "/etc/apt/sources.list.d/debian.sources", codename)


def problem(text: str, path: str) -> str:
    edited = apt_sources.enable({path: text}, DEBIAN_12, "bookworm")
    assert edited.changed == {}
    assert len(edited.problems) == 1
    return edited.problems[0]


def test_deb822_keeps_everything_but_the_components() -> None:
    expected = CLOUD_IMAGE.replace(
        "Components: main\n", "Components: main contrib non-free non-free-firmware\n"
    ).replace("main contrib\n", "main contrib non-free non-free-firmware\n")
    assert deb822(CLOUD_IMAGE, "trixie") == expected


@pytest.mark.parametrize(
    "line",
    [
        "deb http://archive.example.org/debian bookworm main",
        "deb\thttp://archive.example.org/debian\tbookworm\tmain",
        "  deb   http://archive.example.org/debian/   bookworm-updates   main",
        f"deb [arch=amd64 signed-by={KEY}] http://archive.example.org/debian bookworm main",
        f"deb [ arch=amd64,i386  signed-by={KEY} ] http://m.example.org/x bookworm main",
        "deb http://archive.example.org/debian-security bookworm-security main",
        "deb http://security.example.org/ bookworm-security main",
        "deb http://archive.example.org/debian bookworm-backports main",
        "deb http://archive.example.org/debian stable main",
        "deb http://archive.example.org/debian buster/updates main".replace("buster", "bookworm"),
        "deb [trusted=yes] http://archive.example.org/debian bookworm main",
    ],
)
def test_one_line_entries_of_the_distribution_get_all_components(line: str) -> None:
    assert enable(line + "\n") == line + " contrib non-free non-free-firmware\n"


@pytest.mark.parametrize(
    "line",
    [
        "# deb http://archive.example.org/debian bookworm main",
        "#deb http://archive.example.org/debian bookworm main",
        "deb-src http://archive.example.org/debian bookworm main",
        "deb cdrom:[Debian GNU/Linux 12.0.0 _Bookworm_ - Official amd64 DVD]/ bookworm main",
        "deb file:///srv/debian bookworm main",
        "deb https://apt.example.com bookworm main",
        "deb [signed-by=/usr/share/keyrings/vendor.gpg] https://x.example.com/debian bookworm main",
        "deb https://download.example.com/linux/debian bookworm stable",
        "deb http://archive.example.org/debian trixie main",
        "deb http://archive.example.org/debian sid main",
        "deb https://nvidia.example.com/cuda/repos/debian12/x86_64/ /",
        "deb http://archive.example.org/debian bookworm contrib",
        "deb http://archive.example.org/debian bookworm main contrib non-free non-free-firmware",
        "",
        "   ",
    ],
)
def test_everything_else_is_left_alone(line: str) -> None:
    assert enable(line + "\n") == line + "\n"
    assert enable(line) == line


def test_only_what_is_missing_is_added_and_order_stays() -> None:
    line = "deb http://archive.example.org/debian bookworm non-free-firmware main non-free"
    assert enable(line) == line + " contrib"


def test_a_comment_at_the_end_of_a_line_stays_at_its_end() -> None:
    text = "deb http://archive.example.org/debian bookworm main  # the mirror in Bonn\n"
    assert enable(text) == (
        "deb http://archive.example.org/debian bookworm main contrib non-free non-free-firmware"
        "  # the mirror in Bonn\n"
    )


def test_line_ends_and_a_missing_final_newline_stay() -> None:
    text = "# top\r\ndeb http://archive.example.org/debian bookworm main\r\n\r\n# end"
    assert enable(text) == text.replace(
        "bookworm main\r", "bookworm main contrib non-free non-free-firmware\r"
    )
    tail = "Types: deb\r\nURIs: http://a.example.org/debian\r\nSuites: bookworm\r\nComponents: main"
    assert deb822(tail) == tail + " contrib non-free non-free-firmware"


def test_deb822_continuation_lines_and_comments_between_them() -> None:
    text = (
        "Types: deb\nURIs:\n http://a.example.org/debian\n http://b.example.org/debian\n"
        "Suites: bookworm\n bookworm-updates\nComponents:\n main\n# firmware comes below\n"
        " non-free-firmware\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ\n"
    )
    # An embedded key tells nothing of its owner: such an entry isn't taken for the distribution's.
    assert deb822(text) == text
    named = text[: text.index("Signed-By")]
    assert deb822(named) == named.replace(
        " non-free-firmware\n", " non-free-firmware contrib non-free\n"
    )


@pytest.mark.parametrize("word", ["no", "No", "false", "0", "off", "disable", "without"])
def test_a_stanza_that_is_switched_off_stays_as_it_is(word: str) -> None:
    text = f"Enabled: {word}\n" + CLOUD_IMAGE.split("\n\n")[0] + "\n"
    assert deb822(text, "trixie") == text


@pytest.mark.parametrize("word", ["yes", "true", "1"])
def test_a_stanza_that_says_it_is_on_is_edited(word: str) -> None:
    text = f"enabled: {word}\n" + CLOUD_IMAGE.split("\n\n")[0] + "\n"
    assert "main contrib non-free" in deb822(text, "trixie")


def test_field_names_are_case_insensitive_and_stanzas_may_be_far_apart() -> None:
    text = (
        "\n\n# first\n\ntypes: deb\nURIS: http://a.example.org/debian\nsuites: bookworm\n"
        "COMPONENTS: main\n \t\n\n\n# last\n"
    )
    assert deb822(text) == text.replace("main\n", "main contrib non-free non-free-firmware\n", 1)


def test_a_stanza_that_mixes_releases_is_left_alone() -> None:
    text = CLOUD_IMAGE.replace("trixie trixie-updates", "trixie sid")
    assert "Suites: trixie sid\nComponents: main\n" in deb822(text, "trixie")


def test_a_deb822_stanza_only_for_source_packages_is_left_alone() -> None:
    text = CLOUD_IMAGE.split("\n\n")[0].replace("deb deb-src", "deb-src") + "\n"
    assert deb822(text, "trixie") == text


@pytest.mark.parametrize(
    "text", [CLOUD_IMAGE, CLOUD_IMAGE.replace("\n", "\r\n"), "", "# nothing\n"]
)
def test_a_second_edit_changes_nothing(text: str) -> None:
    once = deb822(text, "trixie")
    assert deb822(once, "trixie") == once


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("rpm http://a.example.org/debian bookworm main\n", "line 1"),
        ("deb http://a.example.org/debian bookworm main\ndeb\n", "line 2"),
        ("deb http://a.example.org/debian bookworm\n", "line 1"),
        ("deb [arch=amd64 http://a.example.org/debian bookworm main\n", "line 1"),
        ("<html>404</html>\n", "line 1"),
    ],
)
def test_a_one_line_file_that_is_not_understood_is_left_alone_and_named(
    text: str, where: str
) -> None:
    said = problem(text, "/etc/apt/sources.list.d/odd.list")
    assert said.startswith("/etc/apt/sources.list.d/odd.list, " + where)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (CLOUD_IMAGE + "Components: main\n", "line 14"),
        ("deb http://a.example.org/debian bookworm main\n", "line 1"),
        (" main\n", "line 1"),
        ("Types: deb\nSuites: bookworm\nComponents: main\n", "line 1"),
        ("\x00\x01junk", "line 1"),
    ],
)
def test_a_deb822_file_that_is_not_understood_is_left_alone_and_named(
    text: str, where: str
) -> None:
    said = problem(text, "/etc/apt/sources.list.d/odd.sources")
    assert said.startswith("/etc/apt/sources.list.d/odd.sources, " + where)


def test_one_bad_file_does_not_keep_the_others_from_being_edited() -> None:
    good = "deb http://a.example.org/debian bookworm main\n"
    edited = apt_sources.enable({"/b.list": good, "/a.list": "?\n"}, ("contrib",), "bookworm")
    assert edited.changed == {"/b.list": good.replace("main", "main contrib")}
    assert edited.problems[0].startswith("/a.list, line 1")


def test_files_that_apt_does_not_read_are_passed_over() -> None:
    files = {"/etc/apt/sources.list.d/debian.sources.dpkg-old": CLOUD_IMAGE, "/x/y.save": "?"}
    edited = apt_sources.enable(files, DEBIAN_12, "trixie")
    assert (edited.changed, edited.problems) == ({}, ())
    assert apt_sources.private_sources(files, DEBIAN_12, "trixie") == {}


def test_private_sources_hold_every_file_edited_or_not() -> None:
    foreign = "deb [signed-by=/k.gpg] https://vendor.example.com/apt trixie main\n"
    broken = "nonsense\n"
    files = {"/d.sources": CLOUD_IMAGE, "/v.list": foreign, "/b.list": broken}
    private = apt_sources.private_sources(files, DEBIAN_12, "trixie")
    assert private == {
        "/d.sources": deb822(CLOUD_IMAGE, "trixie"),
        "/v.list": foreign,
        "/b.list": broken,
    }
    assert apt_sources.private_sources(files, DEBIAN_12) == private


def test_ubuntu_entries_are_told_by_key_and_path_as_well() -> None:
    text = (
        "Types: deb\nURIs: http://archive.example.org/ubuntu/\nSuites: noble noble-updates\n"
        "Components: main\nSigned-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
    )
    edited = apt_sources.enable({"/u.sources": text}, ("restricted", "multiverse"), "noble")
    assert "Components: main restricted multiverse\n" in edited.changed["/u.sources"]


def test_only_a_newline_ends_a_line() -> None:
    text = "# a form feed \x0c and \u2028 here\ndeb http://a.example.org/debian bookworm main\n"
    assert enable(text).startswith("# a form feed \x0c and \u2028 here\ndeb ")
