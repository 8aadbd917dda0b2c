"""Wraps a host, passes every question through and writes the answers down, without secrets."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gpu_bringup.hosts.base import CommandResult, Host, Session
from gpu_bringup.hosts.files import replace_file
from gpu_bringup.hosts.identity import (
    ASKED,
    DMI_FILES,
    HOST_FILES,
    USER_FILE,
    USER_VARIABLES,
    Secrets,
    from_environment,
    from_files,
    from_texts,
    is_serial,
    without_full_names,
    without_people,
)
from gpu_bringup.hosts.record_format import SCHEMA
from gpu_bringup.hosts.redaction import KEY_FILE, KEY_MATERIAL, Redactor, vendor_domains
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpu_bringup.model.facts import Certificate, Space
    from gpu_bringup.model.plan import Command

_SOURCES = ("/etc/apt/", "/etc/yum", "/etc/dnf/", "/etc/zypp/")
"""Where package managers have the archives they use; their names stand in other answers as well."""

_PACKAGE_DATABASE = "/var/lib/dpkg/status"
_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")


class Thinning(Protocol):
    """Says what of long answers a record keeps (``gpu_bringup.facts.thinning``)."""

    def file(self, path: str, text: str) -> str: ...

    def listing(self, path: str, names: tuple[str, ...]) -> tuple[str, ...]: ...

    def output(self, command: str, text: str) -> str: ...

    def digest(self, key: str, value: dict[str, Any]) -> dict[str, Any]: ...


class RecordingHost:
    """A host that remembers what it was asked and what it answered. Safe for several threads."""

    def __init__(self, inner: Host, thin: Thinning | None = None) -> None:
        """``thin``: keep only what is read of long answers; None: keep all of them."""
        self._inner = inner
        self._thin = thin
        self._lock = threading.Lock()
        self._files: dict[str, str] = {}
        self._absent: set[str] = set()
        self._listings: dict[str, tuple[str, ...]] = {}
        self._links: dict[str, str] = {}
        self._not_links: set[str] = set()
        self._real_paths: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._unknown: dict[str, str] = {}
        self._commands: dict[str, CommandResult] = {}
        self._spaces: dict[str, Space] = {}
        self._certificates: dict[str, tuple[Certificate, ...]] = {}
        self._environment: dict[str, str | None] = {}
        self._probes: dict[str, dict[str, Any] | None] = {}
        self._digests: dict[str, dict[str, Any]] = {}
        self._time: float | None = None

    @property
    def kind(self) -> str:
        return self._inner.kind

    @property
    def label(self) -> str:
        return self._inner.label

    # --- what is asked, and noted ----------------------------------------------------------------

    def _note_missing(self, path: str, kind: str) -> None:
        """No such file (or folder): because nothing is there, or something of another kind?"""
        there = self._inner.exists(path)
        with self._lock:
            if there is False:
                self._absent.add(path)
            elif there is True:
                self._kinds[path] = kind

    def _note_unknown(self, path: str, fact: Unknown) -> None:
        with self._lock:
            self._unknown[path] = fact.reason

    def read_text(self, path: str, *, limit: int = 4_000_000) -> Fact[str | None]:
        answer = self._inner.read_text(path, limit=limit)
        if isinstance(answer, str):
            with self._lock:
                if len(answer) >= len(self._files.get(path, "")):
                    self._files[path] = answer
        elif isinstance(answer, Unknown):
            self._note_unknown(path, answer)
        else:
            self._note_missing(path, "folder")
        return answer

    def list_dir(self, path: str) -> Fact[tuple[str, ...] | None]:
        answer = self._inner.list_dir(path)
        if isinstance(answer, tuple):
            with self._lock:
                self._listings[path] = answer
        elif isinstance(answer, Unknown):
            self._note_unknown(path, answer)
        else:
            self._note_missing(path, "not-folder")
        return answer

    def read_link(self, path: str) -> Fact[str | None]:
        answer = self._inner.read_link(path)
        with self._lock:
            if isinstance(answer, str):
                self._links[path] = answer
            elif isinstance(answer, Unknown):
                self._unknown[path] = answer.reason
            else:
                self._not_links.add(path)
        return answer

    def resolve(self, path: str) -> Fact[str | None]:
        answer = self._inner.resolve(path)
        with self._lock:
            if isinstance(answer, str):
                self._real_paths[path] = answer
            elif isinstance(answer, Unknown):
                self._unknown[path] = answer.reason
            else:
                self._absent.add(path)
        return answer

    def exists(self, path: str) -> Fact[bool]:
        answer = self._inner.exists(path)
        with self._lock:
            if isinstance(answer, Unknown):
                self._unknown[path] = answer.reason
            elif answer:
                self._kinds.setdefault(path, "present")
            else:
                self._absent.add(path)
        return answer

    def certificates(self, path: str) -> Fact[tuple[Certificate, ...] | None]:
        answer = self._inner.certificates(path)
        if isinstance(answer, tuple):
            with self._lock:
                self._certificates[path] = answer
        elif isinstance(answer, Unknown):
            self._note_unknown(path, answer)
        else:
            self._note_missing(path, "folder")
        return answer

    def space(self, path: str) -> Space:
        answer = self._inner.space(path)
        with self._lock:
            self._spaces[path] = answer
            if isinstance(answer.free, Unknown):
                self._unknown.setdefault(path, answer.free.reason)
        return answer

    def run(self, argv: Sequence[str], *, timeout: float = 10.0) -> Fact[CommandResult]:
        answer = self._inner.run(argv, timeout=timeout)
        if isinstance(answer, CommandResult):
            with self._lock:
                self._commands[" ".join(argv)] = answer
        return answer

    def kernel_log(self) -> Fact[str]:
        answer = self._inner.kernel_log()
        with self._lock:
            self._commands["dmesg"] = (
                CommandResult(1, answer.reason)
                if isinstance(answer, Unknown)
                else CommandResult(0, answer)
            )
        return answer

    def environment(self, name: str) -> Fact[str | None]:
        answer = self._inner.environment(name)
        if not isinstance(answer, Unknown):
            with self._lock:
                self._environment[name] = answer
        return answer

    def uid(self) -> Fact[int]:
        answer = self._inner.uid()
        if not isinstance(answer, Unknown):
            with self._lock:
                self._commands["id -u"] = CommandResult(0, f"{answer}\n")
        return answer

    def now(self) -> Fact[float]:
        answer = self._inner.now()
        if not isinstance(answer, Unknown):
            with self._lock:
                self._time = answer
        return answer

    def nvml(self, *, timeout: float = 40.0) -> Fact[dict[str, Any] | None]:
        return self._note_probe("nvml", self._inner.nvml(timeout=timeout))

    def cuda(self, *, deep: bool = False, timeout: float = 30.0) -> Fact[dict[str, Any] | None]:
        return self._note_probe("cuda", self._inner.cuda(deep=deep, timeout=timeout))

    def _note_probe(
        self, key: str, answer: Fact[dict[str, Any] | None]
    ) -> Fact[dict[str, Any] | None]:
        if not isinstance(answer, Unknown):
            with self._lock:
                self._probes[key] = answer
        return answer

    def digest(self, kind: str, path: str) -> Fact[dict[str, Any] | None]:
        answer = self._inner.digest(kind, path)
        if isinstance(answer, Unknown):
            self._note_unknown(path, answer)
        elif answer is None:
            self._note_missing(path, "folder")
        else:
            with self._lock:
                self._digests[f"{kind} {path}"] = answer
        return answer

    # --- what changes a host is no answer, and isn't noted ---------------------------------------

    def open(self, command: Command, *, rows: int = 24, columns: int = 100) -> Session:
        return self._inner.open(command, rows=rows, columns=columns)

    def write_file(self, path: str, content: str, mode: int) -> str | None:
        return self._inner.write_file(path, content, mode)

    def remove_file(self, path: str) -> None:
        self._inner.remove_file(path)

    # --- the record ------------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """All answers so far in the format of a host record, redacted; the same each time."""
        # Read here, so that what they say is hidden even if nobody asked for them.
        hidden = {
            path: text
            for path in (*ASKED, *_OS_RELEASE)
            if isinstance(text := self._inner.read_text(path), str)
        }
        variables = {
            name: value
            for name in (*USER_VARIABLES, "HOSTNAME", "HOME")
            if not isinstance(value := self._inner.environment(name), Unknown)
        }
        with self._lock:
            if self._thin is not None:
                self._keep_what_is_read(self._thin)
            return self._redacted(hidden, variables)

    def _keep_what_is_read(self, thin: Thinning) -> None:
        self._files = {path: thin.file(path, text) for path, text in self._files.items()}
        self._listings = {path: thin.listing(path, had) for path, had in self._listings.items()}
        self._commands = {
            key: replace(answer, output=thin.output(key, answer.output))
            for key, answer in self._commands.items()
        }
        self._digests = {key: thin.digest(key, value) for key, value in self._digests.items()}

    def _texts(self) -> Iterator[str]:
        for path in sorted(self._files):
            yield self._files[path]
        for key in sorted(self._commands):
            yield self._commands[key].output
        for path in sorted(self._links):
            yield path

    def _redactor(self, hidden: dict[str, str], variables: dict[str, str | None]) -> Redactor:
        secrets = Secrets()
        from_files({**self._files, **hidden}, secrets)
        from_environment({**variables, **self._environment}, secrets)
        from_texts(self._texts(), secrets)
        for key in ("hostname", "hostname -f", "uname -n"):
            if key in self._commands and self._commands[key].ok:
                secrets.add_host(self._commands[key].output)
        domains = vendor_domains(next((hidden[path] for path in _OS_RELEASE if path in hidden), ""))
        redactor = Redactor(secrets, domains)
        for path in sorted(self._files):
            if path.startswith(_SOURCES):
                redactor.learn(self._files[path])
        return redactor

    def _redacted(self, hidden: dict[str, str], variables: dict[str, str | None]) -> dict[str, Any]:
        redactor = self._redactor(hidden, variables)
        clean = redactor.text
        certificates = {
            clean(path): [
                {
                    "sha1": certificate.sha1,
                    "subject": clean(certificate.subject),
                    "serial": redactor.key_serial(certificate.serial),
                }
                for certificate in self._certificates[path]
            ]
            for path in sorted(self._certificates)
        }
        there = {*self._files, *self._listings}
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "files": {clean(path): self._file(path, redactor) for path in sorted(self._files)},
            # Something that came or went meanwhile: what was seen of it counts.
            "absent": sorted({clean(path) for path in self._absent - there}),
            "listings": {
                clean(path): sorted(clean(name) for name in self._listings[path])
                for path in sorted(self._listings)
            },
            "links": {clean(path): clean(self._links[path]) for path in sorted(self._links)},
            "commands": {
                clean(key): {"exit": answer.exit, "output": clean(answer.output)}
                for key, answer in sorted(self._commands.items())
            },
        }
        optional: dict[str, Any] = {
            "kinds": {clean(path): self._kinds[path] for path in sorted(self._kinds)},
            "not_links": sorted({clean(path) for path in self._not_links}),
            "real_paths": {
                clean(path): clean(self._real_paths[path]) for path in sorted(self._real_paths)
            },
            "unknown": {clean(path): clean(self._unknown[path]) for path in sorted(self._unknown)},
            "spaces": {clean(path): _sizes(self._spaces[path]) for path in sorted(self._spaces)},
            "certificates": certificates,
            "environment": {
                name: None if value is None else _variable(name, value, redactor)
                for name, value in sorted(self._environment.items())
            },
        }
        optional["digests"] = {
            clean(key): redactor.tree(self._digests[key]) for key in sorted(self._digests)
        }
        record.update({key: value for key, value in optional.items() if value})
        record.update({key: redactor.tree(value) for key, value in sorted(self._probes.items())})
        if self._time is not None:
            record["time"] = self._time
        return record

    def _file(self, path: str, redactor: Redactor) -> str:
        if KEY_FILE.search(path):
            return KEY_MATERIAL
        text = self._files[path]
        if path == USER_FILE:
            text = without_full_names(text)
        elif path == _PACKAGE_DATABASE and self._thin is None:
            text = without_people(text)
        clean = redactor.text(text)
        if path in HOST_FILES and clean == text:
            return "host\n"
        if path in DMI_FILES and clean == text and is_serial(text.strip()):
            return "serial\n"
        return clean


def _sizes(space: Space) -> dict[str, int | bool]:
    sizes = {"free": space.free, "total": space.total, "read_only": space.read_only}
    return {key: size for key, size in sizes.items() if not isinstance(size, Unknown)}


def _variable(name: str, value: str, redactor: Redactor) -> str:
    if name in USER_VARIABLES:
        return "root" if value == "root" else "user"
    return "host" if name == "HOSTNAME" else redactor.text(value)


def record_text(record: dict[str, Any]) -> str:
    """A record as the text of its file: sorted, so that two records can be compared."""
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record to a file that only its owner can read (mode 0600), wholly or not at all.

    Raises:
        HostError: it could not be written.
    """
    replace_file(str(Path(path).absolute()), record_text(record), 0o600)
