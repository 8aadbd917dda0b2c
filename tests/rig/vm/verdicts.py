"""What is asked of a machine, and what must be so."""

from __future__ import annotations

import json

from console import Missed
from machine import Machine
from person import TOOL

WISH = "--gpu H200 --source nvidia-repository"
MODULES = ("nvidia", "nvidia-modeset", "nvidia-drm", "nvidia-uvm", "nvidia-peermem")


def check(machine: Machine) -> dict[str, object]:
    """What ``gpu-bringup check`` says now; kept beside the machine's logs."""
    answer = machine.run(f"{TOOL} check {WISH} --json 2>/dev/null", seconds=300)
    number = len(list(machine.folder.glob("check-*.json"))) + 1
    (machine.folder / f"check-{number}.json").write_text(answer.output, "utf-8")
    try:
        found: dict[str, object] = json.loads(answer.output)
    except ValueError:
        raise Missed(f"check ended with {answer.status}: {answer.output[-300:]}") from None
    return found


def root_cause(machine: Machine) -> str:
    """The id of the cause that ``check`` names; "": none."""
    found = check(machine)["root_cause"]
    return str(found["cause"]) if isinstance(found, dict) else ""


def module(machine: Machine, name: str = "nvidia", kernel: str = "$(uname -r)") -> str:
    """The file of a module on disk."""
    return machine.must(f"ls /lib/modules/{kernel}/updates/dkms/{name}.ko*")


def load(machine: Machine) -> str:
    """What modprobe says of the module: "accepted", or its words."""
    said = machine.run("dmesg -C; modprobe nvidia; dmesg", seconds=120).output
    if "No such device" in said and "rejected" not in said and "No NVIDIA GPU found" in said:
        return "accepted"
    return said.strip()


def demand(true: object, words: str) -> None:
    """End the scenario with these words unless it is so."""
    if not true:
        raise Missed(words)


def all_signed(machine: Machine, kernel: str = "$(uname -r)") -> None:
    """All five modules bear the signature of this host's own key."""
    folder = f"/lib/modules/{kernel}/updates/dkms"
    signers = machine.must(
        f"for name in {' '.join(MODULES)}; do modinfo -F signer {folder}/$name.ko*; done"
    )
    demand(
        signers.splitlines() == ["DKMS module signing key"] * len(MODULES), f"signed by {signers}"
    )
    demand(machine.must("stat -c %a /var/lib/dkms/mok.key") == "600", "the private key is readable")


def end_state(machine: Machine) -> dict[str, str]:
    """What must be the same whatever disturbed the run."""
    return {
        "packages": machine.must(
            "dpkg-query -W -f '${db:Status-Abbrev}${Package}=${Version}\\n' | sort"
        ),
        "held": machine.must("apt-mark showhold"),
        "dkms": machine.must("dkms status"),
        "modules": machine.must("cd /lib/modules && find . -path '*updates*' -type f | sort"),
        "etc": machine.must("cd /etc && find . -name '*gpu-bringup*' | sort"),
        "audit": machine.run("dpkg --audit").output.strip(),
    }


def whole_state(machine: Machine) -> dict[str, str]:
    """What ``undo`` must bring back: packages with versions and marks, files, boot default, modules."""
    return {
        "packages": machine.must(
            "dpkg-query -W -f '${db:Status-Abbrev}${binary:Package}=${Version}\\n' | sort"
        ),
        "automatic": machine.must("apt-mark showauto | sort"),
        "held": machine.must("apt-mark showhold | sort"),
        "files": machine.must(
            # The linker's cache says nothing of a run; the clock file is written at each shutdown.
            "cd /etc && find . -xdev -type f ! -name ld.so.cache ! -name adjtime -print0 | sort -z "
            "| xargs -0 sha256sum"
        ),
        "modes": machine.must(
            "cd /etc && find . -xdev ! -type d ! -name ld.so.cache ! -name adjtime -print0 | sort -z "
            "| xargs -0 stat -c '%n %a %u:%g %N'"
        ),
        "boot": machine.must("grub-editenv /boot/grub/grubenv list; sha256sum /boot/grub/grub.cfg"),
        "dkms": machine.must("dkms status 2>/dev/null || true"),
        "modules": machine.must("find /lib/modules/*/updates -type f 2>/dev/null | sort; true"),
        "audit": machine.run("dpkg --audit").output.strip(),
    }


def differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The lines that are in one of two states only, with the part that they are of."""
    found = []
    for part in before:
        old, new = set(before[part].splitlines()), set(now[part].splitlines())
        found += [f"{part} -{line}" for line in sorted(old - new)]
        found += [f"{part} +{line}" for line in sorted(new - old)]
    return found
