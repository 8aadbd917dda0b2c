"""The ways on from a broken server: what is offered, with which commands, at which price."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest

from gpu_bringup.errors import InputError
from gpu_bringup.facts import grub
from gpu_bringup.facts.in_use import container_of, observe, unit_of
from gpu_bringup.families.boot_choice import choose_kernel
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.ladder.ladder import climb
from gpu_bringup.model.enums import BootLoader
from gpu_bringup.model.facts import BootChoice, DkmsBuild, LoadedModule
from gpu_bringup.model.in_use import Holder, InUse
from gpu_bringup.model.initramfs import Initramfs
from gpu_bringup.model.plan import Plan, Step
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.plan import make_plan
from gpu_bringup.recover import drain, kernels, reload
from gpu_bringup.recover.ways import around, had_driver, stops_now, ways, with_drain
from unit import make_facts as make
from unit.fakes import FakeHost

NEW = "6.12.115+deb13-amd64"
VLLM = Holder(4242, "VLLM::EngineCor", ("nvidia0", "nvidia-uvm"), unit="vllm.service")
BOX = Holder(77, "python3", ("nvidia0",), engine="docker", container="ab" * 32,
             container_name="triton")  # fmt: skip
POD = Holder(78, "python3", ("nvidia0",), engine="containerd", container="cd" * 32,
             pod="models/llama-0")  # fmt: skip


def entries():
    return tuple(
        BootChoice(
            release,
            f"gnulinux-advanced-0f>gnulinux-{release}-advanced-0f",
            f"Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux {release}",
        )
        for release in (NEW, make.KERNEL)
    )


def upgraded(**kernel_facts):
    """A new kernel runs without a module; the one before it still has a module that fits."""
    facts = make.healthy()
    new = make.make_kernel(NEW)
    old = replace(make.make_kernel(running=False), default=False)
    kernels_ = replace(
        facts.kernels,
        running=NEW,
        installed=(new, old),
        boot_loader=BootLoader.GRUB,
        boot_entries=entries(),
        boot_folder="/boot/grub",
        default_saved=False,
        default_entry="0",
        boots_once=True,
    )
    modules = replace(
        facts.modules,
        loaded=(),
        loaded_version=None,
        loaded_flavour=None,
        dkms=(
            *facts.modules.dkms,
            DkmsBuild("nvidia-current", make.VERSION, NEW, "failed", True, "/var/lib/dkms/make.log",
                      "error: implicit declaration of function 'follow_pfn'"),
        ),
    )  # fmt: skip
    gpu = replace(facts.pci.gpus[0], driver=None)
    return replace(
        facts,
        kernels=replace(kernels_, **kernel_facts),
        modules=modules,
        pci=replace(facts.pci, gpus=(gpu,)),
        devices=replace(facts.devices, nodes=()),
        nvml=Unknown("no driver is loaded"),
        cuda=Unknown("no driver is loaded"),
    )


def stale(**changes):
    """Libraries and module on disk are new, an old module is loaded."""
    facts = make.healthy()
    return replace(facts, modules=replace(facts.modules, loaded_version="550.54.15"), **changes)


NOBODY = InUse(())


def found(facts, in_use=NOBODY):
    ctx = make.context(facts)
    report = climb(ctx)
    return ways(ctx, report, make_plan(ctx, report), in_use)


def argvs(way):
    return [command.argv for step in way.plan.steps for command in step.commands]


def test_a_healthy_host_has_no_ways():
    assert found(make.healthy()).ways == ()


def test_after_a_kernel_upgrade_the_kernel_before_it_is_the_quick_way_back():
    recovery = found(upgraded())
    assert [way.id for way in recovery.ways] == ["boot-once", "boot-default", "mend", "later"]
    assert [way.number for way in recovery.ways] == [1, 2, 3, 4]
    once = recovery.ways[0]
    assert make.KERNEL in once.title and once.reboots
    assert argvs(once) == [("grub-reboot", entries()[1].id)]
    assert once.plan.steps[0].undo[0].argv == (
        "grub-editenv", "/boot/grub/grubenv", "unset", "next_entry",
    )  # fmt: skip
    assert once.plan.steps[-1].reboot
    assert recovery.way("boot-once") is once and recovery.way("1") is once
    assert recovery.way("9") is None


def test_for_good_writes_grub_default_saved_where_it_is_not_set():
    way = found(upgraded()).way("boot-default")
    assert way is not None
    step = way.plan.steps[0]
    assert step.writes[0].path == "/etc/default/grub.d/zz-gpu-bringup.cfg"
    assert "GRUB_DEFAULT=saved" in step.writes[0].content
    assert argvs(way) == [("update-grub",), ("grub-set-default", entries()[1].id)]
    saved = found(upgraded(default_saved=True, default_entry="gnulinux-old")).way("boot-default")
    assert saved is not None
    assert not saved.plan.steps[0].writes
    assert argvs(saved) == [("grub-set-default", entries()[1].id)]
    assert saved.plan.steps[0].undo[0].argv == ("grub-set-default", "gnulinux-old")


def test_a_record_hides_ids_so_its_commands_go_by_title():
    way = found(replace(upgraded(), recorded=True)).way("boot-once")
    assert way is not None
    assert argvs(way) == [("grub-reboot", entries()[1].title)]


@pytest.mark.parametrize(
    ("loader", "folder", "family", "once", "argv"),
    [
        (BootLoader.BLS, "/boot/grub2", "rhel", True, ("grub2-reboot", "ID")),
        (BootLoader.BLS, "/boot/grub2", "rhel", False,
         ("grubby", "--set-default", f"/boot/vmlinuz-{make.KERNEL}")),
        (BootLoader.SYSTEMD_BOOT, "", "debian", True, ("bootctl", "set-oneshot", "ID.conf")),
        (BootLoader.SYSTEMD_BOOT, "", "debian", False, ("bootctl", "set-default", "ID.conf")),
        (BootLoader.GRUB, "/boot/grub2", "suse", True, ("grub2-once", "TITLE")),
        (BootLoader.GRUB, "/boot/grub2", "suse", False, ("grub2-set-default", "ID")),
    ],
)  # fmt: skip
def test_each_boot_loader_has_its_own_tool(loader, folder, family, once, argv):
    facts = upgraded(
        boot_loader=loader,
        boot_folder=folder,
        default_saved=True,
        boot_entries=(BootChoice(make.KERNEL, "ID", "TITLE"),),
    )
    choice = choose_kernel(facts, family, make.KERNEL, once=once)
    assert choice.change.commands[0].argv == argv
    assert choice.change.undo, "each choice has a way back"


def test_without_a_menu_entry_the_console_is_the_way():
    recovery = found(upgraded(boot_entries=()))
    assert [way.id for way in recovery.ways] == ["mend", "later"]
    assert any("on the console" in reason for _, reason in recovery.not_here)


def test_no_kernel_serves_whose_module_is_of_another_version():
    facts = upgraded()
    old = make.make_files(version="535.54.03")
    facts = replace(facts, modules=replace(facts.modules, files=old))
    recovery = found(facts)
    assert recovery.way("boot-once") is None
    assert any("535.54.03" in reason for _, reason in recovery.not_here)
    assert kernels.serving(make.context(facts)) == ()


def test_no_kernel_serves_whose_module_secure_boot_would_refuse():
    facts = upgraded()
    unsigned = tuple(replace(file, signer=None) for file in facts.modules.files)
    facts = replace(facts, modules=replace(facts.modules, files=unsigned))
    assert "Secure Boot" in kernels.why_not(make.context(facts), make.KERNEL)


def test_an_upgrade_under_a_loaded_module_is_a_reload_in_the_right_order():
    facts = stale(services=replace(make.healthy().services, fabric_manager_running=True))
    in_use = InUse(
        (), ("gdm.service", "nvidia-dcgm.service", "nvidia-fabricmanager.service",
             "nvidia-persistenced.service"))  # fmt: skip
    recovery = found(facts, in_use)
    way = recovery.ways[0]
    assert way.id == "reload" and not way.reboots
    commands = argvs(way)
    verbs = [argv[0] if argv[0] != "systemctl" else argv[1] for argv in commands]
    assert verbs == ["stop"] * 4 + ["rmmod"] * 3 + ["modprobe"] * 3 + ["start"] * 4
    assert commands[0][2] == "gdm.service" and commands[-1][2] == "gdm.service"
    assert commands[3][2] == commands[10][2] == "nvidia-persistenced.service"
    assert [argv[1] for argv in commands if argv[0] == "rmmod"] == [
        "nvidia_modeset", "nvidia_uvm", "nvidia",
    ]  # fmt: skip
    assert next(argv[1] for argv in commands if argv[0] == "modprobe") == "nvidia-current"


def test_nothing_is_loaded_while_every_gpu_is_reserved():
    facts = make.healthy()
    facts = replace(facts, modules=replace(facts.modules, loaded=(), loaded_version=None))
    assert found(facts).way("load") is not None
    kept = tuple(replace(gpu, driver="vfio-pci") for gpu in facts.pci.gpus)
    recovery = found(replace(facts, pci=replace(facts.pci, gpus=kept)))
    assert recovery.way("load") is None
    assert any("reserved" in reason for _, reason in recovery.not_here)


def test_it_says_why_a_reload_would_not_do():
    facts = stale()
    dead = replace(facts.pci.gpus[0], fallen_off=True)
    assert "power cycle" in reload.why_not(
        make.context(replace(facts, pci=replace(facts.pci, gpus=(dead,))))
    )
    other = replace(facts, modules=replace(facts.modules, files=make.make_files(version="1.2.3")))
    assert "1.2.3" in reload.why_not(make.context(other))
    recovery = found(other)
    assert recovery.way("reload") is None
    unread = tuple(replace(f, version=Unknown("no modinfo")) for f in facts.modules.files)
    unseen = replace(facts, modules=replace(facts.modules, files=unread))
    assert "not known: no modinfo" in reload.why_not(make.context(unseen))
    assert found(unseen).way("reload") is None
    closed = replace(facts, platform=replace(facts.platform, modules_loadable=False))
    assert "modules_disabled" in reload.why_not(make.context(closed))
    assert reload.why_not(make.context(facts)) == ""


def test_it_names_who_holds_the_gpus():
    way = found(stale(), InUse((VLLM, BOX, POD), (), 3)).ways[0]
    text = "\n".join(way.stops)
    assert "VLLM::EngineCor (process 4242, vllm.service)" in text
    assert "docker container triton" in text
    assert "pod models/llama-0" in text
    assert "3 processes of other users" in text


def test_draining_stops_only_what_was_named_and_waits_for_the_rest():
    in_use = InUse((VLLM, BOX), ("nvidia-persistenced.service",))
    way = found(stale(), in_use).ways[0]
    assert drain.stoppable(in_use) == ("vllm.service", "triton")
    assert drain.undecided(in_use, drain.Drain(stop=("vllm.service",))) == (BOX,)
    plan = with_drain(way, in_use, drain.Drain(wait=600, stop=("vllm",)))
    assert [step.id for step in plan.steps] == [
        "stop-vllm.service", "wait-for-programs", "reload-modules", "start-vllm.service",
    ]  # fmt: skip
    assert plan.steps[0].undo[0].argv == ("systemctl", "start", "vllm.service")
    assert plan.steps[1].commands[0].argv == (
        "timeout", "600", "tail", "--pid=77", "-f", "/dev/null",
    )  # fmt: skip
    box = with_drain(way, in_use, drain.Drain(stop=("triton",), kill=(4242,)))
    assert box.steps[0].commands[0].argv == ("docker", "stop", "triton")
    assert box.steps[1].commands[0].argv == ("kill", "-TERM", "4242")


@pytest.mark.process
def test_the_wait_ends_with_the_program_and_gives_up_at_its_limit():
    """The commands themselves: what they wait for is a process that really runs."""
    for seconds, limit, expected in (("0.2", 30, 0), ("60", 1, 124)):
        program = subprocess.Popen(["sleep", seconds])
        try:
            held = InUse((Holder(program.pid, "sleep", ("nvidia0",)),))
            (step,) = drain.drain_steps(held, drain.Drain(wait=limit))
            if expected == 0:
                program.wait(timeout=30)
            argv = step.commands[0].argv
            assert subprocess.run(argv, check=False, timeout=60).returncode == expected
        finally:
            program.kill()
            program.wait()


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (drain.Drain(stop=("sshd.service",)), "nothing of this name"),
        (drain.Drain(kill=(1,)), "process 1 holds no GPU"),
        (drain.Drain(stop=("cd" * 32,)), "the pod models/llama-0"),
    ],
)
def test_what_holds_no_gpu_is_never_stopped(chosen, text):
    with pytest.raises(InputError, match=text):
        drain.drain_steps(InUse((VLLM, POD)), chosen)


def test_a_fresh_server_has_nothing_to_recover():
    ctx = make.context(make.fresh(), make.TARGET)
    assert not had_driver(ctx)
    assert had_driver(make.context(upgraded()))
    report = climb(ctx)
    recovery = ways(ctx, report, make_plan(ctx, report), InUse(()))
    assert [way.id for way in recovery.ways] == ["mend", "later"]


def test_the_words_of_ways_go_through_json():
    document = found(upgraded(), InUse((VLLM,))).to_json()
    assert document["ways"][0]["stops"] and document["ways"][0]["reboot"] is True
    assert document["in_use"]["holders"][0]["unit"] == "vllm.service"


# --- facts


@pytest.mark.parametrize(
    ("cgroup", "engine", "pod", "unit"),
    [
        (f"0::/system.slice/docker-{'ab' * 32}.scope\n", "docker", "", ""),
        (f"12:devices:/docker/{'ab' * 32}\n", "docker", "", ""),
        (f"0::/machine.slice/libpod-{'ab' * 32}.scope/container\n", "podman", "", ""),
        ("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"
         f"01234567_89ab_cdef_0123_456789abcdef.slice/cri-containerd-{'ab' * 32}.scope\n",
         "containerd", "01234567-89ab-cdef-0123-456789abcdef", ""),
        (f"0::/kubepods/burstable/pod01234567-89ab-cdef-0123-456789abcdef/{'ab' * 32}\n",
         "containerd", "01234567-89ab-cdef-0123-456789abcdef", ""),
        ("0::/system.slice/vllm.service\n", "", "", "vllm.service"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "", "", ""),
        ("", "", "", ""),
    ],
)  # fmt: skip
def test_where_a_process_runs(cgroup, engine, pod, unit):
    assert container_of(cgroup) == (engine, "ab" * 32 if engine else "", pod)
    assert unit_of(cgroup) == unit


class _Live(RecordedHost):
    """A record that answers as the machine itself would."""

    @property
    def kind(self):
        return "local"


def test_holders_are_told_from_the_drivers_own_services():
    box = "ab" * 32
    host = _Live.from_bytes(
        json.dumps({
            "schema": 1,
            "files": {
                "/proc/10/comm": "nvidia-persiste\n",
                "/proc/10/cgroup": "0::/system.slice/nvidia-persistenced.service\n",
                "/proc/42/comm": "VLLM::EngineCor\n",
                "/proc/42/cgroup": f"0::/system.slice/docker-{box}.scope\n",
                f"/var/lib/docker/containers/{box}/config.v2.json": '{"Name": "/vllm-70b"}',
                "/sys/fs/cgroup/system.slice/nvidia-persistenced.service/cgroup.procs": "10\n",
            },
            "absent": [],
            "listings": {
                "/proc": ["10", "42", "43", "cpuinfo"],
                "/proc/10/fd": ["0", "4"],
                "/proc/42/fd": ["0", "7", "8"],
            },
            "links": {
                "/proc/10/fd/0": "/dev/null",
                "/proc/10/fd/4": "/dev/nvidia0",
                "/proc/42/fd/0": "/dev/null",
                "/proc/42/fd/7": "/dev/nvidia1",
                "/proc/42/fd/8": "/dev/nvidia-uvm",
            },
            "commands": {},
        }).encode(),
        "made",
    )  # fmt: skip
    seen = observe(host)
    assert [holder.words for holder in seen.known] == [
        "VLLM::EngineCor (process 42, docker container vllm-70b)"
    ]
    assert seen.known[0].devices == ("nvidia-uvm", "nvidia1")
    assert seen.services == ("nvidia-persistenced.service",)
    assert seen.unseen == 1


MENU = """
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="0"
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-0f' {
    linux /boot/vmlinuz-6.12.115+deb13-amd64 root=UUID=0f ro quiet
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-0f' {
    menuentry 'Debian GNU/Linux, with Linux 6.12.107+deb13-amd64' OPT 'gnulinux-OLD-advanced-0f' {
        linux /boot/vmlinuz-6.12.107+deb13-amd64 root=UUID=0f ro quiet
    }
    menuentry 'Debian GNU/Linux, with Linux OLD (recovery mode)' OPT 'gnulinux-OLD-recovery-0f' {
        linux /boot/vmlinuz-6.12.107+deb13-amd64 root=UUID=0f ro single
    }
}
""".replace("OPT", "$menuentry_id_option").replace("OLD", make.KERNEL)


def test_the_boot_menu_gives_the_path_through_its_submenus():
    found_ = grub.choices(grub.parse_menu(MENU))
    assert [item.release for item in found_] == [NEW, make.KERNEL]
    assert found_[1].id == "gnulinux-advanced-0f>gnulinux-6.12.107+deb13-amd64-advanced-0f"
    assert found_[1].title.startswith(
        "Advanced options for Debian GNU/Linux>Debian GNU/Linux, with"
    )
    assert not grub.default_is_saved(MENU)
    assert grub.default_is_saved(MENU.replace('default="0"', 'default="${saved_entry}"'))


def test_known_good_kernels_come_before_those_of_which_something_is_unknown():
    facts = upgraded()
    newer = "6.12.110+deb13-amd64"
    vague = tuple(
        replace(file, kernel=newer, path=file.path.replace(make.KERNEL, newer).replace("/dkms", ""),
                version=Unknown("modinfo did not answer"), vermagic=Unknown("not asked"))
        for file in facts.modules.files
    )  # fmt: skip
    between = replace(make.make_kernel(newer, running=False), default=False)
    new, old = facts.kernels.installed
    facts = replace(
        facts,
        kernels=replace(
            facts.kernels,
            installed=(new, between, old),
            boot_entries=(*entries(), BootChoice(newer, "ID", "TITLE")),
        ),
        modules=replace(facts.modules, files=(*vague, *facts.modules.files)),
        initramfs=tuple(
            Initramfs(name, f"/boot/initrd.img-{name}", (), ("nouveau",))
            for name in (NEW, newer, make.KERNEL)
        ),
    )
    ctx = make.context(facts)
    assert kernels.serving(ctx) == (make.KERNEL, newer)
    assert kernels.doubt(ctx, make.KERNEL) == ""
    assert "could not be read: modinfo did not answer" in kernels.doubt(ctx, newer)
    assert make.KERNEL in found(facts).ways[0].title
    only = replace(facts, modules=replace(facts.modules, files=vague))
    way = found(only).ways[0]
    assert newer in way.title and "not known: the version of its nvidia module" in way.what


def test_a_reload_that_can_t_be_says_every_reason():
    facts = stale()
    user = LoadedModule("gdrdrv", "2.5", 0)
    loaded = tuple(
        replace(m, users=(*m.users, "gdrdrv")) if m.name == "nvidia" else m
        for m in facts.modules.loaded
    )
    facts = replace(
        facts,
        modules=replace(
            facts.modules, loaded=(*loaded, user), files=make.make_files(version="1.2.3")
        ),
        platform=replace(facts.platform, modules_loadable=False),
    )
    recovery = found(facts, InUse((VLLM, BOX, POD), (), 2))
    assert recovery.way("reload") is None
    told = "\n".join(recovery.reasons("reload"))
    for words in ("modules_disabled", "on disk for the running kernel is 1.2.3",
                  "the module gdrdrv uses nvidia", "VLLM::EngineCor (process 4242, vllm.service)",
                  "docker container triton", "pod models/llama-0", "drain the node first",
                  "2 processes of other users"):  # fmt: skip
        assert words in told
    assert {"id": "reload", "why": list(recovery.reasons("reload"))} in recovery.to_json()[
        "refused"
    ]


def test_a_reload_that_would_change_nothing_says_so():
    told = found(upgraded()).reasons("reload")
    assert told[0].startswith("no nvidia module is loaded")
    built = replace(make.make_kernel(), modules_enabled=False)
    facts = replace(stale(), kernels=replace(stale().kernels, installed=(built,)))
    assert "CONFIG_MODULES" in reload.why_not(make.context(facts))


def test_work_goes_on_until_the_first_step_that_ends_it():
    build, swap = (
        Step("build", "module", "", ""),
        Step("swap", "loaded", "", "", stops_workloads=True),
    )
    room, back = Step("room", "loaded", "", ""), Step("back", "loaded", "", "")
    plan = around(Plan({}, (build, swap)), (room,), (back,))
    assert [step.id for step in plan.steps] == ["build", "room", "swap", "back"]
    reboot = replace(swap, id="reboot", reboot=True)
    assert around(Plan({}, (build, reboot)), (room,)).steps[0] is room
    assert stops_now(plan) and not stops_now(Plan({}, (build, reboot)))


def test_the_pod_of_a_container_is_known_by_the_kubelet_s_folders():
    uid = "0f1e2d3c-1111-2222-3333-444455556666"
    box = "ef" * 32
    group = (
        f"0::/kubepods.slice/kubepods-pod{uid.replace('-', '_')}.slice/cri-containerd-{box}.scope\n"
    )
    host = FakeHost(
        files={"/proc/9/cgroup": group, "/proc/9/comm": "python3\n"},
        listings={"/proc": ["9"], "/proc/9/fd": ["5"], "/var/log/pods": [f"models_llama-0_{uid}"]},
        links={"/proc/9/fd/5": "/dev/nvidia0"},
        complete=True,
        kind="local",
    )
    (holder,) = observe(host).known
    assert holder.pod == "models/llama-0" and "pod models/llama-0" in holder.words
