"""The GPU Operator's values file and the container's base image: valid, known keys, right choices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu_bringup import engine
from gpu_bringup.catalogue.loader import load
from gpu_bringup.cli import main
from gpu_bringup.export.container import container_file
from gpu_bringup.export.kubernetes import KEYS, gpu_operator_values
from gpu_bringup.export.node import Node, checks, newest_operator, node_of, precompiled
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.enums import Flavour, InstallMethod
from gpu_bringup.model.target import DriverChoice, Target, Verdict
from gpu_bringup.model.versions import driver_key
from gpu_bringup.rules.describe import validate_answers

ROOT = Path(__file__).resolve().parents[2]
NODE = Node(
    system="ubuntu:24.04",
    kernels=("6.8.0-87-generic",),
    arch="x86_64",
    host_driver="",
    host_method=InstallMethod.NONE,
    host_toolkit="",
    toolkit_configured=False,
    runtimes=("containerd",),
    nouveau=False,
    secure_boot=False,
    cgroup2=None,
)

# Keys of the chart's own values.yaml (NVIDIA/gpu-operator, deployments/gpu-operator/values.yaml, commit
# d7413be9727387537b654a25d25f932767794663, v24.6) below the tables that our file touches;
# driver.kernelModuleType and cdi.nriPluginEnabled are in the Helm values reference of v26.7.0.
CHART = {
    "driver": {
        "enabled", "nvidiaDriverCRD", "kernelModuleType", "usePrecompiled", "repository", "image",
        "version", "imagePullPolicy", "imagePullSecrets", "startupProbe", "rdma", "upgradePolicy",
        "manager", "env", "resources", "repoConfig", "certConfig", "licensingConfig",
        "virtualTopology", "kernelModuleConfig",
    },
    "toolkit": {
        "enabled", "repository", "image", "version", "imagePullPolicy", "imagePullSecrets", "env",
        "resources", "installDir",
    },
    "cdi": {"enabled", "default", "nriPluginEnabled"},
    "mig": {"strategy"},
    "validator": {
        "repository", "image", "version", "imagePullPolicy", "imagePullSecrets", "env", "args",
        "resources", "plugin",
    },
}  # fmt: skip


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    return load()


@lru_cache(maxsize=1)
def base_target() -> Target:
    answers = Answers(
        scenario="kubernetes", gpus=("h200",), os="ubuntu:24.04", kernel="6.8.0-87-generic"
    )
    validate_answers(answers, catalogue())
    chosen = engine.recommend(None, answers, catalogue()).chosen
    assert chosen is not None
    return chosen.target


def target(version: str = "", flavour: Flavour = Flavour.OPEN, **fields: Any) -> Target:
    release = newest_operator(catalogue())
    assert release is not None
    version = version or next(item for item in release.drivers if item.startswith("580."))
    choice = DriverChoice(version.split(".")[0], version, flavour)
    return replace(base_target(), driver=choice, **fields)


def values(node: Node = NODE, what: Target | None = None) -> dict[str, Any]:
    document = yaml.safe_load(gpu_operator_values(node, what or target(), catalogue()))
    assert isinstance(document, dict)
    return document


def leaves(document: Any, path: str = "") -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path


NODES = [
    replace(NODE, secure_boot=secure, host_driver=driver, system=system, runtimes=runtimes)
    for secure, driver, system, runtimes in product(
        (True, False, None),
        ("", "550.54.15"),
        ("ubuntu:24.04", "ubuntu:26.04", "rhel:9.8", "debian:13", "rocky:9.7", ""),
        (("containerd",), ("docker",), None),
    )
]


@pytest.mark.parametrize("node", NODES)
def test_every_file_is_yaml_with_keys_of_the_chart(node: Node) -> None:
    for fabric, flavour in product(
        ("none", "fabricmanager", "fabricmanager+nvlsm", "imex"), Flavour
    ):
        document = values(node, target(flavour=flavour, fabric=fabric))
        assert set(leaves(document)) <= set(KEYS)
        for table, content in document.items():
            assert set(content) <= CHART[table]
        driver = document["driver"]
        assert isinstance(driver["enabled"], bool)
        if driver["enabled"]:
            assert isinstance(driver["version"], str)
            assert driver["kernelModuleType"] == flavour.value
        else:
            assert set(driver) == {"enabled"}


def test_a_fresh_node_gets_its_driver_pinned_from_the_operator() -> None:
    what = target()
    document = values(NODE, what)
    assert document["driver"] == {
        "enabled": True,
        "version": what.driver.version,
        "usePrecompiled": False,
        "kernelModuleType": "open",
        "upgradePolicy": {"autoUpgrade": False},
    }
    assert document["toolkit"] == {"enabled": True}
    assert document["cdi"] == {"enabled": True}
    assert document["validator"]["plugin"]["env"] == [{"name": "WITH_WORKLOAD", "value": "true"}]


def test_a_point_release_that_has_no_container_is_replaced_within_its_branch() -> None:
    text = gpu_operator_values(NODE, target("580.999.99"), catalogue())
    assert yaml.safe_load(text)["driver"]["version"] == target().driver.version
    assert "Recommended for the host is 580.999.99" in text


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (replace(NODE, host_driver="580.95.05"), "the host has driver 580.95.05 already"),
        (replace(NODE, system="debian:13"), "no driver containers for debian:13"),
        (replace(NODE, system=""), "is not known"),
        (
            replace(NODE, secure_boot=True, kernels=("6.17.0-9-generic",)),
            "modules that a driver container builds on the node are not signed",
        ),
    ],
)
def test_when_the_host_keeps_the_driver(node: Node, words: str) -> None:
    text = gpu_operator_values(node, target(), catalogue())
    assert yaml.safe_load(text)["driver"] == {"enabled": False}
    assert words in " ".join(text.replace("#", " ").split())


def test_secure_boot_takes_the_precompiled_driver_by_its_branch() -> None:
    driver = values(replace(NODE, secure_boot=True))["driver"]
    assert (driver["version"], driver["usePrecompiled"]) == ("580", True)
    arm = values(replace(NODE, secure_boot=True, arch="aarch64"))["driver"]
    assert not arm.get("usePrecompiled", False), "precompiled images are for x86_64"


def test_580_is_not_precompiled_for_ubuntu_26_04() -> None:
    release = newest_operator(catalogue())
    assert release is not None
    node = replace(NODE, system="ubuntu:26.04", kernels=("7.0.0-12-generic",))
    assert precompiled(node, release, "580") == ()
    assert precompiled(node, release, "595") == node.kernels


def test_the_hosts_own_toolkit_is_kept_where_it_is_configured() -> None:
    own = replace(NODE, host_toolkit="1.20.0", toolkit_configured=True)
    assert values(own)["toolkit"] == {"enabled": False}
    assert values(replace(own, toolkit_configured=False))["toolkit"] == {"enabled": True}


def test_names_from_the_host_stay_in_their_comments() -> None:
    node = replace(NODE, system="x\ndriver: {enabled: 7}", kernels=("1\r\n- a", "\u2028b: c"))
    document = values(node, replace(target(), gpus=("evil\nmig: 3",)))
    assert set(leaves(document)) <= set(KEYS)
    assert document["driver"] == {"enabled": False}


def told(node: Node, what: Target | None = None) -> dict[str, Verdict]:
    found = checks(node, newest_operator(catalogue()), what or target())
    return {item.text: item.verdict for item in found}


def verdict(node: Node, words: str) -> Verdict:
    (found,) = [state for text, state in told(node).items() if words in text]
    return found


def test_what_must_hold_before_the_operator_comes() -> None:
    assert verdict(NODE, ".run installer") is Verdict.OK
    runfile = replace(NODE, host_method=InstallMethod.RUNFILE)
    assert verdict(runfile, ".run installer") is Verdict.VIOLATED
    assert verdict(replace(NODE, nouveau=True), "nouveau") is Verdict.VIOLATED
    assert verdict(replace(NODE, nouveau=None), "nouveau") is Verdict.UNKNOWN
    assert verdict(replace(NODE, runtimes=("docker",)), "containerd") is Verdict.VIOLATED
    assert verdict(replace(NODE, cgroup2=False), "cgroup v1") is Verdict.VIOLATED
    assert verdict(NODE, "precompiled R580 driver is known") is Verdict.OK
    other = replace(NODE, kernels=("6.17.0-9-generic",))
    assert verdict(other, "no precompiled R580") is Verdict.UNKNOWN
    assert verdict(replace(NODE, secure_boot=None), "Secure Boot") is Verdict.UNKNOWN


def test_a_recorded_host_is_a_node() -> None:
    host = engine.open_host(ROOT / "tests/hosts/debian13-fresh.json")
    node = node_of(engine.observe(host), Answers())
    assert node.system == "debian:13"
    assert node.kernels == ("6.12.107+deb13-amd64",)
    assert node.nouveau is True
    assert node.host_driver == ""


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    record = str(ROOT / "tests/hosts/debian13-fresh.json")
    wish = ["--host", record, "--scenario", "kubernetes"]
    assert main(["plan", "--format", "gpu-operator", *wish]) == 0
    text = capsys.readouterr().out
    assert yaml.safe_load(text)["driver"] == {"enabled": False}
    assert "[MEND FIRST] nouveau is loaded" in text
    assert main(["recommend", *wish]) == 0
    assert "This node, before the GPU Operator comes" in capsys.readouterr().out
    assert main(["recommend", "--json", *wish]) == 0
    found = json.loads(capsys.readouterr().out)["node_checks"]
    assert {item["verdict"] for item in found} <= {"ok", "violated", "unknown"}


# --- base images ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["550.163.01", "570.211.01", "580.178.04", "620.70.06"])
def test_a_base_image_that_the_driver_serves(version: str) -> None:
    what = target(version)
    text = container_file(what, catalogue())
    (code,) = [line for line in text.splitlines() if not line.startswith("#")]
    tag = code.removeprefix("FROM ").partition(":")[2]
    (image,) = [item for item in catalogue().stack.images if item.tag == tag]
    (toolkit,) = [item for item in catalogue().toolkits if item.version == image.cuda]
    assert driver_key(toolkit.driver) <= driver_key(version)
    assert "The driver isn't in the image and must not be" in " ".join(
        text.replace("#", "").split()
    )


def test_without_a_fitting_image_none_is_made_up() -> None:
    text = container_file(target("470.256.02"), catalogue())
    assert not [line for line in text.splitlines() if not line.startswith("#")]
    assert "No tag of nvidia/cuda on record" in text


def test_the_command_prints_a_dockerfile(capsys: pytest.CaptureFixture[str]) -> None:
    record = str(ROOT / "tests/hosts/debian13-fresh.json")
    assert main(["plan", "--format", "container", "--host", record]) == 0
    assert "\nFROM nvidia/cuda:" in capsys.readouterr().out


def test_a_frameworks_own_image_comes_first_and_is_the_only_stage() -> None:
    known = catalogue()
    vllm = next(f for f in known.frameworks if f.id == "vllm" and f.version == "0.33.0")
    lines = container_file(target("580.178.04"), known, vllm, "ubuntu:24.04").splitlines()
    assert [line for line in lines if line.startswith("FROM ")] == ["FROM vllm/vllm-openai:v0.33.0"]
    assert any(line.startswith("# FROM nvidia/cuda:") and "ubuntu24.04" in line for line in lines)
    assert not any("docs.rs" in line for line in lines)
    old = container_file(target("570.195.03"), known, vllm)
    assert "vllm/vllm-openai" not in old


@pytest.mark.parametrize(
    ("system", "named"),
    [("ubuntu:22.04", "ubuntu22.04"), ("rocky:9.6", "ubi9"), ("arch:1", "ubuntu")],
)
def test_the_base_image_is_of_the_hosts_release_where_a_tag_is_known(
    system: str, named: str
) -> None:
    text = container_file(target("580.178.04"), catalogue(), system=system)
    (line,) = [item for item in text.splitlines() if item.startswith("FROM ")]
    assert named in line
