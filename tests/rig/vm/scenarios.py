"""The stories that are played on the machines, and the states that they leave for others."""

from __future__ import annotations

import json
import re
import time

import mokmanager
from console import Missed
from machine import Machine
from person import BUILD_SECONDS, MOK_PASSWORD, RUN_SECONDS, TOOL, Wizard, log_in, reboot

from rig import Rig, Scenario

WISH = "--gpu H200 --source nvidia-repository"
MODULES = ("nvidia", "nvidia-modeset", "nvidia-drm", "nvidia-uvm", "nvidia-peermem")


def check(machine: Machine) -> dict[str, object]:
    """What ``gpu-bringup check`` says now."""
    answer = machine.run(f"{TOOL} check {WISH} --json 2>/dev/null", seconds=300)
    return json.loads(answer.output)


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
    for name in MODULES:
        signer = machine.must(f"modinfo -F signer -k {kernel} {module(machine, name, kernel)}")
        demand(signer == "DKMS module signing key", f"{name} is signed by {signer!r}")
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
        "audit": machine.must("dpkg --audit"),
    }


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
    wizard.choose("leave the wizard and reboot")
    wizard.back_in_shell()
    (rig.run_folder("core") / "end-state.json").write_text(json.dumps(end_state(machine)), "utf-8")
    all_signed(machine)
    said = load(machine)
    demand("Key was rejected by service" in said, f"before enrolment: {said}")
    reboot(console, rig.password)
    enrolled(rig, machine)
    log_in(console, rig.password)
    wizard.start(waits=True)
    proof(wizard)
    demand(load(machine) == "accepted", load(machine))
    return "driver proven, built, signed, enrolled, accepted"


def request(wizard: Wizard) -> None:
    """From the first look to the filed request: questions, choice, proof, review, run."""
    wizard.press("n")
    wizard.see(r"2 QUESTIONS(?s:.*)What is this server for", "questions")
    wizard.press("2")
    wizard.see(r"another one, by name", "which-gpu")
    wizard.press("2")
    wizard.see(r"Which GPU\?", "gpu-by-name")
    wizard.press(*"H200", "enter")
    wizard.see(r"> H200", "gpu-named")
    wizard.press("4")
    wizard.see(r"3 +NVIDIA.s repository", "which-source")
    wizard.press("3")
    wizard.see(r"> NVIDIA.s repository", "source-named")
    wizard.press("n")
    wizard.see(r"3 CHOICE(?s:.*)580\.178\.04", "choice")
    wizard.press("n")
    wizard.see(r"4 PROOF(?s:.*)s starts it", "proof")
    wizard.press("s")
    wizard.see(r"Compiling the driver|No candidate could be proven", "proof-running")
    seen = wizard.see(r"Proven: 580\.178\.04|No candidate could be proven", "proven", BUILD_SECONDS)
    demand(seen.startswith("Proven"), wizard.console.text())
    wizard.press("n")
    wizard.see(r"5 REVIEW(?s:.*)\d+ steps", "review")
    wizard.press("a")
    wizard.see(r"Take these steps now\?", "confirm")
    wizard.press("2")
    run(wizard)


def run(wizard: Wizard) -> None:
    """Watch the run, answer its prompts, to the word that a reboot is needed."""
    end = time.monotonic() + RUN_SECONDS
    asked = 0
    while True:
        seen = wizard.console.wait(
            r"one-time password for the firmware|A reboot is needed|A step failed|The run broke off|"
            r"could not be started|All steps are done|What comes: the firmware asks",
            end - time.monotonic(),
        )
        if not seen.startswith("one-time"):
            break
        wizard.console.picture(f"asks-{asked}")
        asked += 1
        demand(asked < 5, "it asks for the password again and again")
        wizard.press(*MOK_PASSWORD, "enter", *MOK_PASSWORD)
        wizard.see(r"The two agree", "asks-agreed")
        wizard.press("enter")
        gone(wizard, r"one-time password for the firmware")
    wizard.console.picture("run-ended")
    demand(seen.startswith(("A reboot", "What comes")), f"the run ended: {seen}")
    wizard.see(r"\d +leave the wizard and reboot", "what-comes")


def gone(wizard: Wizard, pattern: str, seconds: float = 60) -> None:
    """Wait until something is no longer shown."""
    end = time.monotonic() + seconds
    while re.search(pattern, wizard.console.text()):
        wizard.console.read(0.3)
        demand(time.monotonic() < end, f"still shown: {pattern}")


def proof(wizard: Wizard) -> None:
    """After the reboot: the waiting run is offered, taken up, and ends with nothing left to do."""
    wizard.see(r"A run waits(?s:.*)\d +go on", "waits")
    wizard.choose("go on")
    wizard.see(r"7 VERIFY", "verified", RUN_SECONDS)
    wizard.leave()


def enrolled(rig: Rig, machine: Machine) -> None:
    """Through MokManager's screens, to the next login; the kernel knows the key."""
    mokmanager.enrol(machine.console, MOK_PASSWORD)
    machine.forget_connection()
    machine.wait_for_login()
    said = machine.run("mokutil --test-key /var/lib/dkms/mok.pub").output
    demand("is already enrolled" in said, f"after MokManager: {said}")


# --- the same without a screen ---------------------------------------------------------------------


def apply_at_console(rig: Rig, machine: Machine, seconds: float = RUN_SECONDS) -> str:
    """``sudo gpu-bringup apply`` typed at the serial console, its prompts answered; its status."""
    console = machine.console
    console.send(f'clear; sudo -k {TOOL} apply {WISH} --yes; echo "status"=$?\r')
    end = time.monotonic() + seconds
    while True:
        # The stream, not the picture: a question that was answered still stands in that.
        seen = console.stream(
            r"password for admin1: |input password: |input password again: |status=\d+[\r\n]",
            end - time.monotonic(),
        )[0].decode()
        if seen.startswith("status="):
            console.picture("apply-ended")
            return seen.partition("=")[2].strip()
        if "admin1" in seen:
            console.send(rig.password + "\r")
        else:
            console.picture("apply-asks")
            time.sleep(1)
            console.send(MOK_PASSWORD + "\r")


def headless(rig: Rig, machine: Machine) -> str:
    """From a fresh server to an accepted module, by `apply` typed at the serial console."""
    console = machine.console
    log_in(console, rig.password)
    status = apply_at_console(rig, machine)
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
    enrolled(rig, machine)
    demand(load(machine) == "accepted", load(machine))
    log_in(console, rig.password)
    status = apply_at_console(rig, machine)
    demand(status == "0", f"apply after the reboot ended with {status}, not with 0")
    cause = root_cause(machine)
    demand(not cause, f"check still names {cause}")
    return "enrolled, accepted, nothing left to do"


# --- what goes wrong ---------------------------------------------------------------------------------


def missed(rig: Rig, machine: Machine) -> str:
    """Nobody is at the console when MokManager waits: diagnosed, filed again, then enrolled."""
    console = machine.console
    log_in(console, rig.password)
    key = machine.must("sha256sum /var/lib/dkms/mok.pub")
    machine.run("systemctl reboot")
    stood = mokmanager.miss(console)
    machine.forget_connection()
    machine.wait_for_login()
    said = load(machine)
    demand("Key was rejected by service" in said, f"after the missed screen: {said}")
    answer = machine.run(f"{TOOL} check {WISH}", seconds=300)
    (machine.folder / "check-missed.txt").write_text(answer.output, "utf-8")
    cause = root_cause(machine)
    demand(cause == "sb-mok-not-enrolled", f"the missed screen is called {cause or 'nothing'}")
    log_in(console, rig.password)
    status = apply_at_console(rig, machine)
    demand(status == "3", f"filing again ended with {status}, not with 3 (a reboot is needed)")
    demand(key == machine.must("sha256sum /var/lib/dkms/mok.pub"), "the key was made anew")
    waiting = machine.must("mokutil --list-new | grep -c 'SHA1 Fingerprint'")
    demand(waiting == "1", f"{waiting} keys wait for enrolment")
    machine.run("systemctl reboot")
    enrolled(rig, machine)
    demand(load(machine) == "accepted", load(machine))
    return f"screen stood {stood:.0f} s; named, filed again with the same key, enrolled, accepted"


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
    answer = machine.run(f"{TOOL} check {WISH}", seconds=300)
    (machine.folder / f"check-{how}.txt").write_text(answer.output, "utf-8")
    cause = root_cause(machine)
    demand(cause == expected, f"{how}: named {cause or 'nothing'}, not {expected}")
    done = machine.run(f"{TOOL} apply {WISH} --yes", seconds=RUN_SECONDS)
    (machine.folder / f"apply-{how}.txt").write_text(done.output, "utf-8")
    demand(done.status == 0, f"{how}: apply ended with {done.status}")
    all_signed(machine)
    demand(load(machine) == "accepted", load(machine))
    rest = root_cause(machine)
    demand(not rest, f"{how}: check still names {rest}")
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
    demand(load(machine) == "accepted", load(machine))
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
    audit = machine.must("dpkg --audit")
    log_in(machine.console, rig.password)
    status = apply_at_console(rig, machine)
    demand(status == "3", f"after the power cut apply ended with {status}, not with 3")
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
    "unsigned": Scenario(unsigned, begins="enrolled"),
    "wrong-key": Scenario(wrong_key, begins="enrolled"),
    "upgrade": Scenario(upgrade, begins="enrolled", leaves="upgraded"),
    "new-kernel": Scenario(new_kernel, begins="upgraded"),
    "trial-passes": Scenario(trial_passes, begins="upgraded"),
    "trial-fails": Scenario(trial_fails, begins="upgraded"),
    "trial-dies": Scenario(trial_dies, begins="upgraded"),
    "power-cut": Scenario(power_cut),
}
MAKERS = {scenario.leaves: name for name, scenario in SCENARIOS.items() if scenario.leaves}
