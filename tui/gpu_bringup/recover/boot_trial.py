"""A boot on trial: start a kernel (or driver) once, let a unit judge it, go back by itself if it fails.

The judging is a POSIX script that travels with the plan (``scripts/boot-trial.sh``): it needs neither
Python nor gpu-bringup. Sources: systemd.unit(5) (FailureAction=, JobTimeoutAction=), systemd-system.conf(5)
(RuntimeWatchdogSec=), grub-reboot(8), bootctl(1) (set-oneshot), grubby(8).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpu_bringup.families.base import Change
from gpu_bringup.families.boot_choice import SAVED, choose_kernel
from gpu_bringup.families.repository import STAGE
from gpu_bringup.ladder.steps import REBOOT, reboot_step
from gpu_bringup.model.enums import BootLoader
from gpu_bringup.model.plan import Command, Plan, Step, Write
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.ladder.base import Context

TRIAL = "boot-trial"
"""Id of the step; the script finds the run to take back by it."""
SCRIPT = f"{STAGE}/bin/boot-trial.sh"
FOLDER = f"{STAGE}/boot-trial"
UNIT = "gpu-bringup-boot-trial.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
_WANTED = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
WATCHDOG_PATH = "/etc/systemd/system.conf.d/zz-gpu-bringup-boot-trial.conf"
MINUTES = 10
_LONGEST_CHECK = 420
"""Seconds that the driver's question and one check may take beyond the time (script: 60 and 300)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator may say of a trial."""

    minutes: int = MINUTES
    """After the boot, for all checks to succeed."""
    checks: tuple[str, ...] = ()
    """Further commands, as lines of shell; each must end with status 0."""
    watchdog: bool = False
    """Let systemd feed the hardware's watchdog, which resets a machine that hangs."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The steps of a trial, with what will happen when, or why there can be none."""

    steps: tuple[Step, ...] = ()
    words: tuple[str, ...] = ()
    why_not: str = ""


def _unit(seconds: int) -> str:
    return f"""# Written by gpu-bringup; it removes itself when the trial is over.
# To take it back: gpu-bringup undo, or sh {SCRIPT} cancel
[Unit]
Description=gpu-bringup: may what was booted on trial stay?
ConditionPathExists={FOLDER}/settings
After=basic.target nvidia-persistenced.service
# Killed, or over its time: back to the old kernel.
FailureAction=reboot
# A boot that never gets as far as this unit is over after this time as well.
JobTimeoutSec={seconds + _LONGEST_CHECK + 180}
JobTimeoutAction=reboot-force

[Service]
Type=oneshot
ExecStart=/bin/sh {SCRIPT} check
TimeoutStartSec={seconds + _LONGEST_CHECK}

[Install]
WantedBy=multi-user.target
"""


_WATCHDOG = """# Written by gpu-bringup for a boot on trial; removed when it is over.
[Manager]
RuntimeWatchdogSec=60
RebootWatchdogSec=10min
"""


def _shell(commands: Iterable[Command]) -> str:
    lines = [" ".join(map(shlex.quote, command.argv)) for command in commands]
    return "#!/bin/sh\nset -e\n" + "".join(f"{line}\n" for line in lines)


def _again(pin: Change) -> str:
    """What makes the old kernel the default once more, with the files that it needs."""
    lines = [
        f"mkdir -p {shlex.quote(write.path.rpartition('/')[0])}\n"
        f"printf %s {shlex.quote(write.content)} >{shlex.quote(write.path)}\n"
        for write in pin.writes
    ]
    head, _, rest = _shell(pin.commands).partition("set -e\n")
    return f"{head}set -e\n{''.join(lines)}{rest}"


def _pinned(ctx: Context, new: str, old: str) -> tuple[Change, str, str]:
    """(old becomes the default, text that makes new the default afterwards, why it can't be)."""
    facts, family = ctx.facts, ctx.family.id if ctx.family is not None else ""
    pin = choose_kernel(facts, family, old, once=False)
    if pin.why_not:
        return Change(), "", pin.why_not
    kernel = facts.kernel(new)
    ours = any(write.path == SAVED.path for write in pin.change.writes)
    if ours and kernel is not None and kernel.default is True:
        # The menu's own order starts it: without our pin it is the default, and later kernels too.
        update = pin.change.commands[0]
        removal = Command(("rm", "-f", SAVED.path))
        return pin.change, _shell((removal, *pin.change.undo[:1], update)), ""
    wanted = choose_kernel(facts, family, new, once=False)
    if wanted.why_not:
        return Change(), "", wanted.why_not
    # The saved default is obeyed once the pin is there: only the choice itself is made again.
    choice = wanted.change.commands[-1:]
    return pin.change, _shell(choice), ""


def trial(ctx: Context, release: str, wish: Wish, *, undo: bool = False) -> Trial:
    """Boot ``release`` once and judge it; the running kernel stays the default until it has passed.

    Args:
        release: an installed kernel; the running one for a driver that is to be tried on it.
        undo: the plan changes packages as well: a trial that fails takes the whole run back.
    """
    facts = ctx.facts
    running = facts.kernels.running
    if isinstance(running, Unknown):
        return Trial(why_not=f"the running kernel is not known: {running.reason}")
    if release == running and not undo:
        return Trial(why_not=f"{release} runs already: there is nothing to try")
    if facts.kernels.boot_loader is BootLoader.NONE:
        return Trial(why_not="there is no boot loader here that starts a kernel once")
    change, files, risk = Change(), {}, ""
    if release != running:
        pin, permanent, why_not = _pinned(ctx, release, running)
        family = ctx.family.id if ctx.family is not None else ""
        once = choose_kernel(facts, family, release, once=True)
        if why_not or once.why_not:
            return Trial(why_not=why_not or once.why_not)
        change = Change(
            writes=pin.writes,
            commands=(*pin.commands, *once.change.commands),
            undo=(*once.change.undo, *pin.undo),
        )
        files = {"permanent": permanent, "back": _shell(once.change.undo)}
        if undo:
            files["pin"] = _again(pin)
        risk = once.risk
    step = _step(ctx, release, running, wish, change, files, undo)
    reboot = reboot_step(
        "kernel",
        f"{release} is started by it, once.",
        ("kernel", "headers", "module", "loaded", "devices", "nvml", "cuda"),
        f"The trial is judged within {wish.minutes} minutes of the boot; then: sh {SCRIPT} status",
    )
    told = words(release, running, wish, undo=undo)
    return Trial((replace(step, risk=" ".join((risk, *told[1:])).strip()), reboot), told)


def words(release: str, running: str, wish: Wish, *, undo: bool) -> tuple[str, ...]:
    """What will happen when: for the operator, before anything is done."""
    what = "the new driver" if release == running else release
    back = (
        f"the run is taken back from the packages that it kept, and {running} boots as before"
        if undo
        else f"the machine reboots into {running}"
    )
    none = (
        f"If {what} never comes up: {running} is the boot loader's default, so the next reset or power "
        "cycle starts it. Userspace that hangs is reset after "
        f"{wish.minutes + (_LONGEST_CHECK + 180) // 60} minutes"
        + (", and what the run changed is taken back there" if undo else "")
        if release != running
        else "If the machine never comes up with the new driver, no other kernel is chosen: boot an older "
        "one at the console and run undo there"
    )
    hang = (
        "; a kernel that hangs, by the hardware's watchdog."
        if wish.watchdog
        else "; a kernel that hangs only by you (or with --watchdog, where the hardware has one)."
    )
    return (
        f"At your reboot: {what} is started, once.",
        f"Within {wish.minutes} minutes of that boot the driver must answer for every GPU"
        + (f" and {len(wish.checks)} checks of yours succeed" if wish.checks else "")
        + f": then {what} stays, and the trial removes itself.",
        f"If not: {back}.",
        none + hang,
    )


def _step(
    ctx: Context,
    release: str,
    running: str,
    wish: Wish,
    change: Change,
    files: dict[str, str],
    undo: bool,
) -> Step:
    seconds = wish.minutes * 60
    gpus = ctx.facts.pci.gpus
    count = 0 if isinstance(gpus, Unknown) else len(gpus)
    settings = {"NEW": release, "OLD": running, "SECONDS_LEFT": str(seconds), "GPUS": str(count),
                "UNDO": "1" if undo else "0"}  # fmt: skip
    text = "".join(f"{key}={shlex.quote(value)}\n" for key, value in settings.items())
    script = data_folder("scripts").joinpath("boot-trial.sh").read_text(encoding="utf-8")
    writes = [
        Write(SCRIPT, script, 0o755),
        Write(f"{FOLDER}/settings", text, 0o600),
        Write(UNIT_PATH, _unit(seconds)),
    ]
    if wish.checks:
        lines = "".join(f"{check}\n" for check in wish.checks)
        writes.append(Write(f"{FOLDER}/checks", lines, 0o600))
    writes += [Write(f"{FOLDER}/{name}", content, 0o700) for name, content in files.items()]
    if wish.watchdog:
        writes.append(Write(WATCHDOG_PATH, _WATCHDOG))
    # What an earlier trial left must not be taken for this one's.
    left = tuple(f"{FOLDER}/{name}" for name in ("result", "tried", "log"))
    forget = Command(("rm", "-f", "--", *left))
    reload = Command(("systemctl", "daemon-reload"), ok_statuses=(0, 1))
    return Step(
        id=TRIAL,
        rung="kernel",
        title=f"Boot {release} on trial, {running} stays the default"
        if release != running
        else "Boot the new driver on trial",
        why="A server that nobody can reach must come back by itself if this goes wrong.",
        writes=(*writes, *change.writes),
        commands=(forget, reload, Command(("systemctl", "enable", UNIT)), *change.commands),
        # Not by the script: it is among the files that are taken back before.
        undo=(Command(("rm", "-f", "--", UNIT_PATH, _WANTED)), reload, *change.undo),
        estimate_seconds=30 if change.writes else 5,
        done_when=(),
    )


def on_trial(plan: Plan, ctx: Context, release: str, wish: Wish) -> tuple[Plan, Trial]:
    """The plan whose reboot is a trial; it changes packages, so a failed one takes all of it back."""
    found = trial(ctx, release, wish, undo=True)
    if found.why_not:
        return plan, found
    kept = tuple(step for step in plan.steps if step.id != REBOOT and not step.reboot)
    return replace(plan, steps=(*kept, *found.steps)), found
