"""What the operator does at the serial console: log in, type commands, answer the wizard."""

from __future__ import annotations

import re
import time

from console import Console, Missed

USER = "admin1"
PROMPT = r"^(admin1|root)@rig:[^$#\n]*[$#] *$"
TOOL = "/opt/gpu-bringup/scripts/gpu-bringup"
MOK_PASSWORD = "rigonce1"
"""Typed at the request and again in MokManager; letters that lie alike on all keyboards."""
LOOK_SECONDS = 300
BUILD_SECONDS = 1800
RUN_SECONDS = 3600


def log_in(console: Console, password: str) -> None:
    """From "login:" (or a shell that is there already) to a shell of the user."""
    console.send("\r")
    seen = console.wait(rf"login: *$|{PROMPT}", 120)
    if "login" in seen:
        console.send(USER + "\r")
        console.wait(r"Password: *$", 120)
        console.send(password + "\r")
        console.wait(PROMPT, 180)
    # A serial line has no size of its own. Kernel messages would be written across the pictures.
    say(console, "stty rows 24 columns 80")
    say(console, "bind 'set enable-bracketed-paste off'")


def say(console: Console, command: str, seconds: float = 120) -> str:
    """A command at the prompt; returns the picture when the next prompt is there."""
    console.send("clear\r")
    console.wait(PROMPT, 60)
    console.send(command + "\r")
    time.sleep(0.1)
    console.wait(rf"\A[^\n]+\n(?s:.*){PROMPT}", seconds)
    return console.text()


def reboot(console: Console, password: str) -> None:
    """Order a reboot at the prompt."""
    console.send("clear; sudo -k systemctl reboot\r")
    console.wait(rf"password for {USER}", 60)
    console.send(password + "\r")


class Wizard:
    """The wizard on the serial console, driven by what it shows.

    Args:
        console: the serial console with a shell.
        password: the user's own, for sudo.
    """

    def __init__(self, console: Console, password: str) -> None:
        self.console = console
        self._password = password

    def start(self, command: str = f"sudo {TOOL}", *, first: str = r"\bQuit\b") -> None:
        """Start it and wait for its first picture, told by these words."""
        self.console.send(f"clear; {command}\r")
        if "sudo" in command:
            seen = self.console.wait(rf"password for {USER}|{first}", LOOK_SECONDS)
            if "password" in seen:
                self.console.send(self._password + "\r")
        self.console.wait(first, LOOK_SECONDS)

    def see(self, pattern: str, name: str, seconds: float = LOOK_SECONDS) -> str:
        """Wait for a picture and keep it."""
        seen = self.console.wait(pattern, seconds)
        self.console.picture(name)
        return seen

    def press(self, *keys: str) -> None:
        """Keys, one after the other."""
        self.console.press(*keys)

    def choose(self, words: str) -> None:
        """The numbered way with these words."""
        found = re.search(rf"(\d) +{words}", self.console.text())
        if found is None:
            raise Missed(f"no such way: {words}\n{self.console.text()}")
        self.press(found[1])

    def leave(self) -> None:
        """q, back to the shell."""
        self.press("q")
        self.back_in_shell()

    def back_in_shell(self) -> None:
        """The wizard has ended: its picture goes, the prompt stays."""
        # The picture is left standing by terminals that have no second screen, as pyte's.
        self.console.wait(rf"{USER}@rig:\S*[$#]", 180, still=False)
        self.console.send("clear\r")
        self.console.wait(rf"\A{USER}@rig", 60)
