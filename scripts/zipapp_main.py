"""The first code of gpu-bringup.pyz: unpack once, then run from what was unpacked.

A Python archive is read slowly and cannot be compiled; unpacked beside a private ``bin/python`` the
program starts as fast as when it is installed. Where no folder can be written to, it runs from the
archive. Python 3.6 must be able to read this file, so that it can be told that it is too old.
"""

import os
import shutil
import stat
import sys

ARCHIVE = os.path.dirname(os.path.abspath(__file__))
OLDEST = (3, 10)


def main() -> int:
    """Become the program, or run it here; its exit status."""
    if sys.version_info < OLDEST:
        sys.stderr.write(
            "gpu-bringup: Python 3.10 or newer is needed; this is %d.%d (%s).\n"
            "  Nothing was changed. Run it with a newer one, such as: python3.11 gpu-bringup.pyz\n"
            % (sys.version_info[0], sys.version_info[1], sys.executable)
        )
        return 4
    for name in ("PYTHONHOME", "PYTHONPATH"):
        os.environ.pop(name, None)
    folder = unpacked()
    if folder:
        python = os.path.join(folder, "bin/python")
        os.execv(python, [python, "-I", "-m", "gpu_bringup", *sys.argv[1:]])
    # Its own child processes have to find the package as well.
    os.environ["PYTHONPATH"] = ARCHIVE
    from gpu_bringup.cli import main as run

    return run()


def unpacked() -> str:
    """The folder in which this build is ready to run, made now if need be; "": nowhere to."""
    from gpu_bringup_build import BUILD

    parent = cache()
    if not parent:
        return ""
    folder = os.path.join(parent, "pyz-%s-py%d.%d" % ((BUILD, *sys.version_info[:2])))
    if ready(folder):
        return folder
    try:
        os.makedirs(parent, exist_ok=True)
        unpack(parent, folder)
    except (OSError, ImportError):  # read-only, full; Debian's python3-minimal has no venv
        return ""
    return folder if ready(folder) else ""


def cache() -> str:
    """The folder whose content may be deleted at any time (as in paths.py); "": none."""
    state = os.environ.get("GPU_BRINGUP_STATE")
    if state:
        return os.path.join(state, "cache")
    if os.geteuid() == 0:
        return "/var/cache/gpu-bringup"
    home = os.environ.get("HOME")
    base = os.environ.get("XDG_CACHE_HOME") or (home and os.path.join(home, ".cache"))
    return os.path.join(base, "gpu-bringup") if base else ""


def ready(folder: str) -> bool:
    """Whether ``folder`` is whole and nobody else could have put it there or written into it."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        and os.access(os.path.join(folder, "bin/python"), os.X_OK)
    )


def unpack(parent: str, folder: str) -> None:
    """Unpack into a folder of its own, then rename: a half-unpacked one is never run."""
    import tempfile
    import venv
    import zipfile

    scratch = tempfile.mkdtemp(prefix=".unpacking-", dir=parent)
    try:
        venv.create(scratch, symlinks=True, with_pip=False)
        packages = os.path.join(scratch, "lib/python%d.%d/site-packages" % sys.version_info[:2])
        with zipfile.ZipFile(ARCHIVE) as archive:
            for member in archive.infolist():
                path = archive.extract(member, packages)
                os.chmod(path, member.external_attr >> 16 & 0o755)
        os.chmod(scratch, 0o755)
        try:
            os.rename(scratch, folder)
        except OSError:
            if not ready(folder):  # else somebody was faster
                shutil.rmtree(folder)  # an upgrade has removed the Python that it was made for
                os.rename(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
