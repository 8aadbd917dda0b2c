"""Ways to break a simulated machine: Secure Boot, GPUs, services, and work that runs."""

from __future__ import annotations

from dataclasses import replace

from gpu_bringup.errors import InputError
from gpu_bringup.hosts.simulated import booting, dkms_tree
from gpu_bringup.hosts.simulated.fault_table import fault
from gpu_bringup.hosts.simulated.machine import Job, Key, Machine
from gpu_bringup.hosts.simulated.tree import File

# --- Secure Boot -----------------------------------------------------------------------------------


@fault("key-not-enrolled")
def key_not_enrolled(machine: Machine) -> None:
    """Secure Boot is on, and the key that signed the modules was never enrolled."""
    machine.firmware.secure_boot = True
    machine.firmware.enrolled = ()
    booting.start(machine)


@fault("mok-missed")
def mok_missed(machine: Machine) -> None:
    """The key was asked for, the machine was rebooted, and nobody was at the console."""
    machine.firmware.secure_boot = True
    machine.firmware.enrolled = ()
    machine.firmware.pending = ()
    machine.write("/var/lib/gpu-bringup/enrolment-asked", machine.boot_id() + "\n")
    booting.start(machine)


@fault("module-unsigned")
def module_unsigned(machine: Machine) -> None:
    """The modules were built without a signature, under Secure Boot."""
    _sign(machine, "", "")


@fault("module-wrong-key")
def module_wrong_key(machine: Machine) -> None:
    """The modules were signed with a key that nobody enrolled, under Secure Boot."""
    other = Key.made("Somebody's test key", machine.name)
    _sign(machine, other.common_name, other.key_id)


def _sign(machine: Machine, signer: str, key: str) -> None:
    machine.firmware.secure_boot = True
    own = dkms_tree.signing_key(machine)
    if own is not None and own not in machine.firmware.enrolled:
        machine.firmware.enrolled = (*machine.firmware.enrolled, own)
    for top in ("/usr/lib/modules", "/var/lib/dkms"):
        for path, node in list(machine.tree.walk(top)):
            if isinstance(node, File) and node.module and node.module.name.startswith("nvidia"):
                changed = replace(node.module, signer=signer, key=key)
                machine.tree.write(path, replace(node, module=changed))
    booting.start(machine)


# --- hardware, services, jobs -------------------------------------------------------------------------


@fault("xid-79")
def xid_79(machine: Machine, gpu: str = "0") -> None:
    """A GPU fell off the bus."""
    index = int(gpu) if gpu.isdigit() and int(gpu) < len(machine.gpus) else 0
    lost = machine.gpus[index]
    machine.gpus = tuple(replace(g, fallen_off=True) if g is lost else g for g in machine.gpus)
    short = lost.bus_id.rsplit(".", 1)[0]
    machine.say(
        f"NVRM: Xid (PCI:{short}): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
    )
    machine.say(f"NVRM: GPU {lost.bus_id}: GPU has fallen off the bus.")
    machine.say(
        f"NVRM: Xid (PCI:{short}): 154, GPU recovery action changed from 0x0 (None) to "
        "0x2 (Node Reboot Required)"
    )


@fault("running-job")
def running_job(machine: Machine, user: str = "mlops", container: str = "") -> None:
    """Somebody's training runs on the GPUs."""
    gpus = tuple(range(len([g for g in machine.gpus if g.pci_class != "068000"])))
    command = "python3 train.py --config llama.yaml"
    machine.jobs = (*machine.jobs, Job(4242, user, command, gpus, container))


@fault("persistenced-off")
def persistenced_off(machine: Machine) -> None:
    """The persistence daemon was switched off."""
    unit = machine.units.get("nvidia-persistenced.service")
    if unit is None:
        raise InputError("this fault needs a server with the persistence daemon")
    machine.units[unit.name] = replace(unit, enabled=False, running=False)


@fault("loud-log")
def loud_log(machine: Machine) -> None:
    """Lines in the log that are loud, and harmless."""
    machine.say("nvidia: loading out-of-tree module taints kernel.")
    machine.say(
        "nvidia: module verification failed: signature and/or required key missing - tainting kernel"
    )
    machine.say("ACPI Error: AE_NOT_FOUND, While resolving a named reference package element")
