"""Ways through the program that several scenarios go."""

from __future__ import annotations

import re
import time

import mokmanager
from machine import Machine
from person import BUILD_SECONDS, LOOK_SECONDS, MOK_PASSWORD, RUN_SECONDS, TOOL, Wizard
from verdicts import WISH, demand


def request(wizard: Wizard) -> None:
    """From the first look to the yes to the plan: questions, choice, proof, review."""
    wizard.press("n")
    wizard.see(r"2 QUESTIONS(?s:.*)What is this server for", "questions")
    wizard.press("2")
    wizard.see(r"another one, by name", "which-gpu")
    wizard.press("2")
    wizard.see(r"Which GPU\?", "gpu-by-name")
    wizard.press(*"H200", "enter")
    wizard.see(r"> H200", "gpu-named")
    wizard.press("4")
    wizard.see(r"3 +NVIDIA.s repository", "which-source")
    wizard.press("3")
    wizard.see(r"> NVIDIA.s repository", "source-named")
    wizard.press("n")
    wizard.see(r"3 CHOICE(?s:.*)580\.178\.04", "choice")
    wizard.press("n")
    wizard.see(r"4 PROOF(?s:.*)s starts it", "proof")
    wizard.press("s")
    wizard.see(r"Compiling the driver|No candidate could be proven", "proof-running")
    seen = wizard.see(r"Proven: 580\.178\.04|No candidate could be proven", "proven", BUILD_SECONDS)
    demand(seen.startswith("Proven"), wizard.console.text())
    wizard.press("n")
    wizard.see(r"5 REVIEW(?s:.*)\d+ steps", "review")
    wizard.press("a")
    wizard.see(r"Take these steps now\?", "confirm")
    wizard.press("2")


def run(wizard: Wizard) -> None:
    """Watch the run, answer its prompts, to the word that a reboot is needed."""
    end = time.monotonic() + RUN_SECONDS
    asked = 0
    while True:
        seen = wizard.console.wait(
            r"one-time password for the firmware|A reboot is needed|A step failed|The run broke off|"
            r"could not be started|All steps are done|What comes: the firmware asks",
            end - time.monotonic(),
        )
        if not seen.startswith("one-time"):
            break
        wizard.console.picture(f"asks-{asked}")
        asked += 1
        demand(asked < 5, "it asks for the password again and again")
        wizard.press(*MOK_PASSWORD, "enter", *MOK_PASSWORD)
        wizard.see(r"The two agree", "asks-agreed")
        wizard.press("enter")
        gone(wizard, r"one-time password for the firmware")
    wizard.console.picture("run-ended")
    demand(seen.startswith(("A reboot", "What comes")), f"the run ended: {seen}")
    wizard.see(r"\d +leave the wizard and reboot", "what-comes")


def gone(wizard: Wizard, pattern: str, seconds: float = 60) -> None:
    """Wait until something is no longer shown."""
    end = time.monotonic() + seconds * wizard.console.patience
    while re.search(pattern, wizard.console.text()):
        wizard.console.read(0.3)
        demand(time.monotonic() < end, f"still shown: {pattern}")


def waiting_run(wizard: Wizard) -> None:
    """After the reboot: the waiting run is offered, taken up, and ends with nothing left to do."""
    wizard.see(r"A run waits(?s:.*)\d +go on", "waits")
    wizard.choose("go on")
    wizard.console.wait(r"7 VERIFY", RUN_SECONDS)
    gone(wizard, r"Looking at the server again", LOOK_SECONDS)
    text = wizard.console.picture("verified")
    # No card is in the machine: that is the one thing that may be wrong with it.
    demand(not re.search(r"Root cause: (?!GPU on the bus)", text), text)
    wizard.leave()


def through_mokmanager(machine: Machine) -> None:
    """Through MokManager's screens, to the next login; the kernel knows the key."""
    mokmanager.enrol(machine.console, MOK_PASSWORD)
    machine.forget_connection()
    machine.wait_for_login()
    said = machine.run("mokutil --test-key /var/lib/dkms/mok.pub").output
    demand("is already enrolled" in said, f"after MokManager: {said}")


def apply_at_console(
    machine: Machine, words: str = f"{WISH} --yes", seconds: float = RUN_SECONDS
) -> str:
    """``sudo gpu-bringup apply`` typed at the serial console, its prompts answered; its status."""
    console = machine.console
    console.send(f'clear; sudo -k {TOOL} apply {words}; echo "status"=$?\r')
    end = time.monotonic() + seconds
    while True:
        # The stream, not the picture: a question that was answered still stands in that.
        seen = console.stream(
            r"password for admin1: |input password: |input password again: |status=\d+[\r\n]",
            end - time.monotonic(),
        )[0].decode()
        if seen.startswith("status="):
            console.picture("apply-ended")
            return seen.partition("=")[2].strip()
        if "admin1" in seen:
            console.send(machine.password + "\r")
        else:
            console.picture("apply-asks")
            time.sleep(1)
            console.send(MOK_PASSWORD + "\r")
