"""The four scenarios, what the guide claims of them, and operators' own profiles that build on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.catalogue import loader
from gpu_bringup.catalogue.loader import load, survey
from gpu_bringup.catalogue.schema import schema_files
from gpu_bringup.errors import InputError
from gpu_bringup.model.catalogue import Catalogue, Scenario
from gpu_bringup.model.guide import GuideClaim
from gpu_bringup.model.versions import branch_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROFILES = Path(__file__).resolve().parents[2] / "profiles"
GUIDE = (PROFILES / "guide", PROFILES / "scenarios")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def claims(catalogue: Catalogue) -> dict[str, GuideClaim]:
    own = [claim for item in catalogue.scenarios.values() for claim in item.claims]
    every = [*catalogue.claims, *own]
    found = {claim.id: claim for claim in every}
    assert len(found) == len(every), "a claim has two homes"
    return found


# --- the project's own ----------------------------------------------------------------------------


def test_every_claim_of_the_guide_has_one_home(catalogue: Catalogue) -> None:
    assert set(claims(catalogue)) == {str(number) for number in range(1, 74)}


def test_a_claim_that_does_not_hold_says_why(catalogue: Catalogue) -> None:
    for claim in claims(catalogue).values():
        assert claim.said and claim.now and claim.sources, claim.id
        assert claim.holds == (not claim.reason), claim.id


@pytest.mark.parametrize(
    ("name", "driver", "kernels", "cuda", "system"),
    [
        ("long-term-stable", "535.129.03", ("5.15",), "12.2", ""),
        ("new-hardware", "550.54.15", ("6.6", "6.8"), "12.4", ""),
        ("kubernetes", "525.105.17", ("5.15", "6.1"), "", ""),
        ("compliance", "535.129.03", ("5.14.0-427",), "12.2", "rhel:9.4"),
    ],
)
def test_what_the_guide_named_can_be_pinned(
    catalogue: Catalogue, name: str, driver: str, kernels: tuple[str, ...], cuda: str, system: str
) -> None:
    item = catalogue.scenarios[name]
    assert (item.guide_driver, item.guide_kernel) == (driver, kernels)
    assert (item.guide_cuda, item.guide_os) == (cuda, system)
    assert driver in catalogue.releases
    assert catalogue.branches[branch_of(driver)].status == "ended"
    assert driver in item.guide
    assert item.guide_difference
    if cuda:
        assert cuda in {toolkit.version for toolkit in catalogue.toolkits}
    # What one is told in short is backed by a claim on the driver.
    assert any(driver in f"{claim.said}{claim.reason}{claim.now}" for claim in item.claims)


def test_no_source_of_the_guide_is_unused_and_each_says_when_it_was_read() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PROFILES.rglob("*.toml")]
    for entry in tomllib.loads((PROFILES / "guide/sources.toml").read_text(encoding="utf-8"))[
        "source"
    ]:
        assert entry["title"] and entry["read"], entry["id"]
        assert sum(f'"{entry["id"]}"' in text for text in texts) > 1, entry["id"]


def plain(value: Any) -> Any:
    """TOML's dates as JSON has them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, bool, int, float)) else value.isoformat()


def schemas() -> dict[str, Any]:
    import json

    return {name.partition(".")[0]: json.loads(text) for name, text in schema_files().items()}


def test_all_data_fits_the_closed_schemas() -> None:
    """jsonschema knows nothing of our loader: two readers, one answer."""
    from jsonschema import Draft202012Validator, FormatChecker

    validators = {
        kind: Draft202012Validator(schema, format_checker=FormatChecker())
        for kind, schema in schemas().items()
    }
    seen = set()
    for path in sorted(PROFILES.rglob("*.toml")):
        if path.parent.name == "lessons":
            continue
        content = plain(tomllib.loads(path.read_text(encoding="utf-8")))
        for kind in set(content) - {"as_of"}:
            seen.add(kind)
            errors = [error.message for error in validators[kind].iter_errors(content)]
            assert not errors, (path.name, errors[:3])
    assert {"scenario", "claim", "source", "gpu", "branch"} <= seen


OWN = """
[[source]]
id = "acme-4711"
title = "ACME certified stack, document 4711"
url = ""
read = 2026-11-01

[[scenario]]
id = "acme"
title = "ACME certified stack"
extends = "compliance"
pinned_driver = "580.178.04"
pinned_kernel = "6.12.107+deb13-amd64"
pinned_cuda = "12.9"
os = ["debian:13"]
add_extras = ["container-toolkit"]
sources = ["acme-4711"]
"""


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (OWN, True),
        (OWN.replace('extends = "compliance"\n', ""), False),
        (OWN.replace("pinned_cuda", "pinned_coda"), False),
        (OWN.replace('"12.9"', '"12"'), False),
        (OWN.replace('["container-toolkit"]', '["containertoolkit"]'), False),
    ],
)
def test_the_schema_and_the_loader_agree(tmp_path: Path, text: str, valid: bool) -> None:
    from jsonschema import Draft202012Validator

    found = Draft202012Validator(schemas()["scenario"]).is_valid(plain(tomllib.loads(text)))
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    assert found is valid
    assert (not survey(tmp_path).problems) is valid


# --- operators' own -------------------------------------------------------------------------------


def put(folder: Path, text: str, name: str = "own.toml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_profile_takes_over_what_it_does_not_say(tmp_path: Path) -> None:
    catalogue = load(put(tmp_path, OWN))
    own, base = catalogue.scenarios["acme"], catalogue.scenarios["compliance"]
    assert (own.branch_types, own.min_support_months) == (base.branch_types, 12)
    assert (own.hold, own.summary) == (True, base.summary)
    assert own.pinned_driver == "580.178.04"
    assert own.os == ("debian:13",)
    # Added to, and what it means for containers.
    assert own.extras == ("container-toolkit",)
    assert own.containers
    assert own.sources == ("acme-4711", *base.sources)
    # What the guide said of the other is not said of this one.
    assert (own.guide, own.guide_driver, own.claims) == ("", "", ())
    origin = catalogue.origins["acme"]
    assert (origin.kind, origin.extends) == ("folder", ("compliance",))
    assert origin.file == f"{tmp_path}/own.toml"
    inherited = dict(origin.inherited)
    assert inherited["hold"] == "compliance"
    assert not inherited.keys() & {"pinned_driver", "containers", "extras", "title", "os"}
    assert catalogue.origins["compliance"].kind == "project"


def test_a_chain_over_files_and_folders(tmp_path: Path) -> None:
    text = '[[scenario]]\nid = "lab"\nextends = "acme"\nhold = false\n'
    put(tmp_path, OWN, "z.toml")
    catalogue = load(put(tmp_path, text, "a.toml"))
    lab = catalogue.scenarios["lab"]
    assert (lab.title, lab.hold, lab.pinned_cuda) == ("lab", False, "12.9")
    assert catalogue.origins["lab"].extends == ("acme", "compliance")
    assert dict(catalogue.origins["lab"].inherited)["pinned_cuda"] == "acme"


def test_a_profile_of_the_projects_can_be_changed_in_place(tmp_path: Path) -> None:
    text = '[[scenario]]\nid = "kubernetes"\nextends = "kubernetes"\nmin_support_months = 18\n'
    before = load().scenarios
    catalogue = load(put(tmp_path, text))
    changed = catalogue.scenarios["kubernetes"]
    assert changed.min_support_months == 18
    assert (changed.title, changed.claims) == (
        before["kubernetes"].title,
        before["kubernetes"].claims,
    )
    assert catalogue.origins["kubernetes"].replaces
    assert list(catalogue.scenarios) == list(before)


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ('"compliance"', '"complience"', "'acme'.extends", "did you mean 'compliance'?"),
        ('"compliance"', '"zzz"', "'acme'.extends", "there are compliance, kubernetes"),
        ('"compliance"', '"acme"', "'acme'.extends", "a cycle: acme -> acme"),
        ('"compliance"', "7", "'acme'.extends", "7 isn't a text"),
        ("pinned_cuda", "pinned_kuda", "'acme'.pinned_kuda", "did you mean 'pinned_cuda'?"),
        ('"580.178.04"', '"R580"', "'acme'.pinned_driver", "isn't a driver version"),
        ('"580.178.04"', '"595.71.05"', "'acme'.pinned_driver", "'production', but branch_types"),
        ('"580.178.04"', '"580.1"', "'acme'.pinned_driver", "branch 580 begins with 580.65.06"),
        ('"580.178.04"', '"999.10"', "'acme'.pinned_driver", "is in no driver branch"),
        ('"12.9"', '"12.95"', "'acme'.pinned_cuda", "there is no CUDA toolkit 12.95"),
        ('"12.9"', "12.9", "'acme'.pinned_cuda", "12.9 isn't a text"),
        ('"6.12.107+deb13-amd64"', '"six"', "'acme'.pinned_kernel", "isn't a kernel series"),
        ('"debian:13"', '"debain:13"', "'acme'.os[0]", "did you mean 'debian'?"),
        ('["container-toolkit"]', '["toolkit"]', "'acme'.add_extras[0]", "none of container-to"),
        ("[[scenario]]", "[[scenario]]\ncontainers = false", "'acme'.containers", "is false, but"),
        ('["acme-4711"]', '["acme-4712"]', "'acme'.sources[0]", "did you mean 'acme-4711'?"),
        ("2026-11-01", '"2026-11-01"', "'acme-4711'.read", "isn't a date"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key_and_the_others_still_load(
    tmp_path: Path, old: str, new: str, place: str, words: str
) -> None:
    assert old in OWN
    folder = put(tmp_path, OWN.replace(old, new))
    put(folder, OWN.replace("acme", "good"), "good.toml")
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.file == f"{folder}/own.toml"
    assert caught.value.exit_code == 2
    found = survey(folder)
    assert {"good", "compliance", "long-term-stable"} <= set(found.catalogue.scenarios)
    assert "acme" not in found.catalogue.scenarios
    assert found.problems[0].message == caught.value.message
    assert place in found.problems[0].place
    assert found.problems[0].place.startswith("line ")
    assert words in found.problems[0].message


def test_a_cycle_is_named_at_each_of_its_profiles(tmp_path: Path) -> None:
    text = "".join(
        f'[[scenario]]\nid = "{name}"\nextends = "{other}"\n'
        for name, other in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"))
    )
    found = survey(put(tmp_path, text))
    assert [error.message.rpartition(": ")[2] for error in found.problems] == [
        "a -> b -> c -> a",
        "b -> c -> a -> b",
        "c -> a -> b -> c",
        "d -> a -> b -> c -> a",
    ]
    assert len(found.catalogue.scenarios) == 4


def test_a_long_chain_has_an_end(tmp_path: Path) -> None:
    rows = ['[[scenario]]\nid = "p0"\nextends = "compliance"\n']
    rows += [f'[[scenario]]\nid = "p{n}"\nextends = "p{n - 1}"\n' for n in range(1, 400)]
    found = survey(put(tmp_path, "".join(rows)))
    assert "p10" in found.catalogue.scenarios
    assert "a chain that is too long" in found.problems[0].message


def test_what_builds_on_a_broken_profile_says_so(tmp_path: Path) -> None:
    text = '[[scenario]]\nid = "lab"\nextends = "acme"\n'
    folder = put(tmp_path, text + OWN.replace('"12.9"', "12.9"))
    problems = survey(folder).problems
    assert "12.9 isn't a text" in problems[0].message
    assert f"the profile 'acme' of {folder}/own.toml is wrong itself" in problems[1].message


def test_every_field_of_a_profile_can_be_taken_over(tmp_path: Path) -> None:
    """A field that is added later is inherited, too, unless it speaks of the profile alone."""
    own = {"id", "title", "extends", "add_extras", "claims", "sources", "containers", "extras"}
    given = {"pinned_driver", "pinned_kernel", "pinned_cuda", "os"}
    catalogue = load(put(tmp_path, OWN + '[[scenario]]\nid = "lab"\nextends = "acme"\n'))
    lab, acme = catalogue.scenarios["lab"], catalogue.scenarios["acme"]
    for name in set(Scenario.__dataclass_fields__) - own:
        assert getattr(lab, name) == getattr(acme, name), name
    assert given <= dict(catalogue.origins["lab"].inherited).keys()


def test_the_hosts_own_folder_and_one_by_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder comes before the ones below it, and can build on them."""
    host, extra = tmp_path / "host", tmp_path / "extra"
    monkeypatch.setattr(loader, "OPERATOR_PROFILES", host)
    put(host, OWN)
    put(extra, '[[scenario]]\nid = "acme"\nextends = "acme"\npinned_cuda = "12.8"\n')
    below, above = load(), load(extra)
    assert below.origins["acme"].kind == "host"
    assert (below.scenarios["acme"].pinned_cuda, above.scenarios["acme"].pinned_cuda) == (
        "12.9",
        "12.8",
    )
    assert above.scenarios["acme"].title == "ACME certified stack"
    assert above.origins["acme"].extends == ("acme", "compliance")
    assert above.origins["acme"].replaces
    assert not below.origins["acme"].replaces
    # A mistake in the nearer folder leaves the other one's as it was.
    put(extra, '[[scenario]]\nid = "acme"\nextends = "acme"\npinned_cuda = "77.1"\n')
    found = survey(extra)
    assert len(found.problems) == 1
    assert found.catalogue.scenarios["acme"].pinned_cuda == "12.9"
    assert found.catalogue.origins["acme"].kind == "host"
