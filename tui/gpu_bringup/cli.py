"""The command line: only argparse and the standard library are imported here.

Each command's module is imported when it is called, so that ``--help`` costs what Python costs.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys

from gpu_bringup import __version__
from gpu_bringup.commands import faults
from gpu_bringup.errors import BringupError, ExitCode

TYPE_CHECKING = False  # typing itself costs more than the rest of this module
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SCENARIOS = "long-term-stable, new-hardware, kubernetes, compliance, or one of your own"

_EPILOG = """\
exit status:
  0  healthy, recommended, builds, done, or nothing left to do
  1  something is broken, a step failed, or nothing could be found
  2  bad usage or bad input; the message names the file and the place in it
  3  a reboot is needed; run the same command again after it
  4  refused: going on would be unsafe, or this host isn't supported

Start without a command for the wizard (full screen). Nothing is changed before you confirm.
"""


def _path(text: str) -> Path:
    """A path of the command line; pathlib is loaded only where one is given."""
    from pathlib import Path

    return Path(text)


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("everywhere")
    group.add_argument(
        "--host", type=_path, metavar="FILE", help="look at a record, not this machine"
    )
    group.add_argument("--profiles", type=_path, metavar="DIR", help="further profiles and data")
    group.add_argument("--lang", metavar="LANGUAGE", help="language of the texts")
    group.add_argument("--no-color", action="store_true", help="no colours (NO_COLOR is honoured)")
    return common


def _json() -> argparse.ArgumentParser:
    parent = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parent.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parent


def _wish() -> argparse.ArgumentParser:
    wish = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = wish.add_argument_group("what is wanted, and for which host")
    group.add_argument(
        "--gpu", action="append", metavar="NAME|10de:XXXX", help="plan for this GPU (repeatable)"
    )
    group.add_argument("--scenario", metavar="NAME", help=_SCENARIOS)
    group.add_argument("--framework", metavar="NAME[:VERSION]", help="inference framework, as vllm")
    group.add_argument(
        "--source",
        choices=("distribution", "nvidia-repository", "local"),
        help="where the driver shall come from (default: whatever suits best)",
    )
    group.add_argument("--packages", metavar="DIR", help="folder of packages for --source local")
    group.add_argument(
        "--kernel", metavar="RELEASE", help="prepare this kernel release, also one not running"
    )
    group.add_argument("--driver", metavar="BRANCH|VERSION", help="insist on this driver")
    group.add_argument("--flavour", choices=("open", "proprietary"), help="insist on this flavour")
    group.add_argument(
        "--os", metavar="ID:VERSION", help="describe a host instead of looking at one"
    )
    group.add_argument(
        "--secure-boot", choices=("on", "off"), help="with --os: its Secure Boot state"
    )
    group.add_argument(
        "--signing-key", metavar="FILE|pkcs11:URI", help="sign modules with this key of your own"
    )
    group.add_argument("--signing-certificate", metavar="FILE", help="its certificate (DER)")
    group.add_argument("--today", metavar="YYYY-MM-DD", help="judge ends of support as of this day")
    return wish


def _trial(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("a boot on trial")
    group.add_argument(
        "--within", type=int, metavar="MINUTES", help="for the checks after the boot (default: 10)"
    )
    group.add_argument(
        "--check", action="append", metavar="COMMAND", help="a further check, a line of shell"
    )
    group.add_argument(
        "--watchdog",
        action="store_true",
        help="let the hardware's watchdog reset a hanging machine",
    )


def _train(train: argparse.ArgumentParser) -> None:
    train.add_argument("lesson", nargs="?", metavar="LESSON", help="which one (--list shows them)")
    what = train.add_mutually_exclusive_group()
    what.add_argument(
        "--list", action="store_true", help="the lessons, and which are solved or due"
    )
    what.add_argument("--shell", action="store_true", help="practise with a shell on this terminal")
    what.add_argument(
        "--auto", action="store_true", help="let the wizard's own plan solve it (0: solved)"
    )
    what.add_argument("--report", action="store_true", help="the report for the trainer")
    what.add_argument("--faults", action="store_true", help="what --break and lessons can break")
    what.add_argument(
        "--from-record", metavar="FILE|RUN", help="make a lesson of a host record or of a run"
    )
    train.add_argument(
        "--break", dest="fault", metavar="'FAULT [KEY=VALUE ...]'",
        help="for the instructor: break the running exercise LESSON further, from a second terminal; "
        "with --from-record: break the record's server",
    )  # fmt: skip
    train.add_argument(
        "--speed", type=float, default=0.0, metavar="N",
        help="simulated seconds a second, so that a build takes its time (default: no waiting)",
    )  # fmt: skip
    train.add_argument("--again", action="store_true", help="start the exercise again")
    train.add_argument("--operator", metavar="NAME", help="who practises (default: this user)")
    train.add_argument(
        "--format", choices=("markdown", "html", "json"), help="of the report (default: markdown)"
    )
    train.add_argument("-o", "--output", type=_path, metavar="FILE", help="write it to this file")


PLAN_FORMS = (
    "text", "json", "shell", "markdown", "ansible", "gpu-operator", "container", "packages",
)  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    common, as_json, wish = _common(), _json(), _wish()
    parser = argparse.ArgumentParser(
        prog="gpu-bringup",
        description="Make a Linux server ready for large-model inference on NVIDIA GPUs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common, wish],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gpu-bringup {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=text, description=text, parents=[common, *parents], allow_abbrev=False
        )

    check = add(
        "check", "look at the ladder of this host, say what is broken and why", as_json, wish
    )
    check.add_argument(
        "--deep", action="store_true", help="let every GPU prove itself (seconds each)"
    )
    sides = check.add_mutually_exclusive_group()
    sides.add_argument(
        "--next-boot",
        action="store_true",
        help="will the driver work after the next boot? each kernel, one verdict (0: yes)",
    )
    sides.add_argument(
        "--ledger",
        action="store_true",
        help="every version that must agree, and which package change moved it (0: all agree)",
    )
    check.add_argument(
        "--decide",
        action="store_true",
        help="where two causes remain, run the one read-only command that decides",
    )
    recommend = add("recommend", "which kernel, driver, modules and CUDA, and why", as_json, wish)
    recommend.add_argument(
        "--pin",
        action="append",
        metavar="KEY=VALUE",
        help="judge a combination: driver, flavour, cuda, kernel, source, framework (repeatable); "
        "'guide' stands for what the scenario's guide named",
    )
    recommend.add_argument(
        "--explain",
        action="store_true",
        help="every candidate against every rule, and what would change the choice's mind",
    )
    compat = add("compat", "does this driver build on this kernel", as_json)
    compat.add_argument("--driver", required=True, metavar="VERSION")
    compat.add_argument("--kernel", required=True, metavar="RELEASE")
    compat.add_argument("--flavour", choices=("open", "proprietary"))
    compat.add_argument("--os", metavar="ID:VERSION")
    explain = add("explain", "paste any error text, get the causes", as_json)
    explain.add_argument("file", nargs="?", metavar="FILE|-", help="the text (default: -)")
    explain.add_argument(
        "--context",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
        help="what is known of the host: os, kernel, driver, gpu, secure-boot",
    )
    explain.add_argument(
        "--xid",
        type=int,
        action="append",
        metavar="NUMBER",
        help="what an Xid number of the kernel's log means (repeatable); no text is read",
    )
    plan = add("plan", "the steps that would be taken", as_json, wish)
    plan.add_argument(
        "--format",
        choices=PLAN_FORMS,
        default="text",
        help="how to write the plan (default: text); packages: a script that fetches what it installs",
    )
    plan.add_argument("-o", "--output", type=_path, metavar="FILE", help="write to this file")
    apply = add("apply", "take the steps (the same engine as the wizard, no screen)", as_json, wish)
    apply.add_argument("--yes", action="store_true", help="don't ask before changing this host")
    apply.add_argument(
        "--resume", nargs="?", const="", metavar="RUN",
        help="go on with a run that broke off, failed or waited for a reboot (default: the newest); "
        "shows one that is under way",
    )  # fmt: skip
    apply.add_argument(
        "--after-reboot", action="store_true",
        help="with --resume: a run that waits for a reboot goes on by itself after it (a systemd unit)",
    )  # fmt: skip
    apply.add_argument(
        "--without-old-packages",
        action="store_true",
        help="don't keep the packages that are replaced: undo then needs an archive that has them",
    )
    apply.add_argument(
        "--boot-trial",
        action="store_true",
        help="boot what was installed once; if the driver doesn't answer, all is taken back",
    )
    _trial(apply)
    undo = add("undo", "take back what a run changed", as_json)
    undo.add_argument("run", nargs="?", metavar="RUN", help="run to take back (default: the last)")
    undo.add_argument("--list", action="store_true", help="list the runs of this host")
    undo.add_argument("--yes", action="store_true", help="don't ask before changing this host")
    undo.add_argument("--dry-run", action="store_true", help="only show what would be taken back")
    undo.add_argument("--step", action="store_true", help="ask before each step, stop at a no")
    undo.add_argument(
        "--root", type=_path, metavar="DIR", help="from a rescue system: the server mounted there"
    )
    recover = add(
        "recover", "the ways on from a broken server: back to service, mend, later", as_json, wish
    )
    recover.add_argument("--list", action="store_true", help="only list the ways (the default)")
    recover.add_argument("--way", metavar="N", help="take this way, by its number or name")
    recover.add_argument(
        "--wait", type=int, metavar="SECONDS", help="wait so long for programs on the GPUs to end"
    )
    recover.add_argument(
        "--stop", action="append", metavar="NAME", help="stop this service or container first"
    )
    recover.add_argument(
        "--kill", action="append", type=int, metavar="PID",
        help="end this process first; asks you to type its number, --yes or not",
    )  # fmt: skip
    recover.add_argument(
        "--format", choices=("text", "shell"), help="with --way: only write its commands"
    )
    recover.add_argument("--yes", action="store_true", help="don't ask before changing this host")
    recover.add_argument(
        "--boot-trial",
        metavar="RELEASE",
        help="boot this kernel once; it stays only if the driver answers, else the old one is back",
    )
    _trial(recover)
    # A record is JSON with the option or without.
    record = add("record", "write this host down (redacted), to look at it elsewhere", as_json)
    record.add_argument("-o", "--output", type=_path, metavar="FILE", help="file (default: -)")
    enrol = add(
        "enrol", "the signing key in the firmware: where it stands, its screens, its proof", as_json
    )
    what = enrol.add_mutually_exclusive_group()
    what.add_argument("--rehearse", action="store_true", help="show the screens that will come")
    what.add_argument("--again", action="store_true", help="ask the firmware for the key again")
    enrol.add_argument("--yes", action="store_true", help="don't ask before changing this host")

    hooks = add(
        "hooks", "say after each upgrade and at login when the next boot lacks its driver", as_json
    )
    hooks.add_argument("action", choices=("install", "remove", "status"), help="what to do")
    _train(
        add("train", "practise on a simulated host: TRAINING, no real server is touched", as_json)
    )
    profiles = add("profiles", "list, show or validate scenarios and data", as_json)
    actions = profiles.add_subparsers(dest="action", metavar="list|show|validate", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(
            name, help=text, description=text, parents=[common, as_json], allow_abbrev=False
        )

    action("list", "the profiles, and how much is known of what")
    shown = action("show", "a profile, GPU, driver branch or any entry, with its sources")
    shown.add_argument("name", nargs="?", metavar="NAME|KIND|guide", help="what to show")
    shown.add_argument("entry", nargs="*", metavar="ID", help="with a kind: which ones")
    validated = action("validate", "check the data, and an operator's own")
    validated.add_argument("name", nargs="?", metavar="PATH", help="a file or folder to check")
    return parser


def _plain_error(error: BringupError) -> int:
    from gpu_bringup.commands.output import say

    try:
        say(f"gpu-bringup: {error.message}")
        for line in (error.meaning, error.hint):
            if line:
                say(f"  {line}")
    except OSError:
        # Nobody reads the messages; the exit status still tells.
        faults.give_up(sys.stderr)
    return int(error.exit_code)


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit:
        faults.flush()
        raise
    faults.catch_in_threads()
    if os.environ.get("GPU_BRINGUP_STATE") and os.geteuid() == 0:
        from gpu_bringup.run.trusted import refuse_untrusted

        refuse_untrusted(_path(os.environ["GPU_BRINGUP_STATE"]))
    language = getattr(arguments, "lang", None)
    if language:
        from gpu_bringup.i18n import use_language

        use_language(language)
    if getattr(arguments, "no_color", False):
        os.environ["NO_COLOR"] = "1"
    module = importlib.import_module(f"gpu_bringup.commands.{arguments.command or 'wizard'}")
    status = int(module.run(arguments))
    faults.flush()
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (see ``errors.ExitCode``)."""
    # What a start makes (classes, the catalogue) stays to the end: collecting it again and again
    # would take a twentieth of a short command's time.
    gc.set_threshold(50_000, 20, 20)
    sys.excepthook = faults.unexpected
    faults.prepare_streams()
    try:
        return _run(argv)
    except BringupError as error:
        return _plain_error(error)
    except KeyboardInterrupt:
        faults.stopped()
        return int(ExitCode.FAILED)
    except BrokenPipeError:
        return faults.nobody_reads()
    except OSError as error:
        told = faults.no_space(error)
        if told is None:
            raise
        return _plain_error(told)


if __name__ == "__main__":
    raise SystemExit(main())
