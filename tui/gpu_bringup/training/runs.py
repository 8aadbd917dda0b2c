"""Takes the steps of a plan on the simulated host, in this process, with the engine's own runner.

To a screen it is a run like any other: the same journal, the same logs, the same follower. Its folder
lies in the exercise's; no worker is started, no sudo asked, and nothing but the simulation changed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gpu_bringup.errors import RefusedError
from gpu_bringup.run.follow import Follower
from gpu_bringup.run.journal import Journal
from gpu_bringup.run.runner import Runner
from gpu_bringup.training import storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.plan import Command, Plan
    from gpu_bringup.run.journal import Event

LABEL = "TRAINING"
_EVERY = 0.002


class PractiseRun(Follower):
    """A run on the simulated host, as its follower.

    Args:
        host: the simulated host; any other is refused.
        plan: what to do.
        folder: a new folder for journal and logs.
        mend: finishes an interrupted package transaction, as for every run.
        ended: called with the state at the end ("done", "failed", "cancelled", "reboot"), from the
            run's own thread.

    Raises:
        RefusedError: the host isn't a simulated one.
        HostError: the folder can't be written.
    """

    def __init__(
        self,
        host: Host,
        plan: Plan,
        folder: Path,
        *,
        mend: Sequence[Command] = (),
        ended: Callable[[str], None] | None = None,
    ) -> None:
        if host.kind != "simulated":
            raise RefusedError(
                "the training works on simulated hosts only",
                meaning="Nothing was changed on this server.",
            )
        super().__init__(storage.private_folder(folder))
        self._journal = Journal(folder)
        self._ended_with = ended
        self.state = "running"
        self.seen: list[Event] = []
        """The events that ``take`` has read."""
        self._runner = Runner(
            host, plan, folder, self._journal, label=LABEL, mend=mend, backoff=(0.0,), grace=0.1
        )
        self._thread = threading.Thread(target=self._work, name="training-run", daemon=True)

    def start(self) -> PractiseRun:
        """Begin, in a thread; ``poll`` tells how it goes."""
        self._thread.start()
        return self

    def take(
        self,
        answers: Callable[[str, bool], str | None],
        told: Callable[[Event], None] = lambda event: None,
    ) -> str:
        """Take the steps and wait for the end; returns the state then.

        Args:
            answers: what to answer to a prompt: (its text, is it a secret?) -> answer; None: stop.
            told: gets each event of the journal.
        """
        self.start()
        while True:
            alive = self._thread.is_alive()
            for event in self.poll():
                self.seen.append(event)
                told(event)
                if event["event"] == "prompt":
                    answer = answers(str(event["text"]), bool(event["secret"]))
                    if answer is None:
                        self.cancel()
                    else:
                        self._runner.control({"answer": answer})
            if not alive:
                return self.state
            self._thread.join(_EVERY)

    def _work(self) -> None:
        try:
            self.state = self._runner.run()
        finally:
            self._journal.close()
        if self._ended_with is not None:
            self._ended_with(self.state)

    def alive(self) -> bool:
        """Is it still at work?"""
        return self._thread.is_alive()

    def answer(self, text: str) -> None:
        """Answer the prompt that is open.

        Raises:
            RefusedError: nothing is asked.
        """
        problem = self._runner.control({"answer": text})
        if problem:
            raise RefusedError(problem)

    def cancel(self) -> None:
        """Ask the run to stop at the next safe place; returns at once."""
        self._runner.cancel()
