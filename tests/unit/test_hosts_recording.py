"""What enters a record, and what never does: secrets of each kind are planted and looked for."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.cli import main
from gpu_bringup.errors import HostError
from gpu_bringup.hosts.identity import Secrets
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.hosts.recording import RecordingHost, record_text, write_record
from gpu_bringup.hosts.redaction import Redactor

RECORDS = Path(__file__).resolve().parents[1] / "hosts"

SERIAL = "25:81:5C:2D:7A:91:0B:E4:33:19:C0:DA:5E:77:01:AB:9D:4F:62:18"
KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
DMESG = f"""[    0.000000] Linux version 6.1.0-50-amd64 (mockbuild@x64-builder.almalinux.org) (gcc-12) #1 SMP
[    0.000000] Command line: BOOT_IMAGE=/vmlinuz root=UUID=3f0c3e5a-7a1b-4c3d-9e8f-0123456789ab ip=10.20.30.40
[    0.100000] DMI: Supermicro SYS-821GE-TNHR, BIOS 1.4 Serial Number: S123456X7654321
[    1.000000] systemd[1]: Hostname set to <gpunode07.lab.acme-corp.net>.
[    1.100000] mlx5_core 0000:1a:00.0 eth0: b8:3f:d2:9e:41:7c
[    1.200000] IPv6: ADDRCONF fe80::ba3f:d2ff:fe9e:417c: link becomes ready
[    1.300000] usb 1-1: SerialNumber: 0123ABCDEF99
[    1.400000] nvidia 0000:1b:00.0: enabling device (0140 -> 0142)
[    1.500000] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05
[    1.600000] NVRM: GPU at PCI:0000:1b:00: GPU-8f3c2a10-77de-4b1f-a6c9-5e0d1b2c3f4a
[    1.700000] nfs: server gpunode07 not responding, mount 10.20.30.41:/home/aturing/data
[    1.800000] integrity: Loaded X.509 cert 'gpunode07 Secure Boot Module Signature key: {SERIAL}'
[    1.900000] Serial: 8250/16550 driver, 4 ports
[    2.000000] loaded by aturing, 12:30:45
"""
SECRETS = (
    *("gpunode07", "acme-corp", "aturing", "lovelace", "hunter2", "s3cr3t", "tok-77", "mirror7"),
    *("3f0c3e5a", "8f3c2a10", "10.20.30.4", "b8:3f:d2", "ba3f:d2ff", "S123456X7654321"),
    *(
        "0123ABCDEF99",
        "4d5e6f708192",
        "1654422006434",
        "AST-0042",
        "MIIEvQ",
        "AAAAB3Nza",
        "25:81:5C",
    ),
    *(
        "25815C2D",
        "S4XNG0R",
        "0x3a4f6c9912",
        "proxy.internal",
        "alan.turing",
        "fedcba98",
        "A. M. T.",
        "Ada L.",
    ),
)


def planted() -> dict[str, Any]:
    machine = "4d5e6f70819200112233445566778899"
    return {
        "schema": 1,
        "files": {
            "/etc/os-release": 'ID=almalinux\nVERSION_ID="10"\nHOME_URL="https://almalinux.org/"\n',
            "/etc/hostname": "gpunode07\n",
            "/etc/machine-id": f"{machine}\n",
            "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
            "aturing:x:1000:1000:A. M. T.:/home/aturing:/bin/sh\n"
            "lovelace:x:1001:1001::/data/people/lovelace:/bin/sh\n",
            "/sys/class/dmi/id/product_serial": "S123456X7654321\n",
            "/sys/class/dmi/id/chassis_asset_tag": "AST-0042\n",
            "/sys/class/dmi/id/product_name": "SYS-821GE-TNHR\n",
            "/etc/apt/sources.list.d/acme.list": "deb [signed-by=/usr/share/keyrings/x.gpg] "
            "https://robot:hunter2@mirror7.acme-corp.net:8443/debian bookworm main\n"
            "deb http://repo.almalinux.org/debian bookworm main\n"
            "deb https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/ /\n",
            "/etc/apt/apt.conf.d/80proxy": 'Acquire::http::Proxy "http://proxy.internal:3128/?k=tok-77";\n',
            "/etc/apt/auth.conf": "machine mirror7.acme-corp.net login lovelace password s3cr3t\n",
            "/etc/app.conf": "machine mirror7.acme-corp.net login lovelace password s3cr3t\n"
            "api_key = s3cr3t\nnode=iqn.2001-04.com.acme-corp:gpunode07\n"
            "disk=/dev/disk/by-id/nvme-Samsung_S4XNG0R500 mail=alan.turing@acme-corp.net\n"
            "home=/data/people/lovelace/x unit=getty@tty1.service owner=lovelace\n",
            "/root/key.pem": f"-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\nafter\n",
            "/root/cut.pem": f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n",
            "/var/lib/dkms/mok.key": KEY,
            "/var/lib/dpkg/status": "Package: acme-tools\nStatus: install ok installed\n"
            "Maintainer: Ada L. <ada@acme-corp.net>\nVersion: 1.0-1\nConffiles:\n /etc/acme 0123\n"
            "Description: tools\n for gpunode07\n\nPackage: dkms\nVersion: 3.0.10-8\n",
            "/root/.ssh/authorized_keys": "ssh-rsa AAAAB3NzaC1yc2E= aturing@gpunode07\n",
            "/var/lib/dkms/nvidia/make.log": "make: /home/aturing/src: failed 13.1.0.3-1\n",
        },
        "listings": {
            "/boot/loader/entries": [f"{machine}-6.1.0.conf"],
            "/home": ["aturing"],
            "/sys/firmware/efi/efivars": [
                "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
                "Acme-fedcba98-1111-2222-3333-444455556666",
            ],
        },
        "links": {"/home/aturing/cuda": "/data/people/lovelace/cuda"},
        "commands": {
            "dmesg": {"exit": 0, "output": DMESG},
            "uname -a": {"exit": 0, "output": "Linux gpunode07 6.1.0-50-amd64 #1 SMP x86_64\n"},
            "hostname -f": {"exit": 0, "output": "gpunode07.lab.acme-corp.net\n"},
            "apt-cache policy": {
                "exit": 0,
                "output": " 500 https://mirror7.acme-corp.net:8443/debian bookworm/main\n"
                "     origin mirror7.acme-corp.net\n",
            },
            "dpkg-query -W": {
                "exit": 0,
                "output": "ii |libcufft-13-0|12.0.0.61-1\nii |x|10.4.0.35-1\n",
            },
            "tail history.log": {"exit": 0, "output": "Requested-By: aturing (1000)\n"},
            "nvidia-smi -q": {
                "exit": 0,
                "output": "    Serial Number                  : 1654422006434\n"
                "    GPU UUID                       : GPU-8f3c2a10-77de-4b1f-a6c9-5e0d1b2c3f4a\n"
                "    GPU PDI                        : 0x3a4f6c9912\n"
                "    VBIOS Version                  : 96.00.a5.00.1a\n"
                "    Chassis Serial Number          : N/A\n",
            },
            "modinfo nvidia": {
                "exit": 0,
                "output": f"sig_key:        {SERIAL}\nserial={SERIAL.replace(':', '')}\n",
            },
        },
        "certificates": {
            "/var/lib/dkms/mok.pub": [
                {"sha1": "aa:bb", "subject": "gpunode07 Secure Boot Module", "serial": SERIAL}
            ]
        },
        "environment": {"SUDO_USER": "lovelace", "LD_LIBRARY_PATH": "/home/aturing/lib"},
        "unknown": {"/home/aturing/x": "reading /home/aturing/x needs root"},
        "nvml": {
            "gpus": [{"name": "NVIDIA H200", "serial": "1654422006434", "uuid": "GPU-8f3c2a10"}]
        },
        "cuda": {"error": "no file /home/aturing/libcuda.so.1"},
    }


def recorded(record: dict[str, Any]) -> tuple[RecordingHost, dict[str, Any]]:
    """Ask a recorded host everything that its record has."""
    inner = RecordedHost.from_bytes(json.dumps(record).encode(), "planted.json")
    host = RecordingHost(inner)
    for path in record.get("files", {}):
        host.read_text(path)
    for path in record.get("listings", {}):
        host.list_dir(path)
    for path in record.get("links", {}):
        host.read_link(path)
    for path in record.get("unknown", {}):
        host.read_text(path)
    for path in record.get("absent", []):
        host.exists(path)
    for path in record.get("certificates", {}):
        host.certificates(path)
    for key in record.get("commands", {}):
        host.run(tuple(key.split(" ")))
    for name in record.get("environment", {}):
        host.environment(name)
    host.nvml()
    host.cuda()
    return host, host.record()


@pytest.fixture(scope="module")
def clean() -> dict[str, Any]:
    return recorded(planted())[1]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_planted_secret_is_left(clean: dict[str, Any], secret: str) -> None:
    assert secret.lower() in record_text(planted()).lower()
    assert secret.lower() not in record_text(clean).lower()


def test_what_is_no_secret_stays(clean: dict[str, Any]) -> None:
    log = clean["commands"]["dmesg"]["output"]
    for line in (
        "[    1.500000] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05\n",
        "[    1.400000] nvidia 0000:1b:00.0: enabling device (0140 -> 0142)\n",
        "[    1.900000] Serial: 8250/16550 driver, 4 ports\n",
        "Linux version 6.1.0-50-amd64 (mockbuild@x64-builder.almalinux.org)",
        "NVRM: GPU at PCI:0000:1b:00: GPU-00000000-0000-0000-0000-",
        "12:30:45",
    ):
        assert line in log
    files = clean["files"]
    assert files["/sys/class/dmi/id/product_name"] == "SYS-821GE-TNHR\n"
    assert files["/etc/os-release"] == planted()["files"]["/etc/os-release"]
    assert "unit=getty@tty1.service" in files["/etc/app.conf"]
    assert files["/root/key.pem"].startswith("-----BEGIN PRIVATE KEY-----\n(left out)\n")
    assert files["/root/key.pem"].endswith("after\n")
    assert files["/var/lib/dpkg/status"] == (
        "Package: acme-tools\nStatus: install ok installed\nVersion: 1.0-1\n"
        "\nPackage: dkms\nVersion: 3.0.10-8\n"
    )
    assert "13.1.0.3-1" in files["/var/lib/dkms/nvidia/make.log"]
    outputs = {key: answer["output"] for key, answer in clean["commands"].items()}
    assert outputs["dpkg-query -W"] == planted()["commands"]["dpkg-query -W"]["output"]
    assert outputs["uname -a"] == "Linux host 6.1.0-50-amd64 #1 SMP x86_64\n"
    assert "96.00.a5.00.1a" in outputs["nvidia-smi -q"]
    assert "Chassis Serial Number          : N/A" in outputs["nvidia-smi -q"]
    names = clean["listings"]["/sys/firmware/efi/efivars"]
    assert "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c" in names
    assert clean["nvml"]["gpus"][0]["name"] == "NVIDIA H200"


def test_archives_keep_path_and_vendor(clean: dict[str, Any]) -> None:
    text = clean["files"]["/etc/apt/sources.list.d/acme.list"]
    assert "https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/ /" in text
    assert "deb http://repo.almalinux.org/debian bookworm main" in text
    first = text.splitlines()[0]
    assert first.startswith("deb [signed-by=/usr/share/keyrings/x.gpg] https://redacted@archive")
    assert first.endswith(".example.org:8443/debian bookworm main")
    archive = first.split("@")[1].split(":")[0]
    policy = clean["commands"]["apt-cache policy"]["output"]
    assert f"500 https://{archive}:8443/debian" in policy
    assert f"origin {archive}\n" in policy


def test_one_secret_has_one_stand_in(clean: dict[str, Any]) -> None:
    certificate = clean["certificates"]["/var/lib/dkms/mok.pub"][0]
    module = clean["commands"]["modinfo nvidia"]["output"]
    assert f"sig_key:        {certificate['serial']}\n" in module
    assert len(certificate["serial"]) == len(SERIAL)
    assert certificate["serial"] in clean["commands"]["dmesg"]["output"]
    smi = clean["commands"]["nvidia-smi -q"]["output"]
    serial = clean["nvml"]["gpus"][0]["serial"]
    assert f": {serial}\n" in smi
    machine = clean["files"]["/etc/machine-id"].strip()
    assert clean["listings"]["/boot/loader/entries"] == [f"{machine}-6.1.0.conf"]
    (name,) = clean["listings"]["/home"]
    assert list(clean["links"]) == [f"/home/{name}/cuda"]
    assert clean["environment"]["LD_LIBRARY_PATH"] == f"/home/{name}/lib"


def test_a_record_of_a_record_is_the_same(clean: dict[str, Any]) -> None:
    host, again = recorded(clean)
    assert record_text(again) == record_text(clean)
    assert record_text(host.record()) == record_text(again), "asked twice, written the same"


@pytest.mark.parametrize("name", ["h200-x1.json", "h200-x2.json"])
def test_real_records_lose_nothing(name: str) -> None:
    """Nothing in these is secret, so a re-recording changes no fact in them."""
    record = json.loads((RECORDS / name).read_text())
    again = recorded(record)[1]
    for part in ("absent", "listings", "links", "nvml", "cuda"):
        assert again[part] == (
            {**record[part]} if isinstance(record[part], dict) else sorted(record[part])
        )
    for path, text in record["files"].items():
        assert again["files"][path] == text, path
    for key, answer in record["commands"].items():
        expected = answer["output"].replace("Linux vm ", "Linux host ")
        assert again["commands"][key]["output"] == expected, key


def test_common_names_do_not_spoil_a_record() -> None:
    record = planted()
    record["files"]["/etc/hostname"] = "almalinux\n"
    record["files"]["/etc/passwd"] = "ubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n"
    record["commands"]["uname -a"]["output"] = "Linux almalinux 6.1.0 #1\n"
    clean = recorded(record)[1]
    assert clean["files"]["/etc/os-release"].startswith("ID=almalinux\n")
    assert clean["files"]["/etc/hostname"] == "host\n"
    assert clean["commands"]["uname -a"]["output"] == "Linux host 6.1.0 #1\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1-10.0.0.9", "192.0.2.1-192.0.2.2"),
        ("127.0.0.1 0.0.0.0 255.255.255.255", None),
        ("::1 and :: and std::vector and a 12:34:56", None),
        ("version 550.163.01, nvcc V13.0.88, 1.2.3.4.5", None),
        ('"libcublas": {"version": "13.1.0.3"}', None),
        ("8.8.8.8:53", "192.0.2.1:53"),
        ("[2620:0:2d0:200::7]:443", "[2001:db8::1]:443"),
        ("http://[fd00::12]:80/x", "http://archive.example.org:80/path-1"),
        ("cdrom:[Debian GNU/Linux 12]/ bookworm main", None),
        ("file:///srv/packages ./", None),
        ("http://localhost:3142/x", None),
        ("00-1b-21-3c-9d-f8", "00-00-5e-00-53-00"),
        ("aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd", None),
        ("node_guid 506b:4b03:00ab:cdef", "node_guid 0000:0000:0000:0000"),
        ("root=UUID=1A2B-3C4D ro", "root=UUID=0000-0000 ro"),
        ("wwn-0x5000c500a1b2c3d4", "wwn-0x0000000000000000"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer redacted"),
        ("Device Serial Number 48-b0-2d-ff-ff-9a-bc-de", "Device Serial Number serial-1"),
        ("enter passphrase: ", None),
        (
            "ro luks.key=top,s3;cr password=a,b rd.x.pw=c",
            "ro luks.key=redacted password=redacted rd.x.pw=redacted",
        ),
        (
            'GRUB_CMDLINE_LINUX="quiet luks.key=top1"',
            'GRUB_CMDLINE_LINUX="quiet luks.key=redacted"',
        ),
        ('CONFIG_MODULE_SIG_KEY="certs/signing_key.pem"', None),
        ("mok_signing_key=/var/lib/dkms/mok.key", None),
        ("gpgkey=https://developer.download.nvidia.com/x.pub", None),
        ("bypass=1 iommu.passthrough=1 token: ", None),
        ('{"password": "two words", "n": 1}', '{"password": "redacted", "n": 1}'),
        (
            'Acquire::https::m.corp.internal::Password "AptPw77";',
            'Acquire::https::archive.example.org::Password "redacted";',
        ),
        ("Acquire::http::Password AptPw77;", "Acquire::http::Password redacted;"),
        ('  Password "AptPw 77";', '  Password "redacted";'),
        ("password_pbkdf2 root grub.pbkdf2.sha512.10000.AB.CD", "password_pbkdf2 root redacted"),
        (
            "https://r.corp.internal/apt/TOKENabc/debian/dists/x86_64/?k#f",
            "https://archive.example.org/path-1/path-2/debian/dists/x86_64/?redacted",
        ),
        ("https://nvidia.github.io/libnvidia-container/a/b#c", None),
        ("ip=10.2.3.4::10.2.3.1:255.0.0.0:node17:eth0 ip=dhcp", "ip=redacted ip=dhcp"),
        ("nfsroot=files.corp.internal:/x,v3 ro", "nfsroot=redacted ro"),
        ("root=nfs:files:/srv/x ro", "root=nfs:redacted ro"),
        ("BOOTIF=01-aa-bb-cc-dd-ee-ff quiet", "BOOTIF=redacted quiet"),
        (
            "live=files.corp.internal:/img LD_LIBRARY_PATH=/a:/b",
            "live=redacted LD_LIBRARY_PATH=/a:/b",
        ),
        ("nvidia: Serial 1234567890123 x", "nvidia: Serial serial-1 x"),
        ("serial 8250 Serial: 8250/16550 driver", None),
        (
            "NVRM: Xid (PCI:0000:17:00): 31, pid=4242, name=alice-train.py, Ch 00000010",
            "NVRM: Xid (PCI:0000:17:00): 31, pid=1, name=process, Ch 00000010",
        ),
        ("NVRM: Xid (PCI:0000:17:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen", None),
        (
            "Out of memory: Killed process 42 (alice.py) total",
            "Out of memory: Killed process 42 (process) total",
        ),
    ],
)
def test_single_texts(text: str, expected: str | None) -> None:
    assert Redactor(Secrets()).text(text) == (text if expected is None else expected)


def test_redacting_twice_changes_nothing() -> None:
    text = (
        "luks.key=a password='b c' ip=h:1 nfsroot=f.corp.net:/x https://r.corp.net/apt/T1/x/ "
        "Serial AB12345678 Xid (PCI:0): 31, pid=7, name=me user=bob iscsi_password=x BOOTIF=01-aa"
    )
    once = Redactor(Secrets()).text(text)
    assert Redactor(Secrets()).text(once) == once


def test_apts_index_names_hide_the_token_as_well() -> None:
    redactor = Redactor(Secrets())
    redactor.learn("deb https://bob:pw@r.corp.internal:8443/apt/TOKENabc/debian/ x main")
    name = "r.corp.internal:8443_apt_TOKENabc_debian_dists_x_main_binary-amd64_Packages"
    assert redactor.text(name) == (
        "archive.example.org:8443_path-1_path-2_debian_dists_x_main_binary-amd64_Packages"
    )


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.json", tmp_path / "out.json"
    record = json.loads((RECORDS / "debian13-fresh.json").read_text())
    record["files"]["/proc/cmdline"] = "root=/dev/vda1 luks.key=topsecret1\n"
    source.write_text(json.dumps(record))
    assert main(["record", "--host", str(source), "-o", str(target)]) == 0
    assert "look through it before you send it" in capsys.readouterr().err
    assert "topsecret1" not in target.read_text()
    assert main(["record", "--host", str(source), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(target.read_text())


def test_writes_a_private_file(tmp_path: Path, clean: dict[str, Any]) -> None:
    path = tmp_path / "host.json"
    write_record(path, clean)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == record_text(clean)
    assert RecordedHost.from_file(path).list_dir("/home") is not None
    with pytest.raises(HostError):
        write_record(path / "below", clean)
