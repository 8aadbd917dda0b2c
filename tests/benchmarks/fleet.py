"""``recommend`` for a fleet of host records in one process: ``PYTHONPATH=tui python fleet.py [COUNT]``.

Records are made by changing real ones in words: other boards, systems and kernels. Prints one JSON
object; its times are seconds of this process's processor time, from the bytes of each record to the
answer as plain objects, and of what is looked at only what a choice rests on.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gpu_bringup import engine
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.recommend import LOOKS_AT, recommend

TOP = Path(__file__).resolve().parents[2]
RECORDS = ("h200-x1.json", "h200-x2.json")
DEVICES = ("1db4", "1eb8", "20b2", "20b5", "2236", "2330", "2331", "2335", "26b9", "2901", "3182")
SYSTEMS = {
    "debian": (("13", "6.12.{}+deb13-amd64"), ("12", "6.1.0-{}-amd64")),
    "ubuntu": (("24.04", "6.8.0-{}-generic"), ("22.04", "5.15.0-{}-generic")),
    "rhel": (("9.8", "5.14.0-{}.el9.x86_64"), ("10.2", "6.12.0-{}.el10.x86_64")),
}
SCENARIOS = ("long-term-stable", "new-hardware", "kubernetes", "compliance")


def records(count: int) -> Iterator[bytes]:
    """That many varied records; the same each time."""
    chance = random.Random(3)
    texts = [(TOP / "tests/hosts" / name).read_text() for name in RECORDS]
    for _ in range(count):
        text = chance.choice(texts)
        running = json.loads(text)["commands"]["uname -r"]["output"].strip()
        system = chance.choice(tuple(SYSTEMS))
        version, kernel = chance.choice(SYSTEMS[system])
        text = text.replace("0x2335", f"0x{chance.choice(DEVICES)}")
        text = text.replace(running, kernel.format(chance.randrange(20, 120)))
        text = re.sub(r"\\nID=\w+", f"\\\\nID={system}", text)
        text = re.sub(r'VERSION_ID=\\"[\d.]+\\"', f'VERSION_ID=\\\\"{version}\\\\"', text)
        yield text.encode()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    catalogue = engine.load_catalogue()
    reading = looking = choosing = 0.0
    answers = 0
    different = set()
    for number, data in enumerate(records(count)):
        wish = Answers(scenario=SCENARIOS[number % len(SCENARIOS)])
        begin = time.process_time()
        host = RecordedHost.from_bytes(data, f"{number}.json")
        read = time.process_time()
        facts = engine.observe(host, only=LOOKS_AT)
        looked = time.process_time()
        result = recommend(facts, wish, catalogue)
        plain = result.to_json()
        choosing += time.process_time() - looked
        looking += looked - read
        reading += read - begin
        answers += result.status == "recommended"
        different.add(hash(json.dumps(plain)))
    print(
        json.dumps(
            {
                "records": count,
                "recommended": answers,
                "different": len(different),
                "reading": round(reading, 2),
                "looking": round(looking, 2),
                "choosing": round(choosing, 2),
                "whole": round(reading + looking + choosing, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
