"""Hostile records, profiles and names: believed by nobody, obeyed by no shell and no terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.errors import BringupError
from gpu_bringup.export.plans import export
from gpu_bringup.families.apt import Apt
from gpu_bringup.model.plan import Command, Plan, Step, Write
from gpu_bringup.recover.boot_trial import Wish, trial
from gpu_bringup.resources import data_folder
from gpu_bringup.run import store
from gpu_bringup.run.start import start_run
from run_tools import plan, python, shell, step
from security.conftest import Attempt, environment, gb
from unit import make_facts as make
from unit.test_boot_trial import prepared
from unit.test_recover import NEW

pytestmark = pytest.mark.process
HOSTS = Path(__file__).resolve().parents[1] / "hosts"
RECORDS = "a hostile host record"
PROFILES = "a hostile profile"
COMMANDS = "a command injected through a name"
DOWNLOADS = "a tampered package in the store, or a key that is not the pinned one"
SECRETS = "a secret in a process list"

OBEYED = re.compile(
    "\x1b(?!\\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def refused_or_plain(done: subprocess.CompletedProcess[str]) -> bool:
    """An answer in words, of the documented kind, with nothing in it that a terminal would obey."""
    text = done.stdout + done.stderr
    return (
        done.returncode in (0, 1, 2, 3, 4)
        and "Traceback" not in text
        and "unexpected fault" not in text
        and not OBEYED.search(text)
    )


def fresh() -> dict[str, Any]:
    record: dict[str, Any] = json.loads((HOSTS / "debian13-fresh.json").read_text())
    return record


ESCAPES = {
    "title": "\x1b]0;owned\x07",
    "clear": "\x1b[2J\x1b[H",
    "answer-back": "\x1b[c\x1b[5n",
    "8-bit": "\x9b2J",
    "direction": "\u202egnp.exe\u202c",
    "return": "harmless\rroot",
    "backspace": "rm\b\b  ",
    "link": "\x1b]8;;http://example.org\x07here\x1b]8;;\x07",
    "markup": "[bold red]x[/] [@click=app.quit]y[/]",
    "format": "%s%n%x {0.__class__} ${HOME}",
}


@pytest.mark.parametrize("field", ["os", "kernel", "gpu", "log"])
@pytest.mark.parametrize("name", sorted(ESCAPES))
def test_escape_sequences_in_names_of_a_record(
    tmp_path: Path, attempt: Attempt, name: str, field: str
) -> None:
    record, text = fresh(), ESCAPES[name]
    if field == "os":
        record["files"]["/etc/os-release"] = f'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="{text}"\n'
    elif field == "kernel":
        record["files"]["/proc/sys/kernel/osrelease"] = f"6.1.0-{text}\n"
        record["commands"]["uname -r"] = {"exit": 0, "output": f"6.1.0-{text}\n"}
    elif field == "gpu":
        record["nvml"] = {"error": text}
    else:
        record["commands"]["dmesg"] = {
            "exit": 0,
            "output": f"NVRM: Xid (PCI:0000:01:00): 79, {text}\n",
        }
    path = tmp_path / "host.json"
    path.write_text(json.dumps(record))
    done = gb("check", "--host", str(path), state=tmp_path / "state")
    attempt(RECORDS, refused_or_plain(done))


HOSTILE: dict[str, bytes] = {
    "deep": b'{"schema": 1, "files": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
    "deep objects": b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000,
    "number": b'{"schema": ' + b"9" * 1_000_000 + b"}",
    "float": b'{"schema": 1e999}',
    "not a number": b'{"schema": NaN}',
    "outside": b'{"schema": 1, "files": {"../../etc/shadow": "x"}}',
    "outside in a list": b'{"schema": 1, "listings": {"/lib/modules": ["../../../etc"]}}',
    "nul": b'{"schema": 1, "files": {"/a\\u0000b": "x"}}',
    "surrogate": b'{"schema": 1, "files": {"/a": "\\ud800"}}',
    "twice": b'{"schema": 1, "schema": 2, "files": {}}',
    "exit": b'{"schema": 1, "commands": {"id": {"exit": 99999999999999999999, "output": ""}}}',
    "bool": b'{"schema": true}',
    "empty": b"",
    "binary": bytes(range(256)) * 100,
}


@pytest.mark.parametrize("command", ["check", "plan", "recover"])
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_records_that_are_none(tmp_path: Path, attempt: Attempt, name: str, command: str) -> None:
    path = tmp_path / "host.json"
    path.write_bytes(HOSTILE[name])
    done = gb(command, "--host", str(path), state=tmp_path / "state")
    attempt(RECORDS, refused_or_plain(done) and done.returncode != 0)


def test_links_of_a_record_lead_nowhere(tmp_path: Path, attempt: Attempt) -> None:
    """What a record says of its links is looked up in the record, never on this machine."""
    secret = tmp_path / "secret"
    secret.write_text("ID=the-secret-of-this-machine\n")
    for target in (str(secret), f"../../../..{secret}", "/proc/self/environ"):
        record = fresh()
        record["files"].pop("/etc/os-release", None)
        record["links"]["/etc/os-release"] = target
        path = tmp_path / "host.json"
        path.write_text(json.dumps(record))
        done = gb("check", "--host", str(path), "--json", state=tmp_path / "state")
        attempt(RECORDS, refused_or_plain(done) and "the-secret-of-this" not in done.stdout)


TOML: dict[str, str] = {
    "escape": '[[scenario]]\nid = "\\u001b[2Jx"\ntitle = "\\u001b]0;x\\u0007"\nsources = []\n',
    "deep": "x = " + "[" * 100_000 + "]" * 100_000,
    "number": "x = " + "9" * 10_000,
    "path": '[[scenario]]\nid = "../../../tmp/x"\ntitle = "x"\nsources = ["x"]\n',
    "key": '"__class__" = 1\n"__proto__" = 2\n',
    "command": '[[repository]]\nid = "$(touch X)"\nname = "x"\nuri = "file:///`touch X`"\nsuite = "/"\n'
    'key_uri = "file:///x;touch X"\nfingerprints = ["; touch X"]\nsources = []\n',
    "http": '[[repository]]\nid = "nvidia-cuda-debian13"\nname = "x"\nuri = "http://archive.example.org/"\n'
    'suite = "/"\nkey_uri = "http://archive.example.org/key"\nfingerprints = ["00"]\nsources = []\n',
    "newline": '[[repository]]\nid = "x"\nname = "x"\nuri = "file:///x\\nTrusted: yes"\nsuite = "/"\n'
    'key_uri = "file:///k"\nfingerprints = []\nsources = []\n',
    "date": "x = 9999-99-99\n",
    "nul": 'x = "a\\u0000b"\n',
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(TOML))
def test_profiles(tmp_path: Path, attempt: Attempt, name: str) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "x.toml").write_text(TOML[name])
    record = str(HOSTS / "debian13-fresh.json")
    calls = (
        ("profiles", "validate", str(folder)),
        ("plan", "--host", record, "--profiles", str(folder)),
    )
    for words in calls:
        done = gb(*words, state=tmp_path / "state")
        attempt(PROFILES, refused_or_plain(done) and not list(tmp_path.rglob("X")))


# --- commands

NAMES = (
    "$(touch X)", "`touch X`", "a;touch X", "a\ntouch X", "a&&touch X", "a|touch X", "a>X", "-oX=y",
    "--help", "'; touch X; '", '"; touch X; "', "a b", "$IFS", "*", "~root", "${X:-$(touch X)}", "a\\",
    "$(touch\tX)", "\x1b[2J", "../../../etc",
)  # fmt: skip


def hostile_plan(name: str, folder: Path) -> Plan:
    """A plan with the name in each place that a plan has for one."""
    return Plan(
        {},
        (
            Step(
                id=name,
                rung="packages",
                title=name,
                why=name,
                commands=(Command(("true", name), root=False, environment=(("NAME", name),)),),
                writes=(Write(f"{folder}/file", name),),
                undo=(
                    Command(("true", name), root=False),
                    Command(("true", "-k", name), root=False),
                ),
                packages=(name,),
            ),
        ),
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_in_every_place_of_a_plan(tmp_path: Path, attempt: Attempt, name: str) -> None:
    """Run by the engine, exported as a script and run, taken back, and taken back by the plain script."""
    here = tmp_path / "here"
    here.mkdir()
    chosen = hostile_plan(name, here)
    follower = start_run(chosen, label=name, state=tmp_path / "state")
    ended = follower.wait(30)
    assert ended is not None
    attempt(COMMANDS, ended["state"] == "done" and not found(tmp_path))
    script = follower.folder / store.SCRIPT
    for words in (["--show"], ["--yes"]):
        done = subprocess.run(
            ["sh", str(script), *words], cwd=here, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 4), done.stderr
        attempt(COMMANDS, not found(tmp_path))
    exported = here / "plan.sh"
    exported.write_text(export(chosen, "shell"))
    for words in (["--list"], ["--dry-run"], []):
        subprocess.run(
            ["sh", str(exported), *words], cwd=here, capture_output=True, check=False, timeout=60,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        attempt(COMMANDS, not found(tmp_path))


def found(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name == "X"]


@pytest.mark.parametrize("name", NAMES)
def test_names_given_to_the_scripts(tmp_path: Path, attempt: Attempt, name: str) -> None:
    """Package names, keys, folders: each script of ours called with them, as root would."""
    scripts = Path(str(data_folder("scripts")))
    kept = tmp_path / "undo"
    calls = (
        ("undo-store.sh", "estimate", str(tmp_path / "state"), "apt", name),
        ("undo-store.sh", "begin", str(kept), name),
        ("fetch-key.sh", f"file://{tmp_path}/{name}", "0" * 40, str(tmp_path / "key")),
        ("fetch-key.sh", f"file://{tmp_path}/key", name, str(tmp_path / "key")),
        ("install-matching.sh", "apt", name, "x="),
        ("move-aside.sh", "files", f"{tmp_path}/{name}"),
        ("boot-trial.sh", name),
    )
    for script, *words in calls:
        subprocess.run(
            ["sh", str(scripts / script), *words], cwd=tmp_path, capture_output=True, check=False,
            timeout=60, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "GPU_BRINGUP_STATE": str(tmp_path / "state"),
                 "GPU_BRINGUP_ROOT": str(tmp_path)},
        )  # fmt: skip
        attempt(COMMANDS, not found(tmp_path) and not (tmp_path / "key").exists())


@pytest.mark.parametrize("name", NAMES)
def test_names_of_kernels_in_a_boot_on_trial(tmp_path: Path, attempt: Attempt, name: str) -> None:
    """The settings that a root shell reads at the next boot."""
    from dataclasses import replace

    ctx = prepared()
    kernels = tuple(
        replace(kernel, release=name) if kernel.release == NEW else kernel
        for kernel in ctx.facts.kernels.installed
    )
    entries = tuple(
        replace(entry, release=name, id=name, title=name) if entry.release == NEW else entry
        for entry in ctx.facts.kernels.boot_entries
    )
    facts = replace(
        ctx.facts, kernels=replace(ctx.facts.kernels, installed=kernels, boot_entries=entries)
    )
    found_trial = trial(replace(ctx, facts=facts), name, Wish())
    for item in found_trial.steps[0].writes:
        if not item.path.endswith(("/settings", "/permanent", "/back")):
            continue
        script = tmp_path / "script"
        script.write_text(item.content)
        # Programs of these names do nothing here; only what a shell makes of the words counts.
        bin_ = tmp_path / "bin"
        bin_.mkdir(exist_ok=True)
        for program in ("rm", "update-grub", "grub-editenv", "grub-set-default"):
            (bin_ / program).write_text("#!/bin/sh\nexit 0\n")
            (bin_ / program).chmod(0o755)
        subprocess.run(
            ["sh", str(script)], cwd=tmp_path, check=False, env={"PATH": f"{bin_}:/usr/bin:/bin"},
            capture_output=True,
        )  # fmt: skip
        attempt(COMMANDS, not found(tmp_path))
    assert make.KERNEL


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_record_whose_plan_is_run(tmp_path: Path, attempt: Attempt, name: str) -> None:
    """Kernel release, host name and mount point of a hostile record, through to the exported script."""
    record = fresh()
    record["files"]["/proc/sys/kernel/osrelease"] = f"6.12.1-{name}\n"
    record["commands"]["uname -r"] = {"exit": 0, "output": f"6.12.1-{name}\n"}
    record["files"]["/proc/mounts"] = f"/dev/sda1 /{name} ext4 rw 0 0\n"
    record["files"]["/etc/hostname"] = f"{name}\n"
    record["listings"]["/lib/modules"] = [f"6.12.1-{name.replace('/', '_')}"]
    path = tmp_path / "host.json"
    path.write_text(json.dumps(record))
    done = gb("plan", "--host", str(path), "--format", "shell", state=tmp_path / "state")
    text = done.stdout
    script = tmp_path / "plan.sh"
    script.write_text(text or "exit 0\n")
    # Only read: --list and --dry-run run every line of it that is no command of a step.
    for words in (["--list"], ["--dry-run"]):
        subprocess.run(
            ["sh", str(script), *words], cwd=tmp_path, capture_output=True, check=False, timeout=60
        )
        attempt(COMMANDS, not found(tmp_path))


# --- downloads


@pytest.mark.parametrize("how", ["changed", "cut", "replaced", "link", "gone"])
def test_a_kept_package_that_was_tampered_with(tmp_path: Path, attempt: Attempt, how: str) -> None:
    """The undo script looks at the checksum before dpkg sees the file, and changes nothing then."""
    run = tmp_path / "run"
    (run / "undo/store").mkdir(parents=True)
    real = subprocess.run(
        ["dpkg-query", "-W", "-f", "${binary:Package}\t${Version}\ti", "dpkg"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    name, version, _ = real.split("\t")
    before = subprocess.run(
        ["dpkg-query", "-W", "-f", "${binary:Package}\t${Version}\t${db:Status-Abbrev}\n"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    lines = sorted(
        f"{a}\t{b}\t{'c' if s[1] == 'c' else 'i'}"
        for a, b, s in (line.split("\t") for line in before)
        if s[1] != "n"
    )
    older = [line.replace(f"{name}\t{version}\t", f"{name}\t0.1\t") for line in lines]
    (run / "undo/manager").write_text("apt\n")
    for which, content in (("before", older), ("after", lines)):
        (run / f"undo/{which}.packages").write_text("".join(f"{line}\n" for line in content))
        for kind in ("auto", "held", "boot"):
            (run / f"undo/{which}.{kind}").write_text("")
    package = run / "undo/store/dpkg_0.1_amd64.deb"
    package.write_bytes(b"!<arch>\nnot what it was")
    (run / "undo/store/index").write_text(f"{name}\t0.1\t{package.name}\n")
    subprocess.run(
        ["sh", "-c", f"sha256sum {package.name} >SHA256SUMS"], cwd=package.parent, check=True
    )
    if how == "changed":
        package.write_bytes(package.read_bytes() + b"x")
    elif how == "cut":
        package.write_bytes(package.read_bytes()[:-1])
    elif how == "replaced":
        package.write_bytes(b"another")
    elif how == "link":
        package.unlink()
        package.symlink_to("/etc/hostname")
    else:
        package.unlink()
    script = run / store.SCRIPT
    script.write_text(store.undo_script(plan(step("a", shell("true")))))
    (run / "journal.jsonl").write_text("")
    done = subprocess.run(
        ["sh", str(script), "--show", "--only", "packages"], capture_output=True, text=True, check=False
    )  # fmt: skip
    attempt(DOWNLOADS, done.returncode == 1 and "No package was changed" in done.stderr)
    now = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "dpkg"], capture_output=True, text=True, check=True
    )
    attempt(DOWNLOADS, now.stdout == version)


@pytest.mark.parametrize("how", ["stranger", "both", "garbage", "empty", "private"])
def test_a_key_that_is_not_the_pinned_one(tmp_path: Path, attempt: Attempt, how: str) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    variables = {"PATH": os.environ["PATH"], "GNUPGHOME": str(home), "HOME": str(tmp_path)}

    def gpg(*words: str) -> bytes:
        return subprocess.run(
            ["gpg", "--batch", "--quiet", *words], env=variables, capture_output=True, check=True
        ).stdout

    try:
        for who in ("vendor", "stranger"):
            name = f"{who} <{who}@example.org>"
            gpg("--passphrase", "", "--quick-gen-key", name, "ed25519", "sign", "never")
        listing = gpg("--with-colons", "--list-keys", "vendor").decode()
        pinned = re.findall(r"^fpr:+([0-9A-F]{40}):", listing, re.MULTILINE)[0]
        contents = {
            "stranger": lambda: gpg("--export", "stranger"),
            "both": lambda: gpg("--export"),
            "garbage": lambda: os.urandom(2000),
            "empty": lambda: b"",
            "private": lambda: gpg("--export", "vendor")[:-20],
        }
        (tmp_path / "key.pub").write_bytes(contents[how]())
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=variables, check=False)
    script = str(data_folder("scripts").joinpath("fetch-key.sh"))
    output = tmp_path / "trusted.gpg"
    done = subprocess.run(
        ["sh", script, f"file://{tmp_path}/key.pub", pinned, str(output)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, capture_output=True, check=False,
    )  # fmt: skip
    attempt(DOWNLOADS, done.returncode == 1 and not output.exists())


# --- process lists

PASSWORD = "geheim-4711-proxy"
ANSWER = "einmal-0815-mok"
SPY = """
import os, sys, time
seen = set()
until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until and not os.path.exists(sys.argv[2]):
    for pid in os.listdir('/proc'):
        if pid.isdigit():
            try:
                text = open(f'/proc/{pid}/cmdline', 'rb').read()
            except OSError:
                continue
            if text not in seen:
                seen.add(text)
                os.write(1, text.replace(b'\\0', b' ').replace(b'\\n', b' ') + b'\\n')
"""


def test_no_secret_in_any_process_list(place: Path, attempt: Attempt) -> None:
    """Every command line of this machine is read, as fast as can be, while a run with secrets goes on."""
    stop = place / "stop"
    seen: list[str] = []
    spy = subprocess.Popen(
        [shutil.which("python3", path="/usr/bin") or sys.executable, "-I", "-c", SPY, "60", str(stop)],
        stdout=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip

    def read() -> None:
        assert spy.stdout is not None
        seen.extend(spy.stdout)

    reader = threading.Thread(target=read)
    reader.start()
    ask = python(
        "import getpass, time, os; p = getpass.getpass('input password: '); time.sleep(0.5); "
        "print(len(p), len(os.environ.get('http_proxy', '')))",
        interactive=True,
    )
    state = place / "state"
    chosen = plan(step("mok", ask), step("net", shell('sleep 0.5; test -n "$https_proxy"')))
    proxy = f"http://operator:{PASSWORD}@proxy.example.org:3128/"
    code = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from gpu_bringup.model.plan import Plan\n"
        "from gpu_bringup.run.start import start_run\n"
        "told = json.load(sys.stdin)\n"
        "chosen = Plan.from_json(told['plan'])\n"
        "follower = start_run(chosen, label='x', state=Path(sys.argv[1]))\n"
        "import time\n"
        "answered = False\n"
        "while True:\n"
        "    for event in follower.poll():\n"
        "        if event['event'] == 'prompt' and not answered:\n"
        "            answered = True; follower.answer(told['answer'])\n"
        "        if event['event'] == 'run-ended':\n"
        "            print(event['state']); raise SystemExit\n"
        "    time.sleep(0.02)\n"
    )
    told = {"plan": chosen.to_json(), "answer": ANSWER}
    environment_ = environment(state, http_proxy=proxy, https_proxy=proxy)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(state)], input=json.dumps(told),
            env=environment_, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        stop.touch()
        reader.join(70)
        spy.wait(10)
    assert done.stdout.strip() == "done", done.stderr
    assert any("gpu_bringup.run.worker" in line for line in seen), "the spy saw the worker"
    for line in seen:
        attempt(SECRETS, PASSWORD not in line and ANSWER not in line)
    written = "".join(
        path.read_text(errors="replace") for path in state.rglob("*") if path.is_file()
    )
    attempt(SECRETS, ANSWER not in written and PASSWORD not in written)


def test_no_proxy_password_in_what_starts_the_worker(tmp_path: Path, attempt: Attempt) -> None:
    """A unit's properties and sudo's arguments are everybody's to read."""
    from gpu_bringup.hosts.detached import python_environment, unit_argv
    from gpu_bringup.run import launch

    os.environ["http_proxy"] = f"http://x:{PASSWORD}@proxy.example.org/"
    try:
        text = launch.request_text(plan(step("a", shell("true"))), label="x")
        assert PASSWORD in text, "it travels in the request, which only its owner reads"
        argv = unit_argv(("python",), python_environment(), tmp_path / "log", "unit")
        attempt(SECRETS, PASSWORD not in " ".join(argv))
        launch.hand_over(tmp_path, {"http_proxy": os.environ["http_proxy"]})
        attempt(SECRETS, (tmp_path / "proxies.json").stat().st_mode & 0o077 == 0)
        launch.take_over(tmp_path)
        attempt(SECRETS, not (tmp_path / "proxies.json").exists())
    finally:
        del os.environ["http_proxy"]


def test_the_packages_of_a_hostile_name_are_not_options(attempt: Attempt) -> None:
    """A profile's package that begins with a dash is refused where profiles are read, or stays a word."""
    for name in ("-oDPkg::Pre-Invoke::=touch X", "--allow-unauthenticated"):
        names = store.package_names(Plan({}, (step("a", Apt().install((name,))),)))
        attempt(COMMANDS, name not in names)
    with pytest.raises(BringupError):
        from gpu_bringup.run.start import find_run

        find_run("../../../etc")
