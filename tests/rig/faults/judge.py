"""Reads what the wizard printed, for faults.sh: runs in the rig's file system, with its own Python.

judge.py cause CHECK.json              the root cause and its rung
judge.py named CHECK.json CAUSE        exit status 0 when CAUSE is the root cause
judge.py rest CHECK.json               rungs that are neither ok nor skipped, one a line
judge.py steps PLAN.json               the ids of the steps, one a line
"""

import json
import sys
from pathlib import Path
from typing import Any


def load(path: str) -> dict[str, Any]:
    return dict(json.loads(Path(path).read_text(encoding="utf-8")))


def main(words: list[str]) -> int:
    what, document = words[0], load(words[1])
    root = document.get("root_cause")
    if what == "cause":
        print(f"{root['cause']} ({root['rung']})" if root else document.get("verdict", "?"))
        return 0
    if what == "named":
        return int(root is None or root["cause"] != words[2])
    if what == "rest":
        for rung in document["rungs"]:
            if rung["state"] not in ("ok", "skipped"):
                print(f"{rung['id']} {rung['state']}: {rung['summary']}")
        return 0
    if what == "steps":
        for step in document["steps"]:
            print(step["id"])
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
