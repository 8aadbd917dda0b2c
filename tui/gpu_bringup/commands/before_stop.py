"""Before work stops: who uses the GPUs is shown, and nothing is ended that nobody spoke of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.commands.output import paint, say, wrap
from gpu_bringup.errors import RefusedError
from gpu_bringup.recover import door
from gpu_bringup.recover.drain import Drain, in_the_way, stoppable, undecided
from gpu_bringup.recover.ways import stops_now

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.in_use import InUse
    from gpu_bringup.model.plan import Plan


def refuse_undecided(in_use: InUse, drain: Drain) -> None:
    """Refuse to stop work of which nobody said what becomes of it.

    Raises:
        RefusedError: a program holds a GPU and was neither named nor waited for.
    """
    left = undecided(in_use, drain)
    if not left:
        return
    names = stoppable(in_use)
    stop = f"; --stop NAME ({', '.join(names)})" if names else ""
    raise RefusedError(
        f"programs hold GPUs: {', '.join(holder.words for holder in left)}",
        meaning="Nothing was changed on this server.",
        hint="Say what becomes of them: gpu-bringup recover --way mend with --wait SECONDS"
        f"{stop}; --kill PID.",
    )


def show_what_stops(host: Host | None, plan: Plan) -> None:
    """Show who uses the GPUs where the plan stops work; a reboot alone is the operator's to start.

    Raises:
        RefusedError: a step would end work at once, and a program holds a GPU.
    """
    found = door.before(host, plan)
    if found is None:
        return
    recovery, way = found
    say("")
    say(paint("What these steps stop:", "bold"))
    for text in in_the_way(recovery.in_use) or way.stops:
        say(wrap(f"- {text}", 2))
    if stops_now(plan):
        refuse_undecided(recovery.in_use, Drain())
