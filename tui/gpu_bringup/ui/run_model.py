"""What a run's journal says so far, for the screen: takes events, knows no widget. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from gpu_bringup.i18n import tr
from gpu_bringup.model.plan import Plan, Step
from gpu_bringup.run.progress import overall


def _seconds(stamp: object) -> float:
    """Seconds since 1970 of a journal's time; 0 where it is none."""
    try:
        return datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


@dataclass
class StepRun:
    """How one step stands."""

    id: str
    title: str
    state: str = ""
    """ "", "running", "done", "failed", "cancelled", "reboot"."""
    started: float = 0.0
    ended: float = 0.0

    def seconds(self, now: float) -> float:
        """How long it ran or has been running; ``now`` in seconds since 1970."""
        if not self.started:
            return 0.0
        return max(0.0, (self.ended or now) - self.started)


@dataclass
class RunModel:
    """A run as its events tell; ``take`` each in order."""

    plan: Plan | None = None
    label: str = ""
    steps: list[StepRun] = field(default_factory=list)
    argv: tuple[str, ...] = ()
    log: str = ""
    fraction: float | None = None
    text: str = ""
    remaining: float | None = None
    prompt: tuple[str, bool] | None = None
    """(what is asked, is it a secret)."""
    notice: str = ""
    """What it waits for, or why something is tried again."""
    stopping: bool = False
    ended: dict[str, Any] | None = None
    """The event run-ended or run-lost."""

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one journal event; what isn't known here is left alone."""
        handler = getattr(self, "_on_" + str(event.get("event", "")).replace("-", "_"), None)
        if handler is not None:
            handler(event)

    @property
    def current(self) -> StepRun | None:
        """The running step, or the last that ran."""
        running = next((step for step in self.steps if step.state == "running"), None)
        if running is not None:
            return running
        return next((step for step in reversed(self.steps) if step.state), None)

    @property
    def step(self) -> Step | None:
        """The plan's entry for the current step."""
        current = self.current
        if current is None or self.plan is None:
            return None
        return next((step for step in self.plan.steps if step.id == current.id), None)

    @property
    def position(self) -> int:
        """Number of the current step, from 1; 0: none has begun."""
        current = self.current
        return self.steps.index(current) + 1 if current is not None else 0

    @property
    def at_reboot(self) -> bool:
        """Is the step under way the one that asks for the reboot? It does nothing itself."""
        return self.step is not None and self.step.reboot

    @property
    def done(self) -> frozenset[str]:
        return frozenset(step.id for step in self.steps if step.state == "done")

    def rebooted(self) -> None:
        """The server was rebooted since: that step is done."""
        for step in self.steps:
            if step.state == "reboot":
                step.state = "done"

    def counted(self) -> str:
        """ "11 of 12 steps are done; the reboot is next." in the operator's language."""
        told = (
            tr("{done} of {count} steps are done; the reboot is next.")
            if any(step.state == "reboot" for step in self.steps)
            else tr("{done} of {count} steps are done.")
        )
        return told.format(done=len(self.done), count=len(self.steps))

    def overall(self) -> float | None:
        """How far the whole run is, 0 to 1, its steps weighed by their estimates."""
        if self.plan is None:
            return None
        current = self.current
        running = current.id if current is not None and current.state == "running" else ""
        return overall(self.plan, self.done, running, self.fraction)

    def remaining_seconds(self, now: float) -> float | None:
        """Seconds left by the estimates; the running step's own reckoning where it has one."""
        if self.plan is None or self.ended is not None:
            return None
        current = self.current
        left = 0.0
        for step, run in zip(self.plan.steps, self.steps, strict=False):
            if run.state == "":
                left += step.estimate_seconds
            elif run is current and run.state == "running":
                estimate = step.estimate_seconds - run.seconds(now)
                left += self.remaining if self.remaining is not None else max(5.0, estimate)
        return left

    def _find(self, step_id: object) -> StepRun | None:
        return next((step for step in self.steps if step.id == step_id), None)

    def _on_run_started(self, event: Mapping[str, Any]) -> None:
        self.label = str(event.get("label", ""))
        self.plan = Plan.from_json(event["plan"])
        self.steps = [StepRun(step.id, step.title) for step in self.plan.steps]

    def _on_resumed(self, event: Mapping[str, Any]) -> None:
        self.ended = None
        self.stopping = False
        self.prompt = None
        self.rebooted()
        for step in self.steps:
            if step.state != "done":
                step.state, step.started, step.ended = "", 0.0, 0.0

    def _on_step_started(self, event: Mapping[str, Any]) -> None:
        step = self._find(event.get("step"))
        if step is None:
            # Mending an interrupted package transaction is no step of the plan.
            step = StepRun(str(event.get("step", "")), str(event.get("title", "")))
            self.steps.insert(0, step)
        step.state, step.started, step.ended = "running", _seconds(event.get("time")), 0.0
        self._reset()

    def _on_reboot_needed(self, event: Mapping[str, Any]) -> None:
        # Its commands ran; what it is for still stands out.
        step = self._find(event.get("step"))
        if step is not None:
            step.state = "reboot"

    def _reset(self) -> None:
        self.fraction, self.text, self.remaining, self.notice = None, "", None, ""

    def _on_command_started(self, event: Mapping[str, Any]) -> None:
        self.argv = tuple(str(part) for part in event.get("argv", ()))
        self.log = str(event.get("log", ""))
        self.prompt = None
        self._reset()

    def _on_progress(self, event: Mapping[str, Any]) -> None:
        self.fraction = event.get("fraction")
        self.text = str(event.get("text") or "")
        self.remaining = event.get("remaining_seconds")
        self.notice = ""

    def _on_prompt(self, event: Mapping[str, Any]) -> None:
        self.prompt = (str(event.get("text", "")), bool(event.get("secret")))

    def _on_prompt_closed(self, event: Mapping[str, Any]) -> None:
        self.prompt = None

    def _on_waiting(self, event: Mapping[str, Any]) -> None:
        self.notice = str(event.get("reason", ""))

    _on_retry = _on_waiting

    def _on_cancel_requested(self, event: Mapping[str, Any]) -> None:
        self.stopping = True
        self.notice = str(event.get("text", ""))

    def _on_command_ended(self, event: Mapping[str, Any]) -> None:
        self.prompt = None
        self.text, self.remaining = "", None

    def _on_step_ended(self, event: Mapping[str, Any]) -> None:
        step = self._find(event.get("step"))
        if step is not None:
            step.state = str(event.get("state", ""))
            step.ended = _seconds(event.get("time"))
        self.fraction = None

    def _on_run_ended(self, event: Mapping[str, Any]) -> None:
        self.ended = dict(event)
        self.prompt = None
        self.notice = ""

    def _on_run_lost(self, event: Mapping[str, Any]) -> None:
        self._on_run_ended({**event, "state": "lost", "message": event.get("text", "")})


def now_seconds() -> float:
    """The time as the journal counts it."""
    return datetime.now(timezone.utc).timestamp()
