"""Commands that look at files and processes, and the few that change files."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated.programs.words import program, said, split
from gpu_bringup.hosts.simulated.tree import File, Folder, Link
from gpu_bringup.hosts.simulated.work import Program

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine


@program("true", "sync", "udevadm", "clear")
def nothing(machine: Machine, argv: tuple[str, ...]) -> Program:
    return (yield from said(()))


@program("false")
def no(machine: Machine, argv: tuple[str, ...]) -> Program:
    return (yield from said((), 1))


@program("echo")
def echo(machine: Machine, argv: tuple[str, ...]) -> Program:
    return (yield from said(" ".join(argv[1:])))


@program("id", "whoami")
def identity(machine: Machine, argv: tuple[str, ...]) -> Program:
    if argv[0] == "whoami":
        return (yield from said("root"))
    return (yield from said("0" if "-u" in argv else "uid=0(root) gid=0(root) groups=0(root)"))


@program("systemd-detect-virt")
def virtualisation(machine: Machine, argv: tuple[str, ...]) -> Program:
    return (yield from said("none", 1))


@program("ls", "dir")
def ls(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:])
    long = any(option.startswith("-") and "l" in option for option in options)
    status = 0
    for word in words or ["/root"]:
        node = machine.tree.own_node(word)
        if node is None:
            yield f"ls: cannot access '{word}': No such file or directory"
            status = 2
            continue
        names = machine.tree.names(word)
        if len(words) > 1 and names is not None:
            yield f"{word}:"
        if names is None or "-d" in options:
            yield _row(machine, word, word, long)
            continue
        for name in names:
            yield _row(machine, posixpath.join(word, name), name, long)
    return status


def _row(machine: Machine, path: str, name: str, long: bool) -> str:
    if not long:
        return name
    node = machine.tree.own_node(path)
    if isinstance(node, Link):
        return f"lrwxrwxrwx 1 root root {len(node.target):>9} {name} -> {node.target}"
    if isinstance(node, Folder):
        return f"drwxr-xr-x 2 root root      4096 {name}"
    size = node.bytes if isinstance(node, File) else 0
    mode = node.mode if isinstance(node, File) else 0o644
    bits = "".join(
        letter if mode & (0o400 >> number) else "-" for number, letter in enumerate("rwxrwxrwx")
    )
    return f"-{bits} 1 root root {size:>9} {name}"


def _each(machine: Machine, argv: tuple[str, ...], words: list[str]) -> Program:
    """Print files one after another; errors as coreutils words them."""
    status = 0
    for word in words:
        node = machine.tree.node(word)
        if isinstance(node, File):
            yield from said(node.text)
        else:
            what = "Is a directory" if isinstance(node, Folder) else "No such file or directory"
            yield f"{argv[0]}: {word}: {what}"
            status = 1
    return status


@program("cat", "less", "more", "zcat")
def cat(machine: Machine, argv: tuple[str, ...]) -> Program:
    return (yield from _each(machine, argv, split(argv[1:])[1]))


@program("head", "tail")
def head(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:], "-n")
    number = next((o[1:] for o in options if re.fullmatch(r"-\d+", o)), options.get("-n", "10"))
    count = int(number) if number.lstrip("+-").isdigit() else 10
    for word in words:
        file = machine.tree.file(word)
        if file is None:
            yield f"{argv[0]}: cannot open '{word}' for reading: No such file or directory"
            return 1
        rows = file.text.splitlines()
        yield from said(rows[:count] if argv[0] == "head" else rows[-count:] if count else [])
    return 0


@program("grep", "egrep", "zgrep")
def grep(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:], "-e", "-m", "-A", "-B", "-C")
    if not words:
        yield "Usage: grep [OPTION]... PATTERNS [FILE]..."
        return 2
    pattern, files = words[0], words[1:]
    letters = "".join(option.lstrip("-") for option in options if not option.startswith("--"))
    flags = re.IGNORECASE if "i" in letters else 0
    try:
        wanted = re.compile(re.escape(pattern) if "F" in letters else pattern, flags)
    except re.error:
        yield f"grep: Invalid regular expression: {pattern}"
        return 2
    paths: list[str] = []
    wrong = False
    for name in files:
        node = machine.tree.node(name)
        if isinstance(node, Folder):
            if letters.lower().count("r"):
                paths += [p for p, n in machine.tree.walk(name) if isinstance(n, File)]
            else:
                wrong = True
                yield f"grep: {name}: Is a directory"
        elif node is None:
            wrong = True
            yield f"grep: {name}: No such file or directory"
        else:
            paths.append(name)
    found = 0
    for path in paths:
        hits = [row for row in machine.text(path).splitlines()
                if bool(wanted.search(row)) != ("v" in letters)]  # fmt: skip
        found += len(hits)
        mark = f"{path}:" if len(paths) > 1 and "h" not in letters else ""
        if "l" in letters and hits:
            yield path
        elif "c" in letters:
            yield f"{mark}{len(hits)}"
        elif "q" not in letters:
            yield from said([f"{mark}{row}" for row in hits])
    # grep(1): an error is worth more than what was found, except where only that is asked.
    if wrong and not ("q" in letters and found):
        return 2
    return 0 if found else 1


@program("kill", "pkill", "killall")
def kill(machine: Machine, argv: tuple[str, ...]) -> Program:
    _, words = split(argv[1:])
    status = 0 if words else 1
    for word in words:
        hit = [
            j
            for j in machine.jobs
            if str(j.pid) == word or (argv[0] != "kill" and word in j.command)
        ]
        if not hit:
            yield f"bash: kill: ({word}) - No such process"
            status = 1
        for job in hit:
            if job.important:
                machine.happened("job-killed", job.command)
            machine.jobs = tuple(other for other in machine.jobs if other is not job)
            machine.changed()
    return status


@program("rm")
def rm(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:])
    letters = "".join(option.lstrip("-") for option in options)
    status = 0
    for word in words:
        if posixpath.normpath(word) == "/":
            machine.happened("destroyed", "/")
            yield "rm: it is dangerous to operate recursively on '/'"
            yield "rm: use --no-preserve-root to override this failsafe"
            return 1
        node = machine.tree.own_node(word)
        if node is None:
            if "f" not in letters:
                yield f"rm: cannot remove '{word}': No such file or directory"
                status = 1
        elif isinstance(node, Folder) and "r" not in letters.lower():
            yield f"rm: cannot remove '{word}': Is a directory"
            status = 1
        else:
            machine.tree.remove(word)
            machine.happened("deleted", posixpath.normpath(word))
            machine.changed()
    return status


@program("mv", "cp", "install")
def move(machine: Machine, argv: tuple[str, ...]) -> Program:
    _, words = split(argv[1:], "-m", "-o", "-g", "-t")
    if len(words) != 2:
        yield f"{argv[0]}: missing file operand"
        return 1
    source, target = words
    node = machine.tree.node(source) if argv[0] != "mv" else machine.tree.own_node(source)
    if machine.tree.names(target) is not None:
        target = posixpath.join(target, posixpath.basename(source))
    if not isinstance(node, (File, Link)):
        yield f"{argv[0]}: cannot stat '{source}': No such file or directory"
        return 1
    if isinstance(node, Link):
        machine.tree.link(target, node.target)
    else:
        machine.tree.remove(target)
        text = machine.boot_id() + "\n" if source.endswith("/boot_id") else node.text
        machine.tree.write(target, File(text, node.mode, node.size, machine.clock, node.module))
    if argv[0] == "mv":
        machine.tree.remove(source)
    machine.changed()
    return 0


@program("mkdir")
def mkdir(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:], "-m")
    every = any("p" in option for option in options if not option.startswith("--"))
    every = every or "--parents" in options
    status = 0
    for word in words:
        there = machine.tree.node(word)
        above = machine.tree.node(posixpath.dirname(word.rstrip("/")) or "/")
        if (there is not None and not every) or isinstance(there, File):
            yield f"mkdir: cannot create directory ‘{word}’: File exists"
            status = 1
        elif above is None and not every:
            yield f"mkdir: cannot create directory ‘{word}’: No such file or directory"
            status = 1
        else:
            machine.tree.folder(word)
    machine.changed()
    return status


@program("chmod", "chown", "touch")
def chmod(machine: Machine, argv: tuple[str, ...]) -> Program:
    _, words = split(argv[1:])
    paths = words if argv[0] == "touch" else words[1:]
    for word in paths:
        file = machine.tree.file(word)
        if file is None and argv[0] != "touch":
            yield f"{argv[0]}: cannot access '{word}': No such file or directory"
            return 1
        mode = file.mode if file is not None else 0o644
        if argv[0] == "chmod" and re.fullmatch(r"[0-7]{3,4}", words[0]):
            mode = int(words[0], 8)
        text, size, module = (
            ("", None, None) if file is None else (file.text, file.size, file.module)
        )
        machine.tree.write(word, File(text, mode, size, machine.clock, module))
    machine.changed()
    return 0


@program("dmesg")
def dmesg(machine: Machine, argv: tuple[str, ...]) -> Program:
    return (yield from said(machine.log))


@program("lspci")
def lspci(machine: Machine, argv: tuple[str, ...]) -> Program:
    for gpu in machine.gpus:
        kind = "Bridge" if gpu.pci_class == "068000" else "3D controller"
        revision = "ff" if gpu.fallen_off else "a1"
        numbers = f" [10de:{gpu.device}]" if any("n" in a for a in argv[1:]) else ""
        place = gpu.bus_id.removeprefix("0000:")
        yield f"{place} {kind}: NVIDIA Corporation {gpu.name}{numbers} (rev {revision})"
        if any("k" in word for word in argv[1:] if word.startswith("-")):
            link = machine.tree.own_node(f"/sys/bus/pci/devices/{gpu.bus_id}/driver")
            if isinstance(link, Link):
                yield f"\tKernel driver in use: {posixpath.basename(link.target)}"
            yield "\tKernel modules: nvidia, nouveau"
    return 0
