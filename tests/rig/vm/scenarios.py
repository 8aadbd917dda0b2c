"""The stories that are played on the machines, and the states that they leave for others."""

from __future__ import annotations

import json
import re
import time

import by_ssh
import mokmanager
import undoing
from machine import Machine
from person import RUN_SECONDS, TOOL, Wizard, log_in, reboot
from verdicts import (
    WISH,
    all_signed,
    demand,
    end_state,
    load,
    module,
    root_cause,
    whole_state,
)
from walks import apply_at_console, request, run, through_mokmanager, waiting_run

from rig import Rig, Scenario

# --- the core path -----------------------------------------------------------------------------


def core(rig: Rig, machine: Machine) -> str:
    """From a fresh server to an accepted module, by the wizard on the serial console at 80x24."""
    console = machine.console
    log_in(console, rig.password)
    wizard = Wizard(console, rig.password)
    wizard.start()
    # No card is in it yet: that is what the questions are for.
    wizard.see(r"Root cause: GPU on the bus", "look")
    request(wizard)
    run(wizard)
    wizard.choose("leave the wizard and reboot")
    wizard.back_in_shell()
    state = end_state(machine)
    (machine.folder / "end-state.json").write_text(json.dumps(state, indent=1), "utf-8")
    demand(not state["audit"], state["audit"])
    all_signed(machine)
    said = load(machine)
    demand("Key was rejected by service" in said, f"before enrolment: {said}")
    reboot(console, rig.password)
    through_mokmanager(machine)
    log_in(console, rig.password)
    wizard.start(first=r"A run waits")
    waiting_run(wizard)
    said = load(machine)
    demand(said == "accepted", said)
    return "driver proven, built, signed, enrolled, accepted"


# --- the same without a screen ---------------------------------------------------------------------


def headless(rig: Rig, machine: Machine) -> str:
    """From a fresh server to an accepted module, by `apply` typed at the serial console."""
    console = machine.console
    rig.remember("before", whole_state(machine))
    log_in(console, rig.password)
    status = apply_at_console(machine)
    demand(status == "3", f"apply ended with {status}, not with 3 (a reboot is needed)")
    all_signed(machine)
    said = load(machine)
    demand("Key was rejected by service" in said, f"before enrolment: {said}")
    state = end_state(machine)
    demand(not state["audit"], state["audit"])
    rig.remember("end-state", state)
    return "built, signed, request filed; refused before enrolment"


def enrol(rig: Rig, machine: Machine) -> str:
    """The filed request, confirmed in MokManager: the kernel accepts the module, `check` is content."""
    console = machine.console
    log_in(console, rig.password)
    reboot(console, rig.password)
    through_mokmanager(machine)
    said = load(machine)
    demand(said == "accepted", said)
    log_in(console, rig.password)
    status = apply_at_console(machine)
    demand(status == "0", f"apply after the reboot ended with {status}, not with 0")
    cause = root_cause(machine)
    demand(not cause, f"check still names {cause}")
    return "enrolled, accepted, nothing left to do"


# --- what goes wrong ---------------------------------------------------------------------------------


def overlooked(machine: Machine) -> tuple[str, float]:
    """Reboot with nobody at the console; digest of the key, seconds that the screen stood."""
    log_in(machine.console, machine.password)
    key = machine.must("sha256sum /var/lib/dkms/mok.pub")
    machine.run("systemctl reboot")
    stood = mokmanager.miss(machine.console)
    machine.forget_connection()
    machine.wait_for_login()
    said = load(machine)
    demand("Key was rejected by service" in said, f"after the missed screen: {said}")
    cause = root_cause(machine)
    demand(cause == "sb-mok-not-enrolled", f"the missed screen is called {cause or 'nothing'}")
    log_in(machine.console, machine.password)
    return key, stood


def filed_again(machine: Machine, key: str) -> None:
    """The request waits once more, for the same key; confirmed this time, the module is accepted."""
    demand(key == machine.must("sha256sum /var/lib/dkms/mok.pub"), "the key was made anew")
    waiting = machine.must("mokutil --list-new | grep -c 'SHA1 Fingerprint'")
    demand(waiting == "1", f"{waiting} keys wait for enrolment")
    machine.run("systemctl reboot")
    through_mokmanager(machine)
    said = load(machine)
    demand(said == "accepted", said)


def missed(rig: Rig, machine: Machine) -> str:
    """Nobody is at the console when MokManager waits: the wizard says so and files it again."""
    key, stood = overlooked(machine)
    wizard = Wizard(machine.console, rig.password)
    wizard.start(first=r"A run waits")
    wizard.see(r"A run waits(?s:.*)\d +ask the firmware again", "missed")
    wizard.choose("ask the firmware again")
    wizard.see(r"\d +yes, ask the firmware again", "confirm")
    wizard.choose("yes, ask the firmware again")
    run(wizard)
    wizard.choose("leave the wizard and reboot")
    wizard.back_in_shell()
    filed_again(machine, key)
    return (
        f"screen stood {stood:.0f} s; named, filed again by the wizard with the same key, accepted"
    )


def missed_headless(rig: Rig, machine: Machine) -> str:
    """The same without the wizard: diagnosed by `check`, filed again by `apply`, then enrolled."""
    key, stood = overlooked(machine)
    status = apply_at_console(machine)
    demand(status == "3", f"filing again ended with {status}, not with 3 (a reboot is needed)")
    filed_again(machine, key)
    return f"screen stood {stood:.0f} s; named, filed again by apply with the same key, accepted"


SIGN = "/lib/modules/$(uname -r)/build/scripts/sign-file"
REPACK = {
    "": "true",
    ".xz": "xz -f --check=crc32 --lzma2=dict=1MiB",
    ".zst": "zstd -q --rm",
    ".gz": "gzip -n",
}


def spoil(machine: Machine, how: str) -> None:
    """Sign the module again with a key that nobody trusts ("stranger"), or take its signature."""
    path = module(machine)
    packed = path[path.index(".ko") + 3 :]
    plain = path.removesuffix(packed)
    steps = ["set -e", "cd /root"]
    if packed:
        steps.append(
            {".xz": "xz -d", ".zst": "zstd -q -d --rm", ".gz": "gzip -d"}[packed] + f" {path}"
        )
    steps.append(f"strip --strip-debug {plain}")
    if how == "stranger":
        steps += [
            "openssl req -new -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=Stranger/ "
            "-keyout stranger.key -outform DER -out stranger.der 2>/dev/null",
            f"$(ls {SIGN} /usr/lib/linux-kbuild-*/scripts/sign-file 2>/dev/null | head -n 1) "
            f"sha256 stranger.key stranger.der {plain}",
        ]
    steps += [f"{REPACK[packed]} {plain}", "depmod -a"]
    machine.must("\n".join(steps))


def mended(rig: Rig, machine: Machine, how: str, expected: str) -> str:
    """Spoil the signature, have it named, mended by `apply`, and accepted."""
    spoil(machine, how)
    said = load(machine)
    demand("Key was rejected by service" in said, f"the spoilt module: {said}")
    cause = root_cause(machine)
    demand(cause == expected, f"{how}: named {cause or 'nothing'}, not {expected}")
    done = machine.run(f"{TOOL} apply {WISH} --yes", seconds=RUN_SECONDS)
    (machine.folder / f"apply-{how}.txt").write_text(done.output, "utf-8")
    demand(done.status == 0, f"{how}: apply ended with {done.status}")
    all_signed(machine)
    # Before the module is tried: the kernel's log still tells of the spoilt one.
    rest = root_cause(machine)
    demand(not rest, f"{how}: check still names {rest}")
    said = load(machine)
    demand(said == "accepted", said)
    return "named, mended, accepted"


def unsigned(rig: Rig, machine: Machine) -> str:
    """A module without a signature: `check` names it, `apply` mends it."""
    return mended(rig, machine, "unsigned", "sb-unsigned-module")


def wrong_key(rig: Rig, machine: Machine) -> str:
    """A module that a stranger's key signed: `check` names it, `apply` mends it."""
    return mended(rig, machine, "stranger", "sb-mok-not-enrolled")


def upgrade(rig: Rig, machine: Machine) -> str:
    """apt brings the next kernel: dkms builds and signs all five modules for it as well."""
    old = machine.must("uname -r")
    machine.must("apt-get update -q", seconds=RUN_SECONDS)
    machine.must(
        "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --allow-change-held-packages "
        "linux-image-amd64 linux-headers-amd64 >/root/upgrade.log 2>&1 || "
        "{ tail -n 30 /root/upgrade.log; exit 1; }",
        seconds=RUN_SECONDS,
    )
    new = newest(machine)
    demand(new != old, f"the archive has no newer kernel than {old}")
    all_signed(machine, new)
    return f"{old} -> {new}: built, signed"


def newest(machine: Machine) -> str:
    """The newest kernel that is installed."""
    return machine.must("ls /lib/modules | sort -V | tail -n 1")


def new_kernel(rig: Rig, machine: Machine) -> str:
    """The machine boots the kernel that apt brought: it accepts the module."""
    new = newest(machine)
    machine.run("systemctl reboot")
    machine.forget_connection()
    machine.wait_for_login()
    demand(machine.must("uname -r") == new, f"not {new} was booted")
    said = load(machine)
    demand(said == "accepted", said)
    cause = root_cause(machine)
    demand(not cause, f"check names {cause}")
    return f"{new} runs, module accepted"


# --- a boot on trial ---------------------------------------------------------------------------------

TRIAL = "/var/lib/gpu-bringup/boot-trial"


def try_out(machine: Machine, *more: str) -> tuple[str, str]:
    """Set a trial of the newest kernel up; (running kernel, new kernel)."""
    old, new = machine.must("uname -r"), newest(machine)
    words = " ".join(more)
    done = machine.run(
        f"{TOOL} recover --boot-trial {new} --gpu H200 --yes --within 2 {words}", seconds=600
    )
    (machine.folder / "trial.txt").write_text(done.output, "utf-8")
    demand(done.status == 3, f"the trial could not be set up ({done.status}): {done.output[-300:]}")
    return old, new


def settled(machine: Machine, seconds: float = 1800) -> list[str]:
    """The lines of the trial's result, once there is one and the machine is up."""
    end = time.monotonic() + seconds
    while True:
        machine.console.read(5)
        found = machine.run(
            f"cat {TRIAL}/result && systemctl is-system-running --wait >/dev/null", seconds=120
        )
        if found.output.strip() and machine.run(f"test -e {TRIAL}/result").status == 0:
            return found.output.strip().splitlines()
        machine.forget_connection()
        demand(time.monotonic() < end, "the trial never ends: " + machine.console.text()[-300:])


def default_kernel(machine: Machine) -> str:
    """Reboot, and see which kernel comes up."""
    machine.run("systemctl reboot")
    machine.forget_connection()
    machine.wait_for_login()
    return machine.must("uname -r")


def trial_passes(rig: Rig, machine: Machine) -> str:
    """A new kernel is booted once, the driver answers: it stays."""
    _, new = try_out(machine)
    machine.run("systemctl reboot")
    machine.forget_connection()
    result = settled(machine)
    demand(machine.must("uname -r") == new, f"not {new} runs")
    demand(result[0] == "passed", f"the trial ended: {result}")
    booted = default_kernel(machine)
    demand(booted == new, f"afterwards {booted} is booted")
    return f"{new} tried, kept"


def trial_fails(rig: Rig, machine: Machine) -> str:
    """A new kernel is booted once, a check fails: the old one comes back by itself."""
    old, new = try_out(machine, "--check false")
    machine.run("systemctl reboot")
    machine.forget_connection()
    machine.console.stream(rf"Linux version {re.escape(new)}", 600)
    machine.console.stream(rf"Linux version {re.escape(old)}", 1200)
    result = settled(machine)
    demand(machine.must("uname -r") == old, f"not {old} runs")
    demand(result[0] == "failed", f"the trial ended: {result}")
    booted = default_kernel(machine)
    demand(booted == old, f"afterwards {booted} is booted")
    return f"{new} tried, refused; {old} back by itself"


def trial_dies(rig: Rig, machine: Machine) -> str:
    """A new kernel is booted once and dies at once: the next start is the old one."""
    old, new = try_out(machine)
    machine.must(f"truncate -s 4096 /boot/initrd.img-{new}; sync")
    machine.run("systemctl reboot")
    machine.forget_connection()
    machine.console.stream(r"Kernel panic", 600)
    machine.power_cycle()
    machine.wait_for_login()
    result = settled(machine)
    demand(machine.must("uname -r") == old, f"not {old} runs")
    demand(result[0] == "failed", f"the trial ended: {result}")
    return f"{new} panicked; {old} at the next start"


# --- the plug ------------------------------------------------------------------------------------------


def power_cut(rig: Rig, machine: Machine) -> str:
    """The plug is pulled while the driver is being installed; the same end as without."""
    machine.must(f"nohup {TOOL} apply {WISH} --yes >/root/apply.log 2>&1 </dev/null & sleep 1")
    runs = "/var/lib/gpu-bringup/runs"
    end = time.monotonic() + RUN_SECONDS
    # In the middle of dkms's work for the driver's package, long after the trial build.
    while machine.run(f"grep -rqs '^Building module' {runs}").status:
        machine.console.read(2)
        late = time.monotonic() > end
        demand(not late, "no module is built:\n" + machine.run("tail -n 20 /root/apply.log").output)
    journal = f"{runs}/*/journal.jsonl"
    step = machine.must(f"grep step-started {journal} | tail -n 1")
    machine.power_cycle()
    machine.wait_for_login()
    audit = machine.run("dpkg --audit").output.strip()
    log_in(machine.console, rig.password)
    # The journal's own plan: a new one would also hold what it finds unpacked.
    status = apply_at_console(machine, "--resume")
    demand(status == "3", f"after the power cut the resumed run ended with {status}, not with 3")
    started = machine.must(f"grep -ch '\"run-started\"' {journal}")
    demand(started == "1", f"run-started stands {started} times in the journals")
    state, undisturbed = end_state(machine), rig.recall("end-state")
    differs = [name for name in undisturbed if state[name] != undisturbed[name]]
    (machine.folder / "end-state.json").write_text(json.dumps(state, indent=1), "utf-8")
    demand(not differs, f"the end differs from that of an undisturbed run: {', '.join(differs)}")
    demand(not state["audit"], state["audit"])
    all_signed(machine)
    left = "half configured packages" if audit else "no half configured package"
    return f"cut in {json.loads(step)['step']} ({left}); same end state, dpkg --audit clean"


SCENARIOS: dict[str, Scenario] = {
    "headless": Scenario(headless, leaves="requested"),
    "enrol": Scenario(enrol, begins="requested", leaves="enrolled"),
    "core": Scenario(core),
    "missed": Scenario(missed, begins="requested"),
    "missed-headless": Scenario(missed_headless, begins="requested"),
    "unsigned": Scenario(unsigned, begins="enrolled"),
    "wrong-key": Scenario(wrong_key, begins="enrolled"),
    "upgrade": Scenario(upgrade, begins="enrolled", leaves="upgraded"),
    "new-kernel": Scenario(new_kernel, begins="upgraded"),
    "trial-passes": Scenario(trial_passes, begins="upgraded"),
    "trial-fails": Scenario(trial_fails, begins="upgraded"),
    "trial-dies": Scenario(trial_dies, begins="upgraded"),
    "power-cut": Scenario(power_cut, compares="requested"),
    "ssh": Scenario(by_ssh.wizard_by_ssh, compares="requested"),
    "undo": Scenario(undoing.by_tool, begins="enrolled"),
    "undo-rescue": Scenario(undoing.from_rescue, begins="enrolled"),
}
MAKERS = {scenario.leaves: name for name, scenario in SCENARIOS.items() if scenario.leaves}
