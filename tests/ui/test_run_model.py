"""What a journal's events come to, for the screen."""

from __future__ import annotations

from typing import Any

from gpu_bringup.model.plan import Command, Plan, Step
from gpu_bringup.ui import waiting_text
from gpu_bringup.ui.outcome_text import meaning, title, ways
from gpu_bringup.ui.run_model import RunModel
from gpu_bringup.ui.widgets.run_steps import explanation, steps_text

PLAN = Plan(
    target={},
    steps=(
        Step("one", "headers", "First", "why one", (Command(("true",)),), estimate_seconds=10),
        Step("two", "module", "Second", "why two", (Command(("false",)),), estimate_seconds=30),
    ),
)


def model(*events: dict[str, Any]) -> RunModel:
    result = RunModel()
    result.take({"event": "run-started", "plan": PLAN.to_json(), "label": "here"})
    for event in events:
        result.take(event)
    return result


def started(step: str, second: int) -> dict[str, Any]:
    stamp = f"2026-11-22T10:00:{second:02d}.000Z"
    return {"event": "step-started", "step": step, "title": step, "time": stamp}


def ended(step: str, state: str, second: int) -> dict[str, Any]:
    stamp = f"2026-11-22T10:00:{second:02d}.000Z"
    return {"event": "step-ended", "step": step, "state": state, "time": stamp}


def test_steps_have_states_and_times() -> None:
    run = model(started("one", 0), ended("one", "done", 7), started("two", 7))
    now = run.steps[1].started + 5
    assert [step.state for step in run.steps] == ["done", "running"]
    assert run.steps[0].seconds(now) == 7 and run.steps[1].seconds(now) == 5
    assert run.position == 2 and run.step is not None and run.step.why == "why two"
    text = steps_text(run, now).plain
    assert "done 0:07" in text and "running 0:05" in text
    assert "why two" in explanation(run).plain


def test_progress_is_weighed_by_the_estimates() -> None:
    run = model(started("one", 0), ended("one", "done", 1), started("two", 1))
    run.take({"event": "progress", "fraction": 0.5, "text": "x", "remaining_seconds": 12})
    assert run.overall() == (10 + 15) / 40
    assert run.remaining_seconds(run.steps[1].started + 3) == 12


def test_a_prompt_opens_and_closes() -> None:
    run = model(started("one", 0))
    run.take({"event": "prompt", "text": "password:", "secret": True})
    assert run.prompt == ("password:", True)
    run.take({"event": "prompt-closed", "answered": True})
    assert run.prompt is None


def test_a_failed_run_that_is_resumed_is_running_again() -> None:
    run = model(
        started("one", 0),
        ended("one", "done", 1),
        started("two", 1),
        ended("two", "failed", 2),
        {"event": "run-ended", "state": "failed", "message": "it broke"},
    )
    assert run.ended is not None and "Second" in meaning("failed", run)
    assert [way.id for way in ways("failed", False, True)] == [
        "resume", "log", "undo", "check", "stop",
    ]  # fmt: skip
    run.take({"event": "resumed", "done": ["one"]})
    assert run.ended is None
    assert [step.state for step in run.steps] == ["done", ""]


def test_a_run_whose_process_is_gone_says_so() -> None:
    run = model(started("one", 0), {"event": "run-lost", "text": "gone"})
    assert run.ended is not None and run.ended["state"] == "lost"
    assert title("lost", False) == "The run broke off."
    assert "0 of 2 steps" in meaning("lost", run)


def test_a_reboot_says_what_to_type_and_what_comes_after() -> None:
    run = model(started("one", 0), ended("one", "done", 1))
    text = meaning("reboot", run)
    assert "sudo reboot" in text and "1 of 2" in text


def test_the_reboot_is_done_when_the_server_was_rebooted() -> None:
    run = model(started("one", 0), ended("one", "done", 1), started("two", 2))
    run.take(ended("two", "done", 3))
    assert run.counted() == "2 of 2 steps are done."
    run.take({"event": "reboot-needed", "step": "two"})
    assert run.counted() == "1 of 2 steps are done; the reboot is next."
    assert "the reboot is next" in meaning("reboot", run)
    run.take({"event": "resumed", "done": ["one", "two"]})
    assert run.counted() == "2 of 2 steps are done."


def test_events_of_a_later_version_are_left_alone() -> None:
    run = model({"event": "something-new", "step": "one"}, {"event": ""}, {})
    assert run.current is None and run.position == 0


def test_a_run_whose_steps_are_all_done_before_the_reboot_has_nothing_left_to_take() -> None:
    run = model(started("one", 0), ended("one", "done", 7))
    assert (
        "the steps that are left can be taken" in waiting_text.told("reboot", run, "x", True).plain
    )
    assert waiting_text.ways("reboot", run, rebooted=True, watched_by=None)[0].label == (
        "go on: 1 step is left"
    )
    for event in (started("two", 8), ended("two", "done", 9)):
        run.take(event)
    text = waiting_text.told("reboot", run, "x", True).plain
    assert "steps that are left" not in text and "Every step is done" in text
    assert waiting_text.ways("reboot", run, rebooted=True, watched_by=None)[0].label == (
        "go on: look at the server again, nothing is left to do"
    )
