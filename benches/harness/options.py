"""The options of a benchmark: arguments, and variables for what is rarely changed."""

import argparse
import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def number(name, default):
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) == 0:
        raise SystemExit(f"bench: {name} must be a number above 0, not '{text}'")
    return int(text)


@dataclass
class Options:
    """What is measured, with which programs, and how much of it."""

    rounds: int
    only: list
    scale: bool
    record: bool
    fernpost: str
    fernpost_b: str
    floor: str
    load: str
    commit: str
    command: str
    messages_1: int = field(default_factory=lambda: number("MESSAGES_1", 20_000))
    messages_50: int = field(default_factory=lambda: number("MESSAGES_50", 100_000))
    deliveries: int = field(default_factory=lambda: number("DELIVERIES", 50_000))
    rate: int = field(default_factory=lambda: number("RATE", 100))
    seconds: int = field(default_factory=lambda: number("SECONDS_LATENCY", 5))
    connections: int = field(default_factory=lambda: number("CONNECTIONS", 64))
    size: int = field(default_factory=lambda: number("SIZE", 600))
    port: int = field(default_factory=lambda: number("PORT", 18700))
    deadline: int = field(default_factory=lambda: number("DEADLINE", 300))
    backlog: int = field(default_factory=lambda: number("BACKLOG", 1_000_000))
    backlog_size: int = field(default_factory=lambda: number("BACKLOG_SIZE", 600))
    largest: int = field(default_factory=lambda: number("LARGEST", 200_000))
    store: int = field(default_factory=lambda: number("STORE", 1000))
    # The way in which the reader of the feed acknowledges: with the next read, or by a call of its own.
    ack: str = os.environ.get("ACK", "read")
    folder: str = os.environ.get("BENCH_DIR") or os.environ.get("TMPDIR") or "/tmp"

    def kinds(self):
        """The columns of the table, in the order of their turns."""
        return ["floor", "floor-1000", *self.gateways()]

    def gateways(self):
        return ["fernpost", "fernpost-b"] if self.fernpost_b else ["fernpost"]

    def binary(self, kind):
        return {"fernpost": self.fernpost, "fernpost-b": self.fernpost_b}.get(kind, self.floor)

    def wants(self, *names):
        """Whether one of these names was chosen; all are without a choice."""
        return not self.only or any(chosen in names for chosen in self.only)


def read(names, scale_names):
    """Reads the command line; `names` are those that --only accepts, with --scale `scale_names`."""
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", allow_abbrev=False)
    parser.add_argument("rounds", nargs="?", type=int, help="rounds of all turns (3; with --scale 1)")
    choices = f"names, with commas: {', '.join(names)}; with --scale {', '.join(scale_names)}"
    parser.add_argument("--only", default="", help=choices)
    parser.add_argument("--scale", action="store_true", help="measure cost against size")
    recording = "add the figures to benches/history.jsonl, benches/RESULTS.md and the plots"
    parser.add_argument("--record", action="store_true", help=recording)
    given = parser.parse_args()
    only = [name for name in given.only.split(",") if name]
    known = scale_names if given.scale else names
    for name in only:
        if name not in known:
            parser.error(f"--only {name}: choose of {', '.join(known)}")
    rounds = given.rounds if given.rounds is not None else (1 if given.scale else 3)
    if rounds < 1:
        parser.error("rounds must be a number above 0")
    programs = {}
    for variable in ("FERNPOST_BIN", "FLOOR_BIN", "LOAD_BIN", "FERNPOST_BIN_B"):
        programs[variable] = os.environ.get(variable, "")
        if programs[variable] and not os.access(programs[variable], os.X_OK):
            parser.error(f"no program at {programs[variable]} ({variable})")
    settings = [f"{name}={os.environ[name]}" for name in SHOWN if os.environ.get(name)]
    return Options(
        rounds=rounds, only=only, scale=given.scale, record=given.record, fernpost=programs["FERNPOST_BIN"],
        fernpost_b=programs["FERNPOST_BIN_B"], floor=programs["FLOOR_BIN"], load=programs["LOAD_BIN"],
        commit=os.environ.get("BENCH_COMMIT", "unknown"),
        command=" ".join([*settings, "scripts/bench.sh", *map(shlex.quote, sys.argv[1:])]),
    )


# Variables that change the figures, shown with the command.
SHOWN = [
    "MESSAGES_1", "MESSAGES_50", "DELIVERIES", "RATE", "SECONDS_LATENCY", "CONNECTIONS", "SIZE", "BACKLOG", "BACKLOG_SIZE",
    "LARGEST", "STORE", "ACK", "FERNPOST_BIN", "FERNPOST_BIN_B",
]
