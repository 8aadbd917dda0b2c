"""Exported plans: readable, exact, and the shell script really runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu_bringup.errors import InputError, RefusedError
from gpu_bringup.export import to_ansible, to_json, to_markdown, to_shell, to_text
from gpu_bringup.export.plans import export
from gpu_bringup.export.words import duration, shell_line, size
from gpu_bringup.model.plan import Command, MadeFor, Plan, Step, Write

TARGET = {
    "kernel": {"releases": ["6.12.107+deb13-amd64"]},
    "driver": {"branch": "550", "version": "550.163.01", "flavour": "open"},
}
NASTY = "it's $HOME `id` \"x\" \\ {{ lookup('pipe', 'id') }} é \u2028 \t end"
EOF_TRAP = "first\nEOF\n'\"$(id)`id`\\\n\n  last line\n"


def install_step(**more: Any) -> Step:
    step = Step(
        id="install",
        rung="module",
        title="Install the driver",
        why="The modules are built for each kernel.\nThen they are signed.",
        commands=(
            Command(
                ("apt-get", "install", "nvidia-open-kernel-dkms=550.163.01-4"),
                environment=(("DEBIAN_FRONTEND", "noninteractive"),),
                package_manager=True,
            ),
        ),
        undo=(Command(("apt-get", "purge", "nvidia-open-kernel-dkms")),),
        estimate_seconds=240,
        download_bytes=69_700_000,
        risk="The build can fail.",
        expect="A progress bar, then the names of modules.",
    )
    return replace(step, **more)


def plan(*steps: Step, **more: Any) -> Plan:
    return Plan(target=TARGET, steps=steps, **more)


EMPTY = plan()
BUSY = plan(
    install_step(),
    Step(
        id="write",
        rung="nouveau",
        title="Keep `nouveau` off *this* host",
        why="# it would win",
        writes=(Write("/etc/modprobe.d/x.conf", "blacklist nouveau\n", 0o600),),
        commands=(Command(("id", NASTY), root=False, ok_statuses=(0, 3)),),
    ),
    Step(
        id="enrol",
        rung="signature",
        title="Enrol the key",
        why="Secure Boot is on.",
        commands=(Command(("mokutil", "--import", "/var/lib/dkms/mok.pub"), interactive=True),),
        reboot=True,
        stops_workloads=True,
    ),
    install_step(id="last", title="After the reboot"),
    blocked=("The firmware asks for a password.",),
    first_boot=("loaded", "nvml"),
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (89, "89 s"), (240, "4 min"), (3600, "1 h"), (4200, "1 h 10 min")],
)
def test_durations(seconds: int, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (69_700_000, "70 MB"), (1_290_000_000, "1.3 GB"), (-2_000, "-2.0 kB")],
)
def test_sizes(count: int, words: str) -> None:
    assert size(count) == words


def test_text_tells_what_why_cost_and_way_back() -> None:
    text = to_text(BUSY)
    assert "Target: NVIDIA driver 550.163.01 open on kernel 6.12.107+deb13-amd64" in text
    assert "4 steps, about 8 min, 1 reboot." in text
    assert "1. Install the driver  [module]" in text
    assert "Cost: about 4 min, 70 MB to download" in text
    assert (
        "   # env DEBIAN_FRONTEND=noninteractive apt-get install nvidia-open-kernel-dkms=550.163.01-4\n"
        in text
    )
    assert "To take it back:\n     # apt-get purge nvidia-open-kernel-dkms" in text
    assert "write /etc/modprobe.d/x.conf (mode 0600, 1 line)" in text
    assert "The firmware asks for a password." in text
    assert "loaded, nvml" in text


@pytest.mark.parametrize("form", ["text", "markdown", "shell", "ansible"])
def test_an_empty_plan_says_that_nothing_is_to_do(form: str) -> None:
    text = export(EMPTY, form)
    assert "Nothing to do" in text
    assert text.endswith("\n")


def test_json_is_the_plan() -> None:
    assert Plan.from_json(json.loads(to_json(BUSY))) == BUSY
    assert export(BUSY, "json") == to_json(BUSY)


def test_an_unknown_form_is_bad_input() -> None:
    with pytest.raises(InputError, match="no form") as raised:
        export(EMPTY, "pdf")
    assert "markdown" in raised.value.hint


def test_markdown_takes_no_character_for_markup() -> None:
    text = to_markdown(BUSY)
    assert r"## 2. Keep \`nouveau\` off \*this\* host" in text
    assert "\n\\# it would win\n" in text
    assert "```sh\nsudo env DEBIAN_FRONTEND=noninteractive apt-get" in text
    fence = plan(install_step(writes=(Write("/x", "```\nrm -rf /\n```\n"),)))
    assert "````\n```\nrm -rf /\n```\n````" in to_markdown(fence)


# --- the shell script ------------------------------------------------------------------------------


def run(script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "plan with a space.sh"
    path.write_text(script, encoding="utf-8")
    return subprocess.run(
        ["sh", str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "GPU_BRINGUP_BACKUP": str(folder / "backup")},
    )


@pytest.fixture
def sudo_or_root() -> None:
    assert os.geteuid() == 0 or shutil.which("sudo"), "these tests need root or sudo"


def test_the_script_quotes_everything() -> None:
    script = to_shell(BUSY)
    assert "set -eu" in script
    assert "accept '0 3' run id 'it'\"'\"'s $HOME" in script
    assert shell_line(BUSY.steps[0].commands[0]) in script
    for line in script.splitlines():
        assert "\r" not in line


@pytest.mark.process
@pytest.mark.parametrize("name", ["busy", "empty", "eof"])
def test_shellcheck_and_sh_find_nothing(name: str, tmp_path: Path) -> None:
    assert shutil.which("shellcheck"), "this test needs shellcheck"
    chosen = {
        "busy": BUSY,
        "empty": EMPTY,
        "eof": plan(
            install_step(writes=(Write("/x", EOF_TRAP), Write("/y", "no end"), Write("/z", "")))
        ),
    }[name]
    path = tmp_path / "plan.sh"
    path.write_text(to_shell(chosen), encoding="utf-8")
    for argv in (["sh", "-n"], ["shellcheck", "-s", "sh"]):
        done = subprocess.run([*argv, str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.process
def test_the_script_writes_files_as_they_are_and_keeps_what_was_there(
    tmp_path: Path, sudo_or_root: None
) -> None:
    old, new, bare = tmp_path / "old", tmp_path / "a b" / "new", tmp_path / "bare"
    old.write_text("the old text\n")
    chosen = plan(
        install_step(
            commands=(Command(("touch", f"{tmp_path}/{NASTY.replace('/', '')}"), root=False),),
            writes=(
                Write(str(old), EOF_TRAP, 0o600),
                Write(str(new), NASTY + "\n", 0o755),
                Write(str(bare), "no line end"),
                Write(str(tmp_path / "empty"), ""),
            ),
        )
    )
    done = run(to_shell(chosen), tmp_path)
    assert done.returncode == 0, done.stderr
    assert old.read_text() == EOF_TRAP
    assert old.stat().st_mode & 0o777 == 0o600
    assert new.read_text() == NASTY + "\n"
    assert new.stat().st_mode & 0o777 == 0o755
    assert bare.read_text() == "no line end"
    assert (tmp_path / "empty").read_text() == ""
    assert (tmp_path / NASTY.replace("/", "")).exists()
    assert (tmp_path / "backup" / str(old).lstrip("/")).read_text() == "the old text\n"
    assert not list(tmp_path.rglob("*.gpu-bringup-new"))
    again = run(to_shell(chosen), tmp_path)
    assert again.stdout.count("unchanged: ") == 4
    assert "kept: " not in again.stdout


@pytest.mark.process
def test_the_script_stops_at_a_failure_and_at_a_reboot(tmp_path: Path) -> None:
    def step(name: str, *argv: str, **more: Any) -> Step:
        return Step(name, "r", name, "w", (Command(argv, root=False, **more),))

    marks = [step(f"s{n}", "touch", str(tmp_path / f"s{n}")) for n in (1, 2, 3)]
    broken = run(to_shell(plan(marks[0], step("bad", "sh", "-c", "exit 7"), marks[1])), tmp_path)
    assert broken.returncode == 7
    assert (tmp_path / "s1").exists()
    assert not (tmp_path / "s2").exists()

    fine = plan(step("odd", "sh", "-c", "exit 7", ok_statuses=(0, 7)), marks[1])
    assert run(to_shell(fine), tmp_path).returncode == 0
    assert (tmp_path / "s2").exists()
    strict = plan(step("odd", "sh", "-c", "exit 8", ok_statuses=(0, 7)))
    assert run(to_shell(strict), tmp_path).returncode == 8

    (tmp_path / "s1").unlink()
    reboot = to_shell(plan(replace(marks[0], reboot=True), marks[2]))
    stopped = run(reboot, tmp_path)
    assert stopped.returncode == 3
    assert "go on with: sh " in stopped.stdout
    assert not (tmp_path / "s3").exists()
    assert run(reboot, tmp_path, "2").returncode == 0
    assert (tmp_path / "s3").exists()
    assert run(reboot, tmp_path, "x").returncode == 2


def os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name: value.strip("\"'") for name, _, value in pairs}


def this_host(**more: Any) -> MadeFor:
    """The host that the tests run on, whose running kernel may have no module folder."""
    here = os_release()
    host = MadeFor(here["ID"], here.get("VERSION_ID", ""), "this host", os.uname().machine)
    return replace(host, running=False, **more)


@pytest.mark.process
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"os_id": "plan9"}, "not plan9"),
        ({"os_version": "0.1"}, "not 0.1"),
        ({"machine": "pdp11"}, "not pdp11"),
        ({"kernels": ("0.0.1-none",)}, "kernel 0.0.1-none is not installed here"),
    ],
)
def test_the_script_refuses_another_host(wrong: dict[str, Any], words: str, tmp_path: Path) -> None:
    mark = tmp_path / "done"
    chosen = plan(
        Step("touch", "r", "Touch", "w", (Command(("touch", str(mark)), root=False),)),
        made_for=replace(this_host(), **wrong),
    )
    for arguments in ((), ("--check",), ("--dry-run",), ("--from", "touch")):
        done = run(to_shell(chosen), tmp_path, *arguments)
        assert done.returncode == 4, done.stdout
        assert words in done.stderr
        assert "Nothing was changed" in done.stderr
    assert not mark.exists()
    assert run(to_shell(chosen), tmp_path, "--list").returncode == 0


@pytest.mark.process
def test_the_script_runs_on_its_host_again_from_a_step_and_dry(tmp_path: Path) -> None:
    steps = tuple(
        Step(
            name, "r", f"Make {name}", "w", (Command(("touch", str(tmp_path / name)), root=False),)
        )
        for name in ("one", "two")
    )
    script = to_shell(plan(*steps, made_for=this_host()))
    assert "the plan was made for" in run(script, tmp_path, "--check").stdout
    listed = run(script, tmp_path, "--list").stdout
    assert [line.split()[:2] for line in listed.splitlines()] == [["1", "one"], ["2", "two"]]
    dry = run(script, tmp_path, "--dry-run")
    assert dry.returncode == 0
    assert f"would run: 'touch' '{tmp_path}/one'" in dry.stdout
    assert not (tmp_path / "one").exists()
    assert run(script, tmp_path, "--from", "two").returncode == 0
    assert not (tmp_path / "one").exists()
    assert (tmp_path / "two").exists()
    assert run(script, tmp_path, "--from=1").returncode == 0
    assert run(script, tmp_path).returncode == 0
    for wrong in (("--from",), ("--from", "three"), ("--from", "0"), ("--force",)):
        assert run(script, tmp_path, *wrong).returncode == 2


@pytest.mark.process
def test_the_script_names_the_step_it_stopped_at(tmp_path: Path) -> None:
    bad = Step("bad", "r", "Break", "w", (Command(("sh", "-c", "exit 7"), root=False),))
    done = run(to_shell(plan(bad, made_for=this_host())), tmp_path)
    assert done.returncode == 7
    assert "Stopped at step 1, bad (exit status 7)" in done.stderr
    assert "--from 1" in done.stderr


def test_a_plan_remembers_its_host() -> None:
    host = MadeFor("rhel", "9", "RHEL 9", "", ("5.14.0",), running=False)
    assert Plan.from_json(plan(made_for=host).to_json()).made_for == host
    assert "made_for" not in plan().to_json()


def test_what_all_calls_have_in_common_is_said_once() -> None:
    command = install_step().commands[0]
    calls = tuple(
        replace(
            command,
            argv=("apt-get", "-y", "-o", "A=1", "-o", "B=2", "install", name),
        )
        for name in ("a", "b", "c")
    )
    text = to_text(plan(install_step(commands=calls, undo=())))
    assert text.count("DEBIAN_FRONTEND") == 1
    assert "   # apt-get install a\n" in text
    script = to_shell(plan(install_step(commands=calls, undo=())))
    assert script.count("DEBIAN_FRONTEND") == 1


# --- the playbook ----------------------------------------------------------------------------------


class Loader(yaml.SafeLoader):
    """Reads !unsafe strings as Ansible does."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def test_the_playbook_says_the_same_as_the_plan() -> None:
    (play,) = yaml.load(to_ansible(BUSY), Loader)
    assert play["hosts"] == "all"
    kinds = [next(k for k in task if k.startswith("ansible.")) for task in play["tasks"]]
    assert [kind.rpartition(".")[2] for kind in kinds] == [
        "command", "file", "copy", "command", "pause", "reboot", "command",
    ]  # fmt: skip
    first, folder, copy, odd, pause, reboot = play["tasks"][:6]
    assert first["ansible.builtin.command"]["argv"] == list(BUSY.steps[0].commands[0].argv)
    assert first["environment"] == {"DEBIAN_FRONTEND": "noninteractive"}
    assert first["become"] is True
    assert folder["ansible.builtin.file"]["path"] == "/etc/modprobe.d"
    assert copy["ansible.builtin.copy"] == {
        "dest": "/etc/modprobe.d/x.conf",
        "content": "blacklist nouveau\n",
        "mode": "0600",
        "backup": True,
    }
    assert odd["ansible.builtin.command"]["argv"] == ["id", NASTY]
    assert odd["become"] is False
    assert odd["failed_when"] == "gpu_bringup_result.rc not in [0, 3]"
    assert "mokutil --import" in pause["ansible.builtin.pause"]["prompt"]
    assert reboot["name"] == "3. Enrol the key: reboot"


@pytest.mark.parametrize(
    "content",
    [
        "yes",
        "0644",
        "a: b",
        "- x",
        "\x00\x01\x7f\x85\u2028\u2029\ufeff",
        "🙂 é",
        "'\"\\",
        "\r\n\t",
        "",
        "{% x %}",
    ],
)
def test_every_string_comes_back_as_it_was(content: str) -> None:
    chosen = plan(install_step(writes=(Write("/etc/x", content),)))
    (play,) = yaml.load(to_ansible(chosen), Loader)
    assert play["tasks"][1]["ansible.builtin.copy"]["content"] == content


def test_what_jinja_would_expand_is_marked() -> None:
    chosen = plan(install_step(writes=(Write("/etc/x", "{{ secret }}"),)))
    assert 'content: !unsafe "{{ secret }}"' in to_ansible(chosen)


def test_an_empty_playbook_has_no_task() -> None:
    assert yaml.load(to_ansible(EMPTY), Loader)[0]["tasks"] == []


def test_a_title_cannot_break_out_of_a_comment() -> None:
    hostile = plan(install_step(title="x\nrm -rf /tmp/never", why="y\r\nreboot", expect="z\x1b[2J"))
    for text in (to_shell(hostile), to_ansible(hostile)):
        assert not any(line.startswith(("rm ", "reboot")) for line in text.splitlines())
        assert "\x1b" not in text


@pytest.mark.parametrize("form", ["json", "shell", "markdown", "ansible", "text"])
def test_no_export_carries_a_password(form: str) -> None:
    path = "/etc/apt/sources.list.d/debian.sources"
    text = "URIs: https://bob:S3cr3tPw@mirror.example.org/debian\n"
    private = plan(install_step(writes=(Write(path, text),)))
    if form == "text":
        assert "S3cr3tPw" not in export(private, form)
        return
    with pytest.raises(RefusedError, match=f"{path} holds a password") as caught:
        export(private, form)
    assert "S3cr3tPw" not in str(caught.value)
    harmless = Write(path, "URIs: https://mirror.example.org/debian\n# bob@example.org\n")
    assert path in export(plan(install_step(writes=(harmless,))), form)
