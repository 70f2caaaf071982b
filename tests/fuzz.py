"""Call every public door with drawn arguments, for long: `python tests/fuzz.py --calls 20000`.

Prints how many calls were accepted and refused, and every call that came out otherwise: an error of another's
(torch's, numpy's), a NaN that nobody announced, a call that did not end. Exit code 1 where there is one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import random
import resource
import sys
import tempfile
import time

from fuzz_doors import Outcome, called, doors, reason

_MOST_MEMORY = 14 * 2**30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this long")
    parser.add_argument("--only", default="", help="doors whose name holds this")
    parser.add_argument("--shown", type=int, default=2, help="calls shown of each place")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # paths to write to are drawn
        return run(chosen)


def run(chosen: argparse.Namespace) -> int:
    """Call the doors and print what came out; 1 where something else than a value or our sentence did."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    least = _MOST_MEMORY if most == resource.RLIM_INFINITY else min(most, _MOST_MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (least, most))  # a call that wants more is a fault
    found = [door for name, door in sorted(doors().items()) if chosen.only in name and reason(name) is None]
    counts: collections.Counter[str] = collections.Counter()
    faults: dict[str, list[tuple[str, Outcome]]] = collections.defaultdict(list)
    accepted: collections.Counter[str] = collections.Counter()
    start = time.monotonic()
    for call in range(chosen.calls):
        if time.monotonic() - start > chosen.seconds:
            break
        door = found[call % len(found)]
        outcome = called(door, random.Random(f"{chosen.seed} {call // len(found)} {door.name}"))
        counts[outcome.fate] += 1
        accepted[door.name] += outcome.fate == "accepted"
        if outcome.fate not in ("accepted", "refused"):
            at = outcome.told.split(": ")[0] if outcome.fate == "other" else door.name
            faults[f"{outcome.fate} {at}"].append((door.name, outcome))
    for where, cases in sorted(faults.items(), key=lambda item: -len(item[1])):
        print(f"\n{where}  ({len(cases)} calls)")
        for name, outcome in cases[: chosen.shown]:
            print(f"    {name}: {outcome.told[:160]}\n        {outcome.given[:400]}")
    never = [door.name for door in found if not accepted[door.name]]
    print(f"\n{len(found)} doors, {dict(counts)}\nnever accepted: {', '.join(never) or 'none'}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
