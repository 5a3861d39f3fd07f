"""The shapes of load: what is sent through a pair, and in which configuration of the pair."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from counters import Snapshot, SystemCalls, memory_mb, sync_ms
from servers import B, Failed, Sink, certificates, pair

FLOORS = ("floor", "floor-1000")
# Rows that A keeps after their acknowledgement, in the worlds past it.
RETAINED = 2000
SYNCS_COUNTED = 50
# Time in which a gateway commits what a thousand deliveries have left: while its queue is full, a submission waits.
SETTLED = 2


@dataclass
class World:
    """A configuration that shapes share, so that they run through one start of each pair."""

    name: str
    floor: bool = True
    setup: dict = field(default_factory=dict)


WORLDS = [
    World("plain"),
    World("tls", setup={"link": "tls"}),
    World("signed", floor=False, setup={"link": "signed"}),
    World("transactions", floor=False, setup={"dialect": "transactions"}),
    World("steady", floor=True, setup={"extra": {"peers.default": {"retain_items": RETAINED}}}),
    World("fan-out", floor=False, setup={"peers": 1000, "alone": True, "extra": {"contexts": {"participants_max": 2000}}}),
]


@dataclass
class Shape:
    """One row of the table: a load in a world."""

    name: str
    group: str
    world: str
    per_request: int = 1
    contexts: int = 0
    latency: bool = False
    fan: int = 0

    def count(self, options):
        """Messages of one run. A message in a context costs about twice an update."""
        if self.latency:
            return options.rate * options.seconds
        if self.fan:
            return max(options.deliveries // self.fan, 20)
        many = options.messages_50 if self.per_request > 1 else options.messages_1
        return many // 2 if self.contexts else many

    def arguments(self, options):
        arguments = ["--per-request", str(self.per_request)]
        if self.contexts:
            arguments += ["--contexts", str(self.contexts), "--context-prefix", f"bench{self.fan or ''}"]
            # Below contexts.intake_max: a refusal makes the client wait a second, which says nothing about the cost.
            arguments += ["--connections", str(min(options.connections, 48))]
        if self.latency:
            arguments += ["--latency-rate", str(options.rate)]
        return arguments


SHAPES = [
    Shape("updates, 1 a request", "updates", "plain"),
    Shape("updates, 50 a request", "updates", "plain", 50),
    Shape("updates, at a fixed rate", "latency", "plain", latency=True),
    Shape("messages, 1 a request", "messages", "plain", 1, contexts=1),
    Shape("messages, 50 a request", "messages", "plain", 50, contexts=1),
    Shape("messages, at a fixed rate", "latency", "plain", contexts=1, latency=True),
    Shape("updates, 1 a request, TLS", "tls", "tls"),
    Shape("updates, 50 a request, TLS", "tls", "tls", 50),
    Shape("updates, at a fixed rate, TLS", "latency", "tls", latency=True),
    Shape("messages, 1 a request, TLS", "tls", "tls", 1, contexts=1),
    Shape("messages, 50 a request, TLS", "tls", "tls", 50, contexts=1),
    Shape("updates, 1 a request, signed", "signed", "signed"),
    Shape("updates, 50 a request, signed", "signed", "signed", 50),
    Shape("messages, 50 a request, signed", "signed", "signed", 50, contexts=1),
    Shape("messages, 1 a request, transactions", "transactions", "transactions", 1, contexts=1),
    Shape("messages, 50 a request, transactions", "transactions", "transactions", 50, contexts=1),
    Shape("updates, 1 a request, steady state", "steady", "steady"),
    Shape("updates, 50 a request, steady state", "steady", "steady", 50),
    Shape("updates to 2 peers", "fanout", "fan-out", fan=2),
    Shape("updates to 100 peers", "fanout", "fan-out", fan=100),
    Shape("updates to 1,000 peers", "fanout", "fan-out", fan=1000),
    Shape("messages to 2 peers", "fanout", "fan-out", contexts=1, fan=2),
    Shape("messages to 100 peers", "fanout", "fan-out", contexts=1, fan=100),
    Shape("messages to 1,000 peers", "fanout", "fan-out", contexts=1, fan=1000),
]
# The memory of a pair and its syncs are measured in the plain world.
GROUPS = ["updates", "messages", "transactions", "tls", "signed", "latency", "fanout", "steady", "memory", "syncs"]


class Bench:
    """Runs the chosen shapes in rounds, in which the kinds take turns."""

    def __init__(self, options, results, folder):
        self.options, self.results, self.folder = options, results, Path(folder)
        self.pair = self.sink = None

    def close(self):
        for server in (self.pair, self.sink):
            if server:
                server.stop()
        self.pair = self.sink = None

    def run(self):
        for number in range(1, self.options.rounds + 1):
            for world in WORLDS:
                chosen = [shape for shape in SHAPES if shape.world == world.name and self.options.wants(shape.group)]
                extras = world.name == "plain" and self.options.wants("memory", "syncs")
                kinds = [kind for kind in self.options.kinds() if world.floor or kind not in FLOORS]
                # Every other round in the other order: a machine that becomes slower favours nobody.
                for kind in (kinds if number % 2 else reversed(kinds)) if chosen or extras else []:
                    print(f"round {number} of {self.options.rounds}: {world.name}: {kind}", file=sys.stderr)
                    self.turn(number, world, kind, chosen)

    def turn(self, number, world, kind, chosen):
        """One kind in one world, on fresh data."""
        folder = self.folder / f"{number}-{world.name}-{kind}"
        setup = dict(world.setup)
        if setup.get("link", "plain") != "plain":
            setup["tls"] = self.tls()
        if setup.get("peers"):
            self.sink = Sink(self.options, self.folder)
            setup["sink"] = self.sink.address
        # Kept before it starts, so that a start that fails leaves no process.
        self.pair = pair(self.options, kind, folder)
        self.pair.start(**setup)
        time.sleep(1)
        if world.name == "plain" and self.options.wants("memory"):
            self.note_memory("memory, idle")
        self.warm_up(setup)
        for shape in chosen:
            if shape.contexts and kind in FLOORS:
                continue
            self.measure(number, shape)
        if world.name == "plain" and self.options.wants("memory"):
            self.drive(self.options.messages_50, ["--per-request", "50"])
            self.note_memory("memory, loaded")
        if world.name == "plain" and number == 1 and self.options.wants("syncs"):
            self.count_syncs()
        self.close()
        shutil.rmtree(folder, ignore_errors=True)

    def tls(self):
        folder = self.folder / "tls"
        return folder if folder.exists() else certificates(folder)

    def warm_up(self, setup):
        """Opens the links and loads the code."""
        if self.sink:
            self.drive(1, ["--sink", f"http://{self.sink.address}", "--peers", "1000", "--fan", "1000"])
            time.sleep(SETTLED)
        elif setup.get("dialect") != "transactions":
            self.drive(500, [])

    def measure(self, number, shape):
        """Runs a shape and notes its figures a message, or a delivery of a fan-out."""
        options, count = self.options, shape.count(self.options)
        arguments = shape.arguments(options)
        if shape.fan:
            arguments += ["--sink", f"http://{self.sink.address}", "--peers", str(shape.fan), "--fan", str(shape.fan)]
        if shape.contexts:
            self.drive(1, [*arguments, "--do", "create"])
            self.drive(20, arguments)
            time.sleep(SETTLED if shape.fan else 0)
        if shape.world == "steady" and self.pair.kind not in FLOORS:
            self.pass_bounds(count)
        if shape.latency:
            self.results.note(shape.name, "fdatasync p50 ms", self.pair.kind, sync_ms(self.pair.folder))
        before = Snapshot(self.pair)
        line = self.drive(count, arguments)
        time.sleep(0.3)  # removals after the last message belong to the run
        figures = Snapshot.after(self.pair).since(before, count * (shape.fan or 1))
        for key in NAMES:
            if line[key] and not (shape.latency and key == "msgs_per_s"):
                figures[NAMES[key]] = line[key]
        if number == 1 and not shape.latency:
            fewer = max(count // 5, 20)
            calls = SystemCalls(self.pair, self.pair.folder, everything=True)
            self.drive(fewer, arguments)
            time.sleep(0.3)
            figures |= calls.close(fewer * (shape.fan or 1))
        for name, value in figures.items():
            self.results.note(shape.name, name, self.pair.kind, value)

    def pass_bounds(self, count):
        """Fills the outbox past its bound, and the feed with events that the next start removes: the gateway trims the feed
        when it starts and every ten minutes, so the removal of as many events as the run adds falls into the run."""
        filled = max(count, 2 * RETAINED)
        self.drive(filled, ["--per-request", "50", "--ack", "call"])
        setup = dict(self.pair.world)
        setup["extra"] = {**setup["extra"], "feed": {"retain": "1s"}, "messenger": {"submissions_keep": "1s"}}
        time.sleep(1.5)
        self.pair.restart(**setup)

    def note_memory(self, name):
        for side, pid in self.pair.pids.items():
            self.results.note(name, f"PSS MB, {side.upper()}", self.pair.kind, memory_mb(pid))
            # Pages of the program are shared by the two sides, and by nobody where a side runs alone.
            self.results.note(name, f"PSS MB without the program, {side.upper()}", self.pair.kind, memory_mb(pid, "Pss_Anon"))

    def count_syncs(self):
        """Sends messages one after the other, each with commits of its own on both sides."""
        calls = SystemCalls(self.pair, self.pair.folder, everything=False)
        self.drive(SYNCS_COUNTED, ["--connections", "1", "--latency-rate", "20"])
        time.sleep(0.5)
        for name, value in calls.close(SYNCS_COUNTED).items():
            self.results.note("updates, one by one", name, self.pair.kind, value)

    def drive(self, count, arguments):
        return drive(self.options, self.pair, count, arguments)


NAMES = {
    "msgs_per_s": "messages/s", "ack_p50_ms": "ack p50 ms", "ack_p99_ms": "ack p99 ms", "way_p50_ms": "end to end p50 ms",
    "way_p99_ms": "end to end p99 ms", "refused": "requests told to wait",
}


def drive(options, target, count, arguments, size=None):
    """Runs the load driver once and returns its figures. `arguments` replace the usual ones, because the driver takes the first of two."""
    given = list(arguments)
    command = [options.load, "--submit", target.submit, "--messages", str(count), "--size", str(size or options.size)]
    if "--connections" not in given:
        command += ["--connections", str(options.connections)]
    if "--ack" not in given:
        command += ["--ack", options.ack]
    if "--deadline" not in given:
        command += ["--deadline", str(options.deadline)]
    if "--sink" not in given:
        command += ["--events", target.events]
        if "--to" not in given:
            command += ["--to", B]
    run = subprocess.run([*command, *given], stdout=subprocess.PIPE, text=True, stderr=None if sys.stderr.isatty() else subprocess.PIPE)
    if run.returncode:
        raise Failed(f"{target.kind}: the run '{' '.join(given)}' failed: {run.stderr or ''}{target.log_end()}")
    return json.loads(run.stdout)
