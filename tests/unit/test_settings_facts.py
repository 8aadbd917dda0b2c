"""Where variables are set on a host: parsers on texts as people write them, and what never leaves."""

from __future__ import annotations

import pytest

from gpu_bringup.facts.settings import (
    assignments,
    container_assignments,
    observe,
    unit_assignments,
)
from unit.fakes import FakeHost

HEAP = "NV_GPU_MAX_HEAP_SIZE"
WANTED = {HEAP, "NV_GPU_MAX_RANGES"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (f"{HEAP}=100", "100"),
        (f'{HEAP}="100"', "100"),
        (f"export {HEAP}='100'", "100"),
        (f"   {HEAP} = 100   # all of it", "100"),
        (f"{HEAP}=", ""),
        (f"  - {HEAP}=100", "100"),
        (f"  {HEAP}: 100", "100"),
    ],
)
def test_assignments_as_people_write_them(line: str, value: str) -> None:
    assert assignments(f"# first\n{line}\n", WANTED) == ((HEAP, value, 2),)


@pytest.mark.parametrize(
    "line",
    [
        f"#{HEAP}=1",
        f"MY_{HEAP}=1",
        f"{HEAP}_OLD=1",
        f"echo {HEAP}=1",
        f"if [ ${HEAP} = 1 ]; then",
        "",
    ],
)
def test_what_is_no_assignment(line: str) -> None:
    assert assignments(line, WANTED) == ()


def test_units_with_several_variables_on_a_line_and_lines_that_go_on() -> None:
    text = f"""\
[Service]
Environment=A=1 "{HEAP}=100" 'B=x y'
Environment=C=3 \\
    NV_GPU_MAX_RANGES=1024
EnvironmentFile=-/etc/vllm/env
EnvironmentFile=%h/relative
# Environment={HEAP}=200
ExecStart=/usr/bin/true Environment={HEAP}=300
"""
    found, files = unit_assignments(text, WANTED)
    assert found == ((HEAP, "100", 2), ("NV_GPU_MAX_RANGES", "1024", 3))
    assert files == ("/etc/vllm/env",)


def test_a_unit_whose_quotes_do_not_close() -> None:
    assert unit_assignments(f'Environment="A=1 {HEAP}=2\n', WANTED)[0] == ((HEAP, "2", 1),)


def test_containers_conf() -> None:
    text = f'[containers]\nenv = [\n  "PATH=/bin",\n  "{HEAP}=100",\n]\n'
    assert container_assignments(text, WANTED) == ((HEAP, "100"),)
    assert container_assignments(text, {"OTHER"}) == ()


def test_every_place_is_looked_at() -> None:
    host = FakeHost(
        files={
            "/etc/environment": f"PATH=/bin\n{HEAP}=1\n",
            "/etc/environment.d/90-gpu.conf": f"{HEAP}=2\n",
            "/etc/profile.d/gpu.sh": f"export {HEAP}=3\n",
            "/etc/profile.d/gpu.csh": f"setenv {HEAP} 9\n",
            "/etc/systemd/system/vllm.service": f"[Service]\nEnvironment={HEAP}=4\n"
            "EnvironmentFile=/opt/vllm/env\n",
            "/opt/vllm/env": f"API_KEY=secret\n{HEAP}=5\n",
            "/etc/systemd/system/docker.service.d/gpu.conf": f"[Service]\nEnvironment={HEAP}=6\n",
            "/etc/systemd/system.conf.d/gpu.conf": f"[Manager]\nDefaultEnvironment={HEAP}=7\n",
            "/etc/containers/containers.conf": f'env = ["{HEAP}=8"]\n',
        },
        variables={HEAP: "0"},
    )
    found = observe(host, WANTED)
    assert {item.value: item.place for item in found} == {
        "0": "this process's environment",
        "1": "/etc/environment:2",
        "2": "/etc/environment.d/90-gpu.conf:1",
        "3": "/etc/profile.d/gpu.sh:1",
        "4": "/etc/systemd/system/vllm.service:2",
        "5": "/opt/vllm/env:2",
        "6": "/etc/systemd/system/docker.service.d/gpu.conf:2",
        "7": "/etc/systemd/system.conf.d/gpu.conf:2",
        "8": "/etc/containers/containers.conf",
    }
    assert "secret" not in repr(found)


def test_nothing_is_asked_of_commands_and_nothing_readable_is_no_fault() -> None:
    host = FakeHost(complete=False)
    assert observe(host, WANTED) == ()
    assert host.asked == []


def test_a_host_with_very_many_units_is_looked_at_in_part() -> None:
    files = {
        f"/etc/systemd/system/s{n:04}.service": f"Environment={HEAP}={n}\n" for n in range(500)
    }
    assert len(observe(FakeHost(files=files), WANTED)) == 200
