"""Will it survive the next boot? One table, each bootable kernel, and one verdict. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gpu_bringup.ladder.loaded import blacklist_entries
from gpu_bringup.ladder.signature import would_be_taken
from gpu_bringup.ladder.view import (
    boards,
    driver_traces,
    loaded_version,
    module_files,
    route,
    wanted,
)
from gpu_bringup.ladder.words import listed
from gpu_bringup.model.enums import Flavour, HeadersState
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import Kernel, ModuleFile
    from gpu_bringup.model.initramfs import Initramfs

OK, BAD, UNKNOWN, NOT_NEEDED = "ok", "bad", "unknown", "not-needed"
COLUMNS = ("headers", "module", "signature", "initramfs", "unblocked")
DECIDING = ("module", "signature", "initramfs", "unblocked")
"""Headers matter for the next build, not for the next boot."""
COMPETITORS = ("nouveau", "nova_core", "nova_drm")


@dataclass(frozen=True, slots=True)
class Answer:
    """One cell of the table."""

    state: str
    """ "ok", "bad", "unknown" or "not-needed"."""
    text: str
    """A few words, for the table."""
    why: str = ""
    """The same as half a sentence, for the verdict: "there is no nvidia module for it"."""


@dataclass(frozen=True, slots=True)
class KernelRow:
    """What happens to the driver when this kernel boots."""

    release: str
    running: bool
    default: Fact[bool]
    once: bool
    """Chosen for the next boot only."""
    headers: Answer
    module: Answer
    signature: Answer
    initramfs: Answer
    unblocked: Answer
    """Nothing keeps the module from loading, and no other driver takes the GPUs first."""

    def cell(self, column: str) -> Answer:
        answer: Answer = getattr(self, column)
        return answer

    @property
    def works(self) -> Fact[bool]:
        """Will this kernel have a working driver?"""
        cells = [self.cell(column) for column in DECIDING]
        bad = next((cell for cell in cells if cell.state == BAD), None)
        if bad is not None:
            return False
        unknown = next((cell for cell in cells if cell.state == UNKNOWN), None)
        return True if unknown is None else Unknown(unknown.why or unknown.text)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it won't work, or why that isn't known."""
        wish = BAD if self.works is False else UNKNOWN
        cells = [self.cell(column) for column in DECIDING]
        return tuple(cell.why or cell.text for cell in cells if cell.state == wish)


@dataclass(frozen=True, slots=True)
class NextBoot:
    rows: tuple[KernelRow, ...]
    next: tuple[str, ...]
    """Releases that may boot next: one, unless the boot loader's default is not known."""
    verdict: str
    """ "yes", "no" or "unknown"."""
    sentence: str
    advice: str = ""
    """What to do next; empty: nothing."""

    def to_json(self) -> dict[str, Any]:
        """The document of ``check --next-boot --json``."""
        return {
            "schema": 1,
            "verdict": self.verdict,
            "summary": self.sentence,
            "advice": self.advice,
            "next": list(self.next),
            "kernels": [
                {
                    "release": row.release,
                    "running": row.running,
                    "default": "unknown" if isinstance(row.default, Unknown) else row.default,
                    "once": row.once,
                    "works": "unknown" if isinstance(row.works, Unknown) else row.works,
                    **{
                        column: {"state": row.cell(column).state, "text": row.cell(column).text}
                        for column in COLUMNS
                    },
                }
                for row in self.rows
            ],
        }


def _headers(ctx: Context, kernel: Kernel) -> Answer:
    state = kernel.headers.state
    if route(ctx) == "prebuilt":
        return Answer(NOT_NEEDED, "not needed")
    if isinstance(state, Unknown):
        return Answer(UNKNOWN, "unknown", state.reason)
    if state is HeadersState.COMPLETE:
        return Answer(OK, "complete")
    return Answer(BAD, state.value, f"its headers are {state.value}")


def short_reason(unknown: Unknown) -> str:
    """Why something isn't known, without the long command that a record lacks the answer to."""
    return "not in this record" if "in this record" in unknown.reason else unknown.reason


def _version(file: ModuleFile) -> str:
    return file.version if isinstance(file.version, str) else "version unknown"


def module_version(ctx: Context, file: ModuleFile) -> Fact[str]:
    """Version of a module file: its own word, else dkms's, which installed it for that kernel."""
    builds = ctx.facts.modules.dkms
    if isinstance(file.version, str) or isinstance(builds, Unknown) or "dkms" not in file.path:
        return file.version
    put_there = {
        build.version
        for build in builds
        if build.module.startswith("nvidia")
        and build.kernel == file.kernel
        and build.state == "installed"
    }
    return put_there.pop() if len(put_there) == 1 else file.version


def _unfit(ctx: Context, file: ModuleFile) -> str:
    for board in boards(ctx):
        if board.open_modules == "required" and file.flavour is Flavour.PROPRIETARY:
            return f"{board.name} needs open kernel modules, and this one is proprietary"
        if board.open_modules == "unsupported" and file.flavour is Flavour.OPEN:
            return f"{board.name} is not supported by open kernel modules"
    return ""


def _module(ctx: Context, release: str) -> Answer:
    files = ctx.facts.modules.files
    if isinstance(files, Unknown):
        return Answer(UNKNOWN, "unknown", f"its modules could not be looked at: {files.reason}")
    mine = module_files(ctx, release)
    if not mine:
        return Answer(BAD, "none", "there is no nvidia module for it")
    wish = wanted(ctx)
    seen = [replace(file, version=module_version(ctx, file)) for file in mine]
    fits = [file for file in seen if wish.fits(file)]
    sure = [file for file in fits if isinstance(file.version, str)]
    file = (sure or fits or seen)[0]
    magic = file.vermagic.split(" ", 1)[0] if isinstance(file.vermagic, str) else release
    if magic != release and "weak-updates" not in file.path:
        return Answer(BAD, f"for {magic}", f"its nvidia module was built for {magic}")
    if not fits:
        text = f"its nvidia module is {_version(file)}, but {wish.source} are {wish.words}"
        return Answer(BAD, f"{_version(file)}, not {wish.words}", text)
    unfit = _unfit(ctx, file)
    if unfit:
        return Answer(BAD, f"{_version(file)} unfit", unfit)
    if isinstance(file.version, Unknown):
        why = f"the version of its nvidia module could not be read: {short_reason(file.version)}"
        return Answer(UNKNOWN, "version unknown", why)
    flavour = "" if isinstance(file.flavour, Unknown) else f" {file.flavour.value}"
    return Answer(OK, f"{_version(file)}{flavour}")


def _signature(ctx: Context, kernel: Kernel) -> Answer:
    force = True if kernel.signature_forced is True else ctx.facts.secure_boot.enforced
    if force is False:
        return Answer(NOT_NEEDED, "not enforced")
    files = module_files(ctx, kernel.release)
    if not files:
        return Answer(NOT_NEEDED, "no module")
    taken = would_be_taken(ctx, files[0])
    if taken is True:
        return Answer(OK, "trusted key")
    if isinstance(force, Unknown):
        why = f"whether module signatures are enforced is not known: {force.reason}"
        return Answer(UNKNOWN, "unknown", why)
    if isinstance(taken, Unknown):
        why = f"whether the key of its module is enrolled is not known: {taken.reason}"
        return Answer(UNKNOWN, "unknown", why)
    if files[0].signer is None:
        return Answer(
            BAD, "not signed", "its nvidia module is not signed, and Secure Boot refuses it"
        )
    why = f"the key that signed its module ({files[0].signer}) is not enrolled"
    return Answer(BAD, "key not enrolled", why)


def _initramfs(ctx: Context, kernel: Kernel) -> Answer:
    looked = ctx.facts.initramfs
    if isinstance(looked, Unknown):
        return Answer(UNKNOWN, "not read", f"its initramfs was not read: {looked.reason}")
    mine = next((item for item in looked if item.kernel == kernel.release), None)
    if mine is None:
        why = "its initramfs is not in /boot, where it could be read"
        return Answer(UNKNOWN, "not found", why)
    if isinstance(mine.modules, Unknown):
        return Answer(UNKNOWN, "not read", f"its initramfs was not read: {mine.modules.reason}")
    if not mine.present:
        if any(item.present for item in looked):
            return Answer(BAD, "missing", "it has no initramfs, and may not boot at all")
        return Answer(NOT_NEEDED, "none here")
    return _inside(ctx, kernel, mine)


def _inside(ctx: Context, kernel: Kernel, mine: Initramfs) -> Answer:
    disk = module_files(ctx, kernel.release)
    loads_first = mine.module("nvidia")
    if loads_first is not None and disk:
        version = disk[0].version
        if isinstance(loads_first.version, Unknown) or isinstance(version, Unknown):
            why = "its initramfs holds an nvidia module whose version could not be read"
            return Answer(UNKNOWN, "nvidia inside", why)
        if loads_first.version != version:
            why = (
                f"its initramfs holds nvidia {loads_first.version}, which loads before the "
                f"{version} on disk"
            )
            return Answer(BAD, f"old nvidia {loads_first.version}", why)
    kept = mine.blacklisted if isinstance(mine.blacklisted, tuple) else ()
    for name in COMPETITORS:
        if mine.module(name) is None or name in kept or _on_command_line(ctx, name):
            continue
        why = f"its initramfs holds {name} and nothing there keeps it from taking the GPUs"
        return Answer(BAD, f"{name} inside", why)
    return Answer(OK, "clean" if loads_first is None else f"nvidia {loads_first.version}")


def _entries(ctx: Context, module: str) -> tuple[str, ...]:
    listing = ctx.facts.modules.blacklisted
    if isinstance(listing, Unknown):
        return ()
    return tuple(entry for entry in listing if entry.split(" ", 1)[0] == module)


def _on_command_line(ctx: Context, module: str) -> bool:
    return any("/proc/cmdline" in entry for entry in _entries(ctx, module))


def _unblocked(ctx: Context) -> Answer:
    listing = ctx.facts.modules.blacklisted
    if isinstance(listing, Unknown):
        return Answer(UNKNOWN, "unknown", f"the blacklists could not be read: {listing.reason}")
    own = blacklist_entries(ctx)
    if own:
        name, _, where = own[0].partition(" ")
        if loaded_version(ctx.facts):
            why = f"{where} blacklists {name}, although it is loaded now"
            return Answer(UNKNOWN, f"{name} blacklisted", why)
        return Answer(BAD, f"{name} blacklisted", f"{where} keeps {name} from loading")
    if _entries(ctx, "nouveau"):
        return Answer(OK, "nouveau kept out")
    if loaded_version(ctx.facts):
        return Answer(OK, "nvidia loaded now")
    return Answer(
        BAD, "nouveau not kept out", "nouveau is not blacklisted and may take the GPUs first"
    )


def _row(ctx: Context, kernel: Kernel) -> KernelRow:
    return KernelRow(
        release=kernel.release,
        running=kernel.running,
        default=kernel.default,
        once=kernel.one_shot and ctx.facts.kernels.boots_once is not False,
        headers=_headers(ctx, kernel),
        module=_module(ctx, kernel.release),
        signature=_signature(ctx, kernel),
        initramfs=_initramfs(ctx, kernel),
        unblocked=_unblocked(ctx),
    )


def _candidates(rows: tuple[KernelRow, ...]) -> tuple[KernelRow, ...]:
    for chosen in (
        tuple(row for row in rows if row.once),
        tuple(row for row in rows if row.default is True),
    ):
        if chosen:
            return chosen[:1]
    # Every one of them may be the default.
    return rows


def _fallbacks(rows: tuple[KernelRow, ...], chosen: tuple[KernelRow, ...]) -> str:
    good = [row.release for row in rows if row.works is True and row not in chosen]
    return f" {listed(good)} still {'has' if len(good) == 1 else 'have'} one." if good else ""


def _judged(ctx: Context, rows: tuple[KernelRow, ...]) -> NextBoot:
    chosen = _candidates(rows)
    names = tuple(row.release for row in chosen)
    if len(chosen) == 1:
        how = "chosen for the next boot only" if chosen[0].once else "the boot loader's default"
        if chosen[0].default is not True and not chosen[0].once:
            how = "the only kernel here"
        which = f"The next boot starts {names[0]} ({how})"
    else:
        which = "Which kernel boots next is not known"
    if all(row.works is True for row in chosen):
        sure = ", and each has" if len(chosen) > 1 else " and has"
        text = f"{which}{sure} a working driver: {chosen[0].module.text}."
        return NextBoot(rows, names, "yes", text, _later(rows, chosen))
    bad = next((row for row in chosen if row.works is False), None)
    if len(chosen) == 1 and bad is not None:
        text = f"{which} without a working driver: {listed(bad.reasons)}."
        advice = "gpu-bringup plan shows what mends it; gpu-bringup recover, the quickest way back."
        return NextBoot(rows, names, "no", text + _fallbacks(rows, chosen), advice)
    if bad is not None and all(row.works is False for row in chosen):
        text = f"No kernel here has a working driver: {bad.release}: {listed(bad.reasons)}."
        return NextBoot(rows, names, "no", text, "gpu-bringup plan shows what mends it.")
    vague = next((row for row in chosen if isinstance(row.works, Unknown)), None)
    if vague is not None and bad is None:
        text = f"{which}; whether with a working driver is unknown: {listed(vague.reasons)}."
    else:
        lame = bad or chosen[0]
        text = (
            f"Unknown: {which[0].lower()}{which[1:]}, and {lame.release} has no working driver: "
            f"{listed(lame.reasons)}."
        )
    return NextBoot(rows, names, "unknown", text, _read_more(ctx))


def _read_more(ctx: Context) -> str:
    """What would tell more: root rights here, or another record."""
    root = ctx.facts.platform.root
    again = "sudo gpu-bringup record -o FILE, on that server, makes one that holds more."
    if ctx.facts.recorded and root is False:
        return f"This record was made without root: {again}"
    if ctx.facts.recorded:
        return f"A record holds only what was asked and could be read when it was made: {again}"
    return (
        ""
        if root is True
        else "As root, more of this can be read: sudo gpu-bringup check --next-boot"
    )


def _later(rows: tuple[KernelRow, ...], chosen: tuple[KernelRow, ...]) -> str:
    """What doesn't matter for the next boot, but soon after it."""
    if any(row.headers.state == BAD for row in chosen):
        names = listed(row.release for row in chosen if row.headers.state == BAD)
        return f"The headers of {names} are missing: the next driver update can't be built for it."
    after = [r for r in rows if r.default is True and r not in chosen and r.works is False]
    if after:
        return f"The boot after that starts {after[0].release} without a working driver."
    return ""


def next_boot(ctx: Context) -> NextBoot:
    """The table and the verdict.

    Args:
        ctx: the host as it is, with ``facts.initramfs`` looked into; a target in it is passed over.
    """
    installed = ctx.facts.kernels.installed
    if isinstance(installed, Unknown):
        text = f"Unknown: the kernels of this host could not be looked at: {installed.reason}."
        return NextBoot((), (), "unknown", text)
    if ctx.outside_driver:
        text = (
            "Unknown: the driver comes from outside this system (its platform or the host of this "
            "container), so what boots next is decided there."
        )
        return NextBoot((), (), "unknown", text)
    rows = tuple(_row(ctx, kernel) for kernel in installed if kernel.bootable)
    if not rows:
        return NextBoot(
            (), (), "unknown", "Unknown: no kernel that could be booted was found here."
        )
    files = ctx.facts.modules.files
    if not isinstance(files, Unknown) and not driver_traces(ctx):
        text = "No NVIDIA driver is installed, so no boot will have one."
        return NextBoot(rows, (), "no", text, "gpu-bringup recommend chooses one.")
    return _judged(ctx, rows)
