"""Reads what the wizard printed, for faults.sh: runs in the rig's file system, with its own Python.

judge.py cause CHECK.json              the root cause and its rung
judge.py named CHECK.json CAUSE [RUNG] exit status 0 when CAUSE is among the root cause's causes
judge.py rest CHECK.json               rungs that are neither ok nor skipped, one a line
judge.py steps PLAN.json               the ids of the steps, one a line
"""

import json
import sys


def load(path: str) -> dict:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main(words: list[str]) -> int:
    what, document = words[0], load(words[1])
    root = document.get("root_cause")
    if what == "cause":
        print(f"{root['cause']} ({root['rung']})" if root else document.get("verdict", "?"))
        return 0
    if what == "named":
        if root is None or (len(words) > 3 and root["rung"] != words[3]):
            return 1
        return int(root["cause"] != words[2])
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
