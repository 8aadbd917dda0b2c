"""scripts/check_cuda_stack.sh on systems laid out in folders, under every shell that is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.export.stack_table import BEGIN, END, updated
from stack_system import DRIVER, EFI, RELEASE, ROOT, SCRIPT, System, lay_out, run

pytestmark = pytest.mark.process

SHELLS = [shell for shell in ("bash", "dash", "busybox") if shutil.which(shell)]
LINES = re.compile(
    r"(?:OK|BROKEN|UNKNOWN|NOTE) +[a-z]+ +\S|         +-> \S|(?:Healthy|Broken|Unknown): "
)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


# --- in good order ------------------------------------------------------------------------------


@pytest.mark.parametrize("under", SHELLS)
def test_a_system_in_good_order(system: System, under: str) -> None:
    status, output = system.check(under=under)
    assert status == 0, output
    assert "BROKEN" not in output
    assert f"{RELEASE}: nvidia 580.159.04, open" in output
    assert "0000:00:06.0 (10de:2335, Hopper) is driven by nvidia" in output
    assert all(LINES.match(line) for line in output.splitlines())


@pytest.mark.parametrize(
    ("release", "place", "tree"),
    [
        (
            "6.12.107+deb13-amd64",
            "updates/dkms/nvidia-current-open.ko.xz",
            "usr/src/linux-headers-{}",
        ),
        ("6.12.107+deb13-arm64", "updates/dkms/nvidia-current.ko.xz", "usr/src/linux-headers-{}"),
        ("6.8.0-87-generic", "updates/dkms/nvidia.ko.zst", "usr/src/linux-headers-{}"),
        ("6.8.0-87-generic", "kernel/nvidia-580srv-open/nvidia.ko.zst", None),
        ("5.14.0-687.1.1.el9_8.x86_64", "extra/nvidia.ko.xz", "usr/src/kernels/{}"),
        ("4.18.0-553.el8_10.x86_64", "extra/drivers/video/nvidia/nvidia.ko.xz", None),
        ("6.17.7-300.fc43.x86_64", "extra/nvidia/nvidia.ko.xz", "usr/src/kernels/{}"),
        ("6.4.0-150700.53.22-default", "updates/nvidia.ko", "usr/src/linux-obj/x86_64/default"),
        ("6.12.0-160000.6-default", "updates/nvidia.ko.zst", None),
        ("6.1.158-178.288.amzn2023.x86_64", "extra/nvidia.ko.xz", "usr/src/kernels/{}"),
        ("6.8.0-87-generic", "kernel/drivers/video/nvidia.ko", "usr/src/linux-headers-{}"),
        ("5.10.0-36-amd64", "updates/dkms/nvidia.ko.gz", "usr/src/linux-headers-{}"),
    ],
)
@pytest.mark.parametrize("modinfo", [True, False])
def test_where_the_distributions_put_the_module(
    system: System, release: str, place: str, tree: str | None, modinfo: bool
) -> None:
    """DKMS with headers, prebuilt without; compressed or not; a rescue shell has no modinfo."""
    system.remove("lib/modules")
    system.write("proc/sys/kernel/osrelease", release + "\n")
    system.kernel(release, *(("", tree) if tree else (None,)))
    system.driver(release, place)
    if not modinfo:
        system.tool("modinfo", "exit 1")
    status, output = system.check()
    assert status == 0, output
    assert f"{release}: nvidia {DRIVER}, open" in output
    assert (f"headers     {release}: installed" in output) == bool(tree)


@pytest.mark.parametrize(
    "folder",
    ["usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib", "usr/local/nvidia/lib64", "opt/x"],
)
def test_where_the_libraries_are(system: System, folder: str) -> None:
    system.remove("usr/lib/x86_64-linux-gnu")
    system.libraries(folder, DRIVER)
    system.write("etc/ld.so.conf.d/x.conf", "# x\n/opt/x\n")
    status, output = system.check()
    assert status == 0, output
    system.load("570.211.01")
    assert "libcuda.so.1 is 580.159.04, the loaded module 570.211.01" in system.check()[1]


def test_debians_alternatives_are_links_of_that_system_not_of_this_one(system: System) -> None:
    folder = "usr/lib/x86_64-linux-gnu"
    for name in ("libcuda", "libnvidia-ml"):
        system.write(f"{folder}/nvidia/current/{name}.so.570.211.01")
        system.link(f"{folder}/nvidia/current/{name}.so.1", f"{name}.so.570.211.01")
        system.link(f"etc/alternatives/{name}", f"/{folder}/nvidia/current/{name}.so.1")
        system.link(f"{folder}/{name}.so.1", f"/etc/alternatives/{name}")
    assert "libcuda.so.1 is 570.211.01, the loaded module 580.159.04" in system.check()[1]


def test_rhel_weak_updates_are_links_to_another_release(system: System) -> None:
    system.remove(f"lib/modules/{RELEASE}/updates")
    old = "5.14.0-427.el9.x86_64"
    system.driver(old, "extra/nvidia.ko.xz")
    for name in ("nvidia", "nvidia-uvm"):
        system.link(
            f"lib/modules/{RELEASE}/weak-updates/{name}.ko.xz",
            f"/lib/modules/{old}/extra/{name}.ko.xz",
        )
    status, output = system.check()
    assert status == 0, output
    system.remove(f"lib/modules/{old}")
    assert "weak-updates/nvidia.ko.xz leads nowhere" in system.check()[1]


@pytest.mark.parametrize("record", ["h200-x1", "h200-x2"])
@pytest.mark.parametrize("under", SHELLS)
def test_a_recorded_host_whose_driver_comes_from_outside(
    system: System, record: str, under: str
) -> None:
    lay_out(system, ROOT / f"tests/hosts/{record}.json")
    status, output = system.check(under=under)
    assert (status, output.count("BROKEN")) == (0, 0), output
    assert output.count("is driven by nvidia") == int(record[-1])
    assert "OK       kernel      6.18.44-cloud-gpu is running" in output
    assert "OK       loaded      580.159.04, open is loaded" in output
    assert "OK       module      no kernel is installed on this file system" in output
    assert "OK       cuda        CUDA toolkit 13.0, installed: driver 580.159.04" in output


def test_a_recorded_host_without_its_links_is_not_called_broken(system: System) -> None:
    lay_out(system, ROOT / "tests/hosts/h200-x1.json")
    system.remove("usr/local/nvidia")
    system.remove("sys/bus/pci/devices/0000:00:06.0/driver")
    report = system.report()
    assert report["verdict"] == "broken"
    assert [item["id"] for item in report["rungs"] if item["state"] == "broken"] == ["gpu"]


def test_a_fresh_debian_is_broken_at_the_gpu(system: System) -> None:
    lay_out(system, ROOT / "tests/hosts/debian13-fresh.json")
    report = system.report()
    assert report["verdict"] == "broken"
    assert report["host"]["os"] == {
        "id": "debian",
        "version": "13",
        "name": "Debian GNU/Linux 13 (trixie)",
    }
    assert "nouveau" in report["root_cause"]["summary"]
    assert report["root_cause"]["cause"] == "nouveau-loaded"


# --- the faults of the script that the guide printed (claims 55 to 61 of its review) --------------


def mutated(tmp_path: Path, old: str, new: str) -> Path:
    """The script with one of the old faults put back."""
    text = SCRIPT.read_text()
    assert text.count(old) == 1, f"{old!r} is in the script {text.count(old)} times"
    path = tmp_path / "mutated.sh"
    path.write_text(text.replace(old, new))
    return path


def test_55_what_cannot_be_told_is_never_good(system: System, tmp_path: Path) -> None:
    """``set -e`` without pipefail: an empty version went on as if all were well."""
    system.remove("sys")
    status, output = system.check()
    assert status == 1
    assert output.splitlines()[-1].startswith("Unknown: ")
    for rung in ("gpu", "nouveau", "signature"):
        assert f"UNKNOWN  {rung} " in output
    fault = mutated(tmp_path, "|| verdict=unknown", "|| verdict=healthy")
    assert system.check(script=fault)[0] == 0


def function(name: str, script: Path = SCRIPT) -> str:
    found = re.search(rf"^{name}\(\) {{.*?^}}$", script.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


NVCC = {
    "12.4": "nvcc: NVIDIA (R) Cuda compiler driver\nCopyright (c) 2005-2024 NVIDIA Corporation\n"
    "Built on Thu_Mar_28_02:18:24_PDT_2024\nCuda compilation tools, release 12.4, V12.4.131\n"
    "Build cuda_12.4.r12.4/compiler.34097967_0\n",
    "13.0": "nvcc: NVIDIA (R) Cuda compiler driver\nCopyright (c) 2005-2025 NVIDIA Corporation\n"
    "Built on Wed_Aug_20_01:58:59_PM_PDT_2025\nCuda compilation tools, release 13.0, V13.0.88\n",
    "9.1": "nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release 9.1, V9.1.85\n",
    "": "bash: nvcc: cannot execute\n",
}


@pytest.mark.parametrize("version", NVCC)
def test_56_the_release_is_read_wherever_nvcc_prints_it(version: str) -> None:
    """``awk 'NR==3{print $6}'`` read the build date's line: the comparison was dead code."""

    def read(body: str) -> str:
        return subprocess.run(
            ["bash", "-c", f"{body}\ncuda_release"],
            input=NVCC[version],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    assert read(function("cuda_release")) == version
    assert read("cuda_release() { awk 'NR==3{print $6}'; }") != (version or "x")


def test_56_the_toolkits_own_file_is_read(system: System) -> None:
    system.cuda("12.4")
    assert (
        "OK       cuda        CUDA toolkit 12.4, installed: driver 580.159.04" in system.check()[1]
    )
    system.write("usr/local/cuda-11.0/version.txt", "CUDA Version 11.0.3\n")
    assert "CUDA toolkit 11.0, installed beside 12.4" in system.check()[1]


@pytest.mark.parametrize("tree", ["usr/src/kernels/{}", "usr/src/linux-obj/x86_64/default"])
def test_57_headers_are_where_the_kernel_says(system: System, tree: str, tmp_path: Path) -> None:
    """``/usr/src/linux-headers-$(uname -r)`` exists on Debian and Ubuntu alone."""
    system.remove(f"lib/modules/{RELEASE}/build")
    system.remove("usr/src")
    system.kernel(RELEASE, "", tree)
    status, output = system.check()
    assert status == 0, output
    assert f"OK       headers     {RELEASE}: installed" in output
    fault = mutated(
        tmp_path, 'resolve "/lib/modules/$release/build"', 'real="/usr/src/linux-headers-$release"'
    )
    assert f"{RELEASE}: installed" not in system.check(script=fault)[1]


def test_57_a_prebuilt_module_needs_no_headers(system: System) -> None:
    system.remove(f"lib/modules/{RELEASE}")
    system.remove("usr/src")
    system.kernel(RELEASE, None)
    system.driver(RELEASE, "kernel/nvidia-580srv-open/nvidia.ko")
    status, output = system.check()
    assert status == 0, output
    assert "not installed; the module that is there needs none" in output


ORDER = [
    ("580.95.05", "580.95.05", True),
    ("580.95.05", "580.95.5", True),
    ("580.100.01", "580.95.05", True),
    ("580.95.05", "580.100.01", False),
    ("580.08.09", "580.09.08", False),
    ("1000.1", "999.9", True),
    ("570.26", "570.26.01", False),
    ("570.26.01", "570.26", True),
    ("13.10", "13.9", True),
    ("", "1.0", False),
]


@pytest.mark.parametrize(("left", "right", "wanted"), ORDER)
@pytest.mark.parametrize("under", SHELLS)
def test_58_versions_are_compared_field_by_field(
    left: str, right: str, wanted: bool, under: str
) -> None:
    """``printf '%sn'`` made one word of two: every driver was too old."""
    command = [under, *(["sh"] if under == "busybox" else [])]
    program = f"{function('at_least')}\nat_least '{left}' '{right}'"
    done = subprocess.run([*command, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0 if wanted else 1, "")


def test_58_the_old_comparison_would_be_caught(system: System, tmp_path: Path) -> None:
    system.cuda("12.4")
    old = """at_least() { [ "$(printf '%sn' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }"""
    fault = mutated(tmp_path, function("at_least"), old)
    assert system.check()[0] == 0
    assert system.check(script=fault)[0] == 1


TOOLKITS = [(item.version, item.driver, item.minor_driver) for item in load().toolkits]


def below(version: str) -> str:
    fields = version.split(".")
    return f"{int(fields[0]) - 1}.999"


@pytest.mark.parametrize(("cuda", "full", "least"), TOOLKITS)
def test_59_every_threshold_is_the_catalogues(
    system: System, cuda: str, full: str, least: str
) -> None:
    """The script had 535.104.05 for CUDA 12.4: neither of the two thresholds."""
    for driver, words in (
        (full, f"driver {full} serves all of it (it needs {full})"),
        (least, f"driver {least} serves"),
        (below(least), f"driver {below(least)} is too old; it needs {least} at the least, {full}"),
    ):
        system.load(driver)
        output = system.check("--cuda", cuda)[1]
        assert f"CUDA {cuda}, asked for: {words}" in output
    if full != least:
        system.load(below(full) if below(full) > least else least)
        assert "by minor-version compatibility" in system.check("--cuda", cuda)[1]


def test_59_the_old_threshold_would_be_caught(system: System, tmp_path: Path) -> None:
    fault = mutated(tmp_path, "\n12.4 550.54.14 525.60.13\n", "\n12.4 535.104.05 535.104.05\n")
    system.load("530.30.02")
    assert "minor-version compatibility" in system.check("--cuda", "12.4")[1]
    assert "is too old" in system.check("--cuda", "12.4", script=fault)[1]


TORCH = """\
class version:
    cuda = "13.2"
__version__ = "2.15.0"
class cuda:
    is_available = staticmethod(lambda: AVAILABLE)
    device_count = staticmethod(lambda: 2)
    @staticmethod
    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old\\nmore")
class ones:
    def __init__(self, shape, device): pass
    def __matmul__(self, other): return self
    def sum(self): return SUM
"""


@pytest.mark.parametrize(
    ("available", "total", "words"),
    [
        (True, 256.0**3, "OK       cuda        torch 2.15.0 for CUDA 13.2 2 GPUs compute right"),
        (False, 0, "is_available() is False: The NVIDIA driver on your system is too old"),
        (True, 1.0, "cuda:0 computes wrong"),
        (None, 0, "No module named 'torch'"),
    ],
)
def test_60_pytorch_that_prints_false_is_broken(
    tmp_path: Path, available: bool | None, total: float, words: str
) -> None:
    """``python -c 'print(torch.cuda.is_available())'`` exits with 0 when it prints False."""
    if available is None:
        (tmp_path / "torch.py").write_text("raise ImportError(\"No module named 'torch'\")\n")
    else:
        (tmp_path / "torch.py").write_text(
            TORCH.replace("AVAILABLE", str(available)).replace("SUM", str(total))
        )
    status, output = run(f"--torch={sys.executable}", environment={"PYTHONPATH": str(tmp_path)})
    (line,) = [line for line in output.splitlines() if words in line]
    assert line.startswith("OK" if words.startswith("OK") else "BROKEN   cuda")
    assert words.startswith("OK") or status == 1


def test_60_the_old_test_would_be_caught(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(TORCH.replace("AVAILABLE", "False"))
    fault = mutated(tmp_path, "    sys.exit(3)\n", "    sys.exit(0)\n")
    output = run(
        f"--torch={sys.executable}", script=fault, environment={"PYTHONPATH": str(tmp_path)}
    )[1]
    assert not [line for line in output.splitlines() if "is False" in line and "BROKEN" in line]


def test_60_a_python_that_is_not_there_is_broken() -> None:
    status, output = run("--torch=/nonexistent/python")
    assert status == 1
    assert "BROKEN   cuda        /nonexistent/python cannot be run" in output


FAULTS = {
    "no module is loaded": lambda s: s.remove("sys/module/nvidia") or s.remove("proc/driver"),
    "no GPU": lambda s: s.remove("sys/bus/pci/devices/0000:00:06.0"),
    "nouveau holds it": lambda s: (
        s.gpu("0000:00:06.0", "nouveau"),
        (s.root / "sys/module/nouveau").mkdir(),
    ),
    "not signed": lambda s: s.write(
        "sys/kernel/security/lockdown", "none [integrity] confidentiality\n"
    ),
    "for another kernel": lambda s: s.driver(
        RELEASE, "updates/dkms/nvidia-current.ko.xz", vermagic="6.1.0-44-amd64 SMP "
    ),
    "no fabric manager": lambda s: s.gpu("0000:00:09.0", "x", device="0x22a3", kind="0x068000"),
    "no libraries": lambda s: s.remove("usr/lib/x86_64-linux-gnu"),
    "driver too old": lambda s: s.cuda("99.0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_61_no_fault_ends_in_all_is_well(system: System, fault: str, tmp_path: Path) -> None:
    """The old script said "All checks passed" after a warning, and with no driver at all."""
    FAULTS[fault](system)
    status, output = system.check()
    assert status == 1
    assert "Healthy" not in output
    old = mutated(tmp_path, '[ "$verdict" = healthy ] || exit 1\n', "")
    assert system.check(script=old)[0] == 0


def test_61_containers_are_looked_at(system: System) -> None:
    system.write("usr/bin/dockerd")
    assert (
        "NOTE     containers  docker is installed, the NVIDIA container toolkit is not"
        in (system.check()[1])
    )
    assert system.check("--containers")[0] == 1
    system.write("usr/bin/nvidia-ctk")
    assert "knows nothing of it" in system.check("--containers")[1]
    system.write("etc/docker/daemon.json", '{"runtimes": {"nvidia": {"path": "x"}}}\n')
    assert system.check("--containers")[0] == 0
    system.write("etc/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n- hostPath: /x/libcuda.so.570.1.2\n")
    assert "was made for driver 570.1.2, this is 580.159.04" in system.check()[1]


def test_61_a_container_toolkit_with_known_holes(system: System) -> None:
    system.write("usr/bin/podman")
    system.write("usr/bin/nvidia-ctk")
    system.write("etc/cdi/nvidia.yaml", "kind: nvidia.com/gpu\n")
    status_file = (
        "Package: nvidia-container-toolkit\nStatus: install ok installed\nVersion: {}-1\n\n"
    )
    system.write("var/lib/dpkg/status", status_file.format("1.14.0"))
    output = system.check()[1]
    assert "NOTE     containers  container toolkit 1.14.0 lets a container reach the host" in output
    system.write("var/lib/dpkg/status", status_file.format("1.20.0"))
    assert "reach the host" not in system.check()[1]


# --- single faults ----------------------------------------------------------------------------------


def test_modules_with_similar_names_are_not_the_driver(system: System) -> None:
    system.remove(f"lib/modules/{RELEASE}/updates")
    for name in (
        "kernel/drivers/video/fbdev/nvidia/nvidiafb.ko",
        "kernel/drivers/platform/x86/nvidia-wmi-ec-backlight.ko",
        "updates/dkms/nvidia-fs.ko",
        "updates/dkms/nvidia-current-uvm.ko",
    ):
        system.module(RELEASE, name, "1")
    output = system.check()[1]
    assert (
        f"BROKEN   module      {RELEASE}: no nvidia module, though its headers are there" in output
    )


def test_a_newer_kernel_without_headers_is_found_before_its_first_boot(system: System) -> None:
    system.kernel("6.1.0-56-amd64", headers=None)
    status, output = system.check()
    assert status == 1
    assert "6.1.0-56-amd64: no nvidia module, and no headers to build one" in output
    assert f"OK       module      {RELEASE}" in output


def test_headers_of_another_release(system: System) -> None:
    system.kernel("6.1.0-56-amd64", headers="6.1.0-50-amd64")
    system.driver("6.1.0-56-amd64", "updates/dkms/nvidia.ko")
    status, output = system.check()
    assert status == 1
    assert "its build folder holds those of 6.1.0-50-amd64" in output


def test_headers_without_their_common_half(system: System) -> None:
    system.remove(f"usr/src/linux-headers-{RELEASE}-common")
    assert "BROKEN   headers     " in system.check()[1]


def test_wrong_headers_do_not_matter_to_a_prebuilt_module(system: System) -> None:
    system.remove(f"lib/modules/{RELEASE}")
    system.remove(f"usr/src/linux-headers-{RELEASE}-common")
    system.kernel(RELEASE, "")
    system.remove(f"usr/src/linux-headers-{RELEASE}-common")
    system.driver(RELEASE, "kernel/nvidia-580srv/nvidia.ko")
    status, output = system.check()
    assert status == 0, output
    assert "NOTE     headers" in output


def test_a_removed_kernels_leftover_folder_does_not_count(system: System) -> None:
    system.driver("6.1.0-13-amd64", "updates/dkms/nvidia.ko", "535.129.03")
    assert system.check()[0] == 0


def test_the_running_kernel_was_removed(system: System) -> None:
    system.write("proc/sys/kernel/osrelease", "6.1.0-49-amd64\n")
    assert "NOTE     kernel" in system.check()[1]
    system.remove("sys/module/nvidia")
    system.remove("proc/driver")
    output = system.check()[1]
    assert (
        "BROKEN   kernel      /lib/modules has nothing for 6.1.0-49-amd64, which is running"
        in output
    )


def test_a_module_built_for_another_kernel(system: System) -> None:
    system.driver(RELEASE, "updates/dkms/nvidia-current.ko.xz", vermagic="6.1.0-44-amd64 SMP ")
    assert "was built for 6.1.0-44-amd64" in system.check()[1]


def test_a_module_that_nothing_here_can_unpack_is_unknown(system: System) -> None:
    system.tool("modinfo", "exit 1")
    system.tool("xz", "exit 1")
    status, output = system.check()
    assert status == 1
    assert "UNKNOWN  module      6.1.0-50-amd64: which kernel " in output
    assert "BROKEN" not in output


def test_nvidia_without_uvm(system: System) -> None:
    system.remove(f"lib/modules/{RELEASE}/updates/dkms/nvidia-current-uvm.ko.xz")
    assert "nvidia is there without nvidia-uvm" in system.check()[1]


def test_two_versions_side_by_side(system: System) -> None:
    system.driver(RELEASE, "kernel/drivers/video/nvidia.ko", "535.129.03")
    output = system.check()[1]
    assert "nvidia modules of several versions: " in output
    assert "runfile" in output


def test_loaded_module_older_than_the_one_on_disk(system: System) -> None:
    system.load("570.211.01")
    status, output = system.check()
    assert status == 1
    assert "570.211.01 is loaded, 580.159.04 is on disk" in output


def test_the_other_flavour_on_disk_is_told(system: System) -> None:
    system.driver(RELEASE, "updates/dkms/nvidia-current.ko.xz", license="NVIDIA")
    assert "the open modules are loaded, the proprietary ones are on disk" in system.check()[1]


@pytest.mark.parametrize(
    ("device", "driver", "flavour", "words"),
    [
        ("0x2901", DRIVER, "proprietary", "10de:2901 (Blackwell) needs the open kernel modules"),
        ("0x2342", DRIVER, "proprietary", "10de:2342 (Hopper) needs the open kernel modules"),
        ("0x1db6", DRIVER, "open", "10de:1db6 (Volta) needs the proprietary kernel modules"),
        ("0x1db6", "595.91.07", "proprietary", "R580 is the last branch that drives it"),
        ("0x2901", "550.54.15", "open", "no driver below R570 drives it, and this is 550.54.15"),
        ("0x2335", DRIVER, "proprietary", ""),
        ("0x1db6", DRIVER, "proprietary", ""),
    ],
)
def test_gpu_driver_and_flavour(
    system: System, device: str, driver: str, flavour: str, words: str
) -> None:
    system.gpu("0000:00:06.0", "nvidia", device=device)
    system.load(driver, flavour)
    licence = "Dual MIT/GPL" if flavour == "open" else "NVIDIA"
    system.driver(RELEASE, "updates/dkms/nvidia-current.ko.xz", driver, license=licence)
    system.libraries("usr/lib/x86_64-linux-gnu", driver)
    status, output = system.check()
    assert (status == 0) == (not words), output
    assert words in output


def test_a_gpu_that_no_table_knows_is_no_fault(system: System) -> None:
    system.gpu("0000:00:06.0", "nvidia", device="0xffee")
    status, output = system.check()
    assert status == 0
    assert f"NOTE     gpu         10de:ffee is not in the tables of {load().as_of}" in output


def test_an_ended_branch_and_known_holes_are_told(system: System) -> None:
    system.tool("date", "echo 2026-11-22")
    system.load("535.129.03")
    output = system.check()[1]
    assert "support of driver branch R535 ended on 2026-06-01" in output
    assert "535.129.03 lacks security fixes that 535.309.01 has" in output
    system.tool("date", "echo 2025-11-22")
    assert "support of driver branch" not in system.check()[1]


def test_cuda_that_dropped_this_gpu(system: System) -> None:
    system.gpu("0000:00:06.0", "nvidia", device="0x1db6")
    output = system.check("--cuda", "13.0")[1]
    assert "BROKEN   cuda        CUDA 13.0 has no code for Volta GPUs: 12.9 was the last" in output
    system.gpu("0000:00:06.0", "nvidia", device="0x2901")
    assert (
        "NOTE     cuda        CUDA 12.4 is older than Blackwell GPUs"
        in (system.check("--cuda", "12.4")[1])
    )


def test_a_toolkit_that_is_not_in_use_breaks_nothing(system: System) -> None:
    system.cuda("13.5", used=False)
    system.cuda("12.9")
    system.load("570.211.01")
    system.libraries("usr/lib/x86_64-linux-gnu", "570.211.01")
    system.driver(RELEASE, "updates/dkms/nvidia-current.ko.xz", "570.211.01")
    status, output = system.check()
    assert status == 0, output
    assert (
        "NOTE     cuda        CUDA toolkit 13.5, installed beside 12.9: not with driver" in output
    )


def test_a_cuda_newer_than_the_tables_is_unknown(system: System) -> None:
    status, output = system.check("--cuda", "99.1")
    assert status == 1
    assert "UNKNOWN  cuda        CUDA 99.1, asked for: newer than the tables" in output


def test_forward_compatibility_libraries_make_an_old_driver_unknown(system: System) -> None:
    system.cuda("13.0")
    system.load("535.309.01")
    assert (
        "BROKEN   cuda        CUDA toolkit 13.0, installed: driver 535.309.01" in system.check()[1]
    )
    system.write("usr/local/cuda-13.0/compat/libcuda.so.1")
    assert (
        "UNKNOWN  cuda        CUDA toolkit 13.0, installed: driver 535.309.01" in system.check()[1]
    )


def test_library_of_another_version(system: System) -> None:
    system.libraries("usr/lib/x86_64-linux-gnu", "570.211.01")
    status, output = system.check()
    assert status == 1
    assert "libcuda.so.1 is 570.211.01, the loaded module 580.159.04" in output


def test_no_libraries(system: System) -> None:
    system.remove("usr/lib/x86_64-linux-gnu")
    assert "not installed: libcuda.so.1 libnvidia-ml.so.1" in system.check()[1]


@pytest.mark.parametrize("name", ["nouveau", "nova_core"])
def test_a_competing_driver(system: System, name: str) -> None:
    system.gpu("0000:00:07.0", name.replace("_", "-"))
    (system.root / f"sys/module/{name}").mkdir()
    output = system.check()[1]
    assert f"0000:00:07.0 (10de:2335, Hopper) is held by {name.replace('_', '-')}" in output
    assert f"BROKEN   nouveau     loaded: {name}" in output


@pytest.mark.parametrize(
    ("driver", "words"), [("", "has no driver"), ("vfio-pci", "held by vfio-pci")]
)
def test_a_gpu_that_the_driver_does_not_have(system: System, driver: str, words: str) -> None:
    system.gpu("0000:00:07.0", driver)
    status, output = system.check()
    assert status == 1
    assert f"0000:00:07.0 (10de:2335, Hopper) {'is ' if driver else ''}{words}" in output


@pytest.mark.parametrize("modinfo", [True, False])
@pytest.mark.parametrize("ending", ["", ".xz", ".zst", ".gz"])
def test_an_unsigned_module_under_lockdown(system: System, modinfo: bool, ending: str) -> None:
    system.remove(f"lib/modules/{RELEASE}/updates")
    place = f"updates/dkms/nvidia.ko{ending}"
    system.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    system.write(EFI, b"\x06\0\0\0\x01")
    system.driver(RELEASE, place)
    if not modinfo:
        system.tool("modinfo", "exit 1")
    status, output = system.check()
    assert status == 1
    assert "Secure Boot is on; unsigned modules are refused (kernel lockdown)" in output
    # All five are refused, not only the first.
    assert output.count("is not signed, and kernel lockdown refuses it") == 5
    system.driver(RELEASE, place, signed=True)
    assert system.check()[0] == 0


def test_secure_boot_off_and_sig_enforce(system: System) -> None:
    system.write(EFI, b"\x06\0\0\0\0")
    assert "OK       signature   Secure Boot is off" in system.check()[1]
    system.write("sys/module/module/parameters/sig_enforce", "Y\n")
    assert "is not signed, and the kernel's module.sig_enforce refuses it" in system.check()[1]


def test_missing_device_files(system: System) -> None:
    system.remove("dev/nvidia-uvm")
    system.remove("dev/nvidia0")
    assert "not there: /dev/nvidia-uvm /dev/nvidia0" in system.check()[1]


def test_firmware_that_the_open_modules_need(system: System) -> None:
    system.remove("lib/firmware")
    assert system.check()[0] == 0, "it is loaded and drives the GPU: it found its firmware"
    system.gpu("0000:00:06.0", "nouveau")
    system.remove("sys/bus/pci/devices/0000:00:06.0/driver")
    assert "no GSP firmware for 580.159.04" in system.check()[1]
    system.write("sys/module/firmware_class/parameters/path", "/opt/firmware\n")
    (system.root / "opt/firmware/nvidia/580.159.04").mkdir(parents=True)
    assert "no GSP firmware" not in system.check()[1]


def test_nvswitches_need_the_fabric_manager(system: System) -> None:
    system.gpu("0000:00:09.0", "nvidia-nvswitch", device="0x22a3", kind="0x068000")
    status, output = system.check()
    assert status == 1
    assert "1 NVSwitches, and no fabric manager is running" in output
    system.write("proc/4711/comm", "nv-fabricmanage\n")
    assert system.check()[0] == 0
    system.write(
        "var/lib/dpkg/status",
        "Package: nvidia-fabricmanager-580\nStatus: install ok installed\nVersion: 580.95.05-1\n\n",
    )
    assert "the fabric manager is 580.95.05, the driver 580.159.04" in system.check()[1]


def test_nvlink_5_needs_nvlsm_and_a_guest_does_not(system: System) -> None:
    system.gpu("0000:00:06.0", "nvidia", device="0x2901")
    status, output = system.check()
    assert (status, output.splitlines()[-1][:9]) == (1, "Unknown: "), output
    assert "UNKNOWN  fabric" in output
    assert "which one this is cannot be seen here" in output
    system.write("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vmx hypervisor lahf_lm\n")
    status, output = system.check()
    assert status == 0, output
    assert "right in this virtual machine if its host runs it" in output
    system.write("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vmx lahf_lm\n")
    status, output = system.check()
    assert (status, output.splitlines()[-1][:8]) == (1, "Broken: "), output
    assert "BROKEN   fabric" in output
    system.write("proc/4711/comm", "nv-fabricmanage\n")
    assert "needs nvlsm beside the fabric manager" in system.check()[1]
    system.write("proc/4712/comm", "nvlsm\n")
    assert system.check()[0] == 0


def test_a_kernel_that_takes_no_more_modules(system: System) -> None:
    system.write("proc/sys/kernel/modules_disabled", "1\n")
    assert system.check()[0] == 0
    system.remove("sys/module/nvidia")
    system.remove("proc/driver")
    assert "takes no more modules (kernel.modules_disabled=1)" in system.check()[1]


def test_no_gpu_is_broken_and_the_module_that_cannot_load_is_unknown(system: System) -> None:
    system.remove("sys/bus/pci/devices/0000:00:06.0")
    system.remove("sys/module/nvidia")
    system.remove("proc/driver")
    output = system.check()[1]
    assert "BROKEN   gpu         no NVIDIA GPU on the PCI bus" in output
    assert "UNKNOWN  loaded" in output


def test_a_mounted_system_has_nothing_running(system: System) -> None:
    system.remove("proc")
    system.remove("sys")
    status, output = system.check()
    assert status == 0, output
    assert "none of this system's is running" in output


def test_a_headers_meta_package_is_asked_for(system: System) -> None:
    system.write("var/lib/dpkg/status", "Package: dkms\nStatus: install ok installed\n\n")
    assert "NOTE     guard       no headers meta-package" in system.check()[1]
    system.write(
        "var/lib/dpkg/status", "Package: linux-headers-amd64\nStatus: install ok installed\n"
    )
    assert "OK       guard" in system.check()[1]


# --- what the caller may rely on --------------------------------------------------------------------


def test_json_is_the_contracts_document(system: System) -> None:
    report = system.report()
    assert report["schema"] == 1
    assert (report["verdict"], report["root_cause"], report["repair"]) == ("healthy", None, [])
    assert set(report["host"]) >= {"os", "kernel", "secure_boot", "gpus"}
    assert report["host"]["kernel"] == {"running": RELEASE, "bootable": [RELEASE]}
    assert report["host"]["gpus"][0]["pci_id"] == "10de:2335"
    from gpu_bringup.ladder.ladder import RUNGS

    assert [item["id"] for item in report["rungs"]] == [rung.id for rung in RUNGS]
    assert {item["state"] for item in report["rungs"]} <= {"ok", "skipped"}


def test_json_names_the_lowest_broken_rung_and_only_known_causes(system: System) -> None:
    from gpu_bringup.failures.titles import titles

    used = set(re.findall(r"^\s*(?:.*\) )?broken [a-z]+ ([a-z0-9-]+) ", SCRIPT.read_text(), re.M))
    assert len(used) > 15
    assert used <= set(titles())
    FAULTS["no libraries"](system)
    FAULTS["nouveau holds it"](system)
    report = system.report()
    assert report["root_cause"]["rung"] == "gpu"
    broken = {item["id"] for item in report["rungs"] if item["state"] == "broken"}
    assert broken >= {"gpu", "nouveau", "libraries"}
    assert all(item["causes"][0]["cause"] for item in report["rungs"] if item["state"] == "broken")


ODD = 'a"b\\c\td\x01\x1b[31m\x7f\xc3\xa9\xff%s%d$(touch X)`id`'.encode("latin-1") + b"\n"


@pytest.mark.parametrize("under", SHELLS)
def test_odd_bytes_in_files_make_neither_bad_json_nor_terminal_codes(
    system: System, under: str
) -> None:
    for name in (
        "proc/sys/kernel/osrelease",
        "sys/module/nvidia/version",
        "sys/bus/pci/devices/0000:00:06.0/device",
        "usr/local/cuda-13.0/version.json",
        "etc/cdi/nvidia.yaml",
    ):
        system.write(name, ODD)
    system.write("etc/os-release", b"ID=" + ODD + b'PRETTY_NAME="' + ODD[:-1] + b'"\n')
    system.kernel('6.1 "x"\\ \x1b[31m', headers=None)
    report = system.report(under=under)
    assert report["host"]["os"]["id"].startswith('a"b\\c?d??[31m?')
    output = system.check(under=under)[1]
    assert "\x1b" not in output and "\x01" not in output and "\xff" not in output
    assert not list(Path.cwd().glob("X"))


@pytest.mark.parametrize(
    "name",
    [
        "proc/sys/kernel/osrelease",
        "sys/module/nvidia/version",
        "etc/os-release",
        "var/lib/dpkg/status",
    ],
)
def test_a_folder_an_empty_file_or_no_line_end_where_a_file_should_be(
    system: System, name: str
) -> None:
    path = system.write(name)
    system.report()
    path.write_bytes(b"x")
    system.report()
    path.unlink()
    path.mkdir()
    system.report()


def test_what_this_user_may_not_read_is_unknown() -> None:
    # pytest's own folders are root's alone, and root can read everything.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        system = System(folder)
        lockdown = system.write("sys/kernel/security/lockdown", "[none] integrity\n")
        variable = system.write(EFI, b"\x06\0\0\0\x01")
        module = system.root / f"lib/modules/{RELEASE}/updates/dkms/nvidia-current.ko.xz"
        for path in (lockdown, variable, module):
            path.chmod(0)
        copy = folder / "check.sh"
        copy.write_text(SCRIPT.read_text())
        done = subprocess.run(
            ["bash", str(copy), "--json", "--root", str(system.root)],
            capture_output=True,
            text=True,
            check=False,
            user=65534 if os.geteuid() == 0 else None,
        )
    assert (done.returncode, done.stderr) == (1, "")
    report = json.loads(done.stdout)
    assert report["verdict"] == "unknown"
    told = [item["text"] for item in report["findings"] if item["state"] == "unknown"]
    assert len([text for text in told if "run this as root" in text]) == 3


def test_nothing_waits_for_ever(system: System, tmp_path: Path) -> None:
    """nvidia-smi that never answers: with timeout, and with a system that has none."""
    text = SCRIPT.read_text().replace("limited 30 nvidia-smi", "limited 1 nvidia-smi")
    assert text != SCRIPT.read_text()
    (tmp_path / "short.sh").write_text(text)
    system.tool("nvidia-smi", "exec sleep 50")
    for timeout in ('exec /usr/bin/timeout "$@"', "exit 1"):
        system.tool("timeout", timeout)
        output = run("--deep", tools=system.tools, script=tmp_path / "short.sh")[1]
        assert "BROKEN   nvml        nvidia-smi did not answer within 30 s" in output


def test_nvidia_smi_is_asked_only_with_deep_and_never_for_its_banner(system: System) -> None:
    asked = system.tools / "asked"
    system.tool("nvidia-smi", f'echo "$@" >>{asked}\necho 580.159.04')
    run(tools=system.tools)
    assert not asked.exists()
    output = run("--deep", tools=system.tools)[1]
    assert asked.read_text() == "--query-gpu=driver_version --format=csv,noheader\n"
    assert "OK       nvml        nvidia-smi lists 1 GPUs" in output


@pytest.mark.parametrize("under", SHELLS)
def test_this_machine_is_looked_at_and_left_as_it_is(tmp_path: Path, under: str) -> None:
    command = [under, *(["sh"] if under == "busybox" else [])]
    done = subprocess.run(
        [*command, str(SCRIPT)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode in (0, 1)
    assert done.stderr == ""
    assert "kernel" in done.stdout
    assert not list(tmp_path.iterdir())


def test_with_busyboxs_own_tools(system: System) -> None:
    """A rescue system whose every tool is busybox: the same findings as with the GNU tools."""
    listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        if name not in ("sh", "ash", "busybox"):
            (system.tools / name).symlink_to(shutil.which("busybox") or "")
    plain = System.check(system, under="busybox")
    assert plain[0] == 0, plain[1]
    shutil.rmtree(system.tools)
    assert system.check(under="bash") == plain


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rot", "/"],
        ["--root", "/nonexistent"],
        ["--root"],
        ["--root", ""],
        ["x"],
        ["--cuda", "new"],
        ["--cuda", "12"],
        ["--cuda", "12..4"],
        ["--root", "/tmp", "--deep"],
        ["--root", "/tmp", "--torch"],
    ],
)
@pytest.mark.parametrize("under", SHELLS)
def test_bad_usage(arguments: list[str], under: str) -> None:
    command = [under, *(["sh"] if under == "busybox" else [])]
    done = subprocess.run(
        [*command, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage:" in done.stderr


def test_a_relative_root_and_help(system: System) -> None:
    done = subprocess.run(
        ["bash", str(SCRIPT), "--root", "a system/"],
        capture_output=True,
        text=True,
        check=False,
        cwd=system.root.parent,
    )
    assert done.returncode == 0, done.stdout
    status, output = run("--help")
    assert status == 0
    assert "Exit status: 0 healthy" in output and "check_cuda_stack.sh --root DIR" in output


def test_it_can_be_fed_to_a_shell(system: System) -> None:
    for arguments, words in ((["--root", str(system.root)], "Healthy"), (["--help"], "usage:")):
        done = subprocess.run(
            ["bash", "-s", "--", *arguments],
            input=SCRIPT.read_text(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert words in done.stdout


def test_the_generated_tables_are_fresh() -> None:
    text = SCRIPT.read_text()
    assert updated(text, load()) == text, (
        "run: PYTHONPATH=tui python -m gpu_bringup.export.stack_table scripts/check_cuda_stack.sh"
    )
    stale = re.sub(r"\n12\.9 .*\n", "\n12.9 1.2 1.2\n", text)
    assert updated(stale, load()) == text
    with pytest.raises(ValueError, match="generated part"):
        updated(text.replace("# <<< from", "#"), load())


def test_no_version_is_typed_beside_the_generated_tables() -> None:
    rest = re.sub(f"(?s){BEGIN}.*{END}", "", SCRIPT.read_text())
    typed = re.findall(r"\b\d{3}\.\d{2,3}(?:\.\d\d)?\b", rest)
    assert not typed


@pytest.mark.parametrize("dialect", ["bash", "dash"])
def test_shellcheck_finds_nothing(dialect: str) -> None:
    """Nothing beyond what dash knows: bash 4.2 and busybox sh know that too."""
    done = subprocess.run(
        ["shellcheck", "-s", dialect, str(SCRIPT)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_it_names_no_command_that_loads_modules_or_writes() -> None:
    commands = [
        line
        for line in SCRIPT.read_text().splitlines()
        if not line.lstrip().startswith("#") and '"' not in line
    ]
    for word in ("modprobe", "insmod", "depmod", "mkdir", "rm ", "touch", "tee", "mktemp", "<<"):
        assert not [line for line in commands if re.search(rf"(?:^|[ (|;]){re.escape(word)}", line)]
    written = [line for line in commands if re.search(r"(?<![=\"])>(?!/dev/null|&)", line)]
    assert all("sed -n" in line for line in written), written
