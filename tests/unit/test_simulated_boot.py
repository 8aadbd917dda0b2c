"""Boot loader, initramfs and restart of a simulated machine."""

from __future__ import annotations

from gpu_bringup.hosts.simulated import boot_files, builders, faults
from gpu_bringup.hosts.simulated.machine import Job, Machine
from simulated_tools import PASSWORD, reboot, run

OLD, NEW = "6.12.107+deb13-amd64", "6.12.117+deb13-amd64"


def upgraded() -> Machine:
    machine = builders.build("debian13")
    faults.breaks(machine, "kernel-upgraded", headers="there", booted="no")
    return machine


def test_the_newest_kernel_boots_and_one_can_be_chosen_once() -> None:
    machine = upgraded()
    assert machine.running_kernel == OLD
    entry = f"gnulinux-advanced-{machine.name}>gnulinux-{OLD}-advanced-{machine.name}"
    assert run(machine, "grub-reboot", entry)[0] == 0
    reboot(machine)
    assert machine.running_kernel == OLD
    reboot(machine)
    assert machine.running_kernel == NEW


def test_a_saved_default_lasts() -> None:
    machine = upgraded()
    text = machine.text("/etc/default/grub").replace("GRUB_DEFAULT=0", "GRUB_DEFAULT=saved")
    machine.write("/etc/default/grub", text)
    run(machine, "grub-set-default", f"gnulinux-advanced-x>gnulinux-{OLD}-advanced-x")
    for _ in range(2):
        reboot(machine)
        assert machine.running_kernel == OLD


def test_the_initramfs_takes_the_blacklist_of_its_day() -> None:
    machine = builders.build("debian13")
    before = machine.images[OLD]
    machine.write("/etc/modprobe.d/later.conf", "blacklist nvidia\n")
    assert machine.images[OLD] == before
    assert run(machine, "update-initramfs", "-u", "-k", OLD)[0] == 0
    assert ("etc/modprobe.d/later.conf", "blacklist nvidia\n") in machine.images[OLD].configuration


def test_a_full_boot_keeps_the_image_that_is_there() -> None:
    machine = builders.build("debian13")
    machine.filler["/boot"] = machine.free("/boot") - 1_000_000
    before = machine.images[OLD]
    status, told = run(machine, "update-initramfs", "-u", "-k", OLD)
    assert status == 1 and "No space left on device" in told
    assert machine.images[OLD] == before


def test_a_key_is_enrolled_by_whoever_knows_the_password() -> None:
    for typed, trusted in ((PASSWORD, True), ("another", False)):
        machine = builders.build("debian13", secure_boot="on")
        machine.firmware.enrolled = ()
        assert run(machine, "mokutil", "--import", "/var/lib/dkms/mok.pub")[0] == 0
        assert len(machine.firmware.pending) == 1
        reboot(machine, typed)
        assert bool(machine.firmware.enrolled) is trusted
        assert machine.firmware.pending == ()
        assert ("nvidia" in machine.loaded) is trusted


def test_a_restart_ends_jobs_and_is_written_down() -> None:
    machine = builders.build("debian13")
    machine.jobs = (Job(4242, "mlops", "python3 train.py", (0,)),)
    before = machine.boot_id()
    reboot(machine)
    assert machine.jobs == () and machine.boot_id() != before
    assert [event.kind for event in machine.events] == ["reboot", "job-killed"]


def test_the_boot_loaders_variables_keep_their_block_size() -> None:
    machine = builders.build("debian13")
    boot_files.save_environment(machine, {"saved_entry": "1>2"})
    assert len(machine.text("/boot/grub/grubenv")) == 1024
    assert boot_files.environment_block(machine) == {"saved_entry": "1>2"}
