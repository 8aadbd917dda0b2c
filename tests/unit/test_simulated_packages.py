"""Archives, preferences and dpkg's database of a simulated machine."""

from __future__ import annotations

from gpu_bringup.facts.dpkg import parse_status
from gpu_bringup.hosts.simulated import builders, sources
from gpu_bringup.hosts.simulated.packages import (
    CONFIG_FILES,
    HALF_CONFIGURED,
    Archive,
    Candidate,
    Database,
    Installed,
    Offer,
    dependency,
    newest_first,
    parse_pins,
    priority,
    status_text,
)

ARCHIVE = Archive("https://archive.example.org/cuda", "/", "", "NVIDIA", "NVIDIA CUDA")
PINS = """Package: *
Pin: release o=NVIDIA
Pin-Priority: 600

Package: libcuda* /^nvidia-/
Pin: version 580.142-*
Pin-Priority: 1001
"""


def test_a_pin_of_the_package_wins_over_one_of_everything() -> None:
    pins = parse_pins(PINS)
    assert priority(pins, Offer("libcuda1", "580.142-1"), ARCHIVE) == 1001
    assert priority(pins, Offer("nvidia-driver-cuda", "580.142-1"), ARCHIVE) == 1001
    assert priority(pins, Offer("make", "4.4"), ARCHIVE) == 600
    assert priority((), Offer("make", "4.4"), ARCHIVE) == 500


def test_the_highest_priority_comes_before_the_highest_version() -> None:
    old = Candidate(Offer("a", "1.9-1"), ARCHIVE, 1001)
    new = Candidate(Offer("a", "1.10-1"), ARCHIVE, 500)
    newer = Candidate(Offer("a", "1.10-2"), ARCHIVE, 500)
    assert newest_first([new, old, newer]) == [old, newer, new]


def test_dependencies_have_alternatives_and_exact_versions() -> None:
    assert dependency("a (= 1-1) | b") == (("a", "1-1"), ("b", ""))
    assert dependency("libc6 (>= 2.38)") == (("libc6", ""),)


def test_what_is_provided_counts_without_a_version() -> None:
    have = Database({"gcc-14": Installed(Offer("gcc-14", "14", provides=("c-compiler",)))})
    assert have.has("c-compiler") and not have.has("c-compiler", "14")
    have.installed["gcc-14"] = Installed(Offer("gcc-14", "14"), CONFIG_FILES)
    assert not have.has("gcc-14")


def test_the_status_file_is_read_as_it_was_meant() -> None:
    text = status_text(
        {
            "a": Installed(Offer("a", "1-1"), held=True),
            "b": Installed(Offer("b", "2-1", depends=("a",)), HALF_CONFIGURED),
            "c": Installed(Offer("c", "3-1"), CONFIG_FILES),
        },
        "amd64",
    )
    assert [(p.name, p.version, p.status) for p in parse_status(text)] == [
        ("a", "1-1", "hi"),
        ("b", "2-1", "iF"),
        ("c", "3-1", "rc"),
    ]


def test_only_configured_sources_offer_anything() -> None:
    fresh = builders.build("debian13", driver="none")
    assert not sources.candidates(fresh, "nvidia-kernel-open-dkms")
    ready = builders.build("debian13")
    found = sources.candidates(ready, "nvidia-kernel-open-dkms")
    assert [item.offer.version for item in found] == ["580.178.04-1", "580.159.03-1", "580.142-1"]
