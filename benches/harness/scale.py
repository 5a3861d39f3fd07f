"""Cost against size: peers, history of a context, contexts at once, a store, and a backlog with a restart."""

import os
import sys
import time
from pathlib import Path

from counters import Snapshot, cpu_us, memory_mb, store
from servers import Sink, pair
from shapes import drive

# Each part has sizes; LARGEST, BACKLOG and STORE bound them.
PARTS = ["peers", "history", "contexts", "backlog", "store", "through"]
PEERS = [10, 1000, 10_000]
HISTORY = [200, 2000, 20_000, 200_000]
CONTEXTS = [10, 100, 1000, 10_000]
# Megabytes of a store, made of items of this many bytes for a peer that is down.
STORE = [0, 100, 1000, 10_000]
STORE_ITEM = 2000
DOWN = "down.example"
FAN = 10
MEASURED = 1000
# After the first deliveries to everybody, until what they left to do (checkpoints, memory that is given back) is done.
SETTLED = 10
# Longer than a connection to a peer is kept without requests (60 s), ended ones in the pool (10 s), and unused pages by the allocator (10 s).
CONNECTIONS_CLOSED = 100


class Scale:
    """Runs the chosen parts, each with every gateway."""

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
            for part in PARTS:
                if not self.options.wants(part):
                    continue
                for kind in self.options.gateways():
                    print(f"round {number} of {self.options.rounds}: {part}: {kind}", file=sys.stderr)
                    getattr(self, part)(number, kind)
                    self.close()

    def start(self, number, part, kind, **setup):
        # Kept before it starts, so that a start that fails leaves no process.
        self.pair = pair(self.options, kind, self.folder / f"{number}-{part}-{kind}")
        return self.pair.start(**setup)

    def note(self, shape, measure, value):
        self.results.note(shape, measure, self.pair.kind, value)

    def note_run(self, shape, before, count, line):
        figures = Snapshot.after(self.pair).since(before, count)
        for measure in ("CPU us, A", "CPU us, B", "CPU us, A + B", "rows written, A", "rows read, A", "bytes written, A + B"):
            if measure in figures:
                self.note(shape, measure, figures[measure])
        self.note(shape, "messages/s", line["msgs_per_s"])

    def bounded(self, sizes):
        return [size for size in sizes if size <= self.options.largest]

    def peers(self, number, kind):
        """Memory of known peers, and the cost of deliveries to ten of them at a time."""
        smallest = {}
        for size in self.bounded(PEERS):
            shape = f"{size:,} peers"
            progress(shape)
            self.sink = Sink(self.options, self.folder)
            extra = {"peers": {"resident_max": 2 * PEERS[-1]}}
            started = self.start(number, f"peers{size}", kind, peers=size, sink=self.sink.address, alone=True, extra=extra, patience=300)
            self.note(shape, "s to ready", started.seconds_to_ready)
            time.sleep(2)
            pid = started.pids["a"]
            sink = ["--sink", f"http://{self.sink.address}", "--peers", str(size)]
            memory = {"PSS MB, never addressed": memory_mb(pid)}
            everybody = min(size, 1000)
            drive(self.options, started, size // everybody, [*sink, "--fan", str(everybody)])
            time.sleep(SETTLED)
            # At a fixed rate, so that a push holds one update whatever the number of peers: few of them would share pushes.
            before, count = Snapshot(started), self.options.rate * 2 * self.options.seconds
            line = drive(self.options, started, count, [*sink, "--fan", str(FAN), "--latency-rate", str(self.options.rate)])
            time.sleep(0.3)
            self.note_run(shape, before, count * FAN, line)
            memory["PSS MB, after deliveries"] = memory_mb(pid)
            if size > PEERS[0]:
                progress(f"{shape}: until their connections are closed")
                time.sleep(CONNECTIONS_CLOSED)
                memory["PSS MB, idle again"] = memory_mb(pid)
            for name, value in memory.items():
                self.note(shape, name, value)
                base = smallest.setdefault(name, (size, value))
                if size > base[0]:
                    self.note(shape, name.replace("PSS MB", "PSS KB a peer"), (value - base[1]) * 1024 / (size - base[0]))
            self.close()

    def history(self, number, kind):
        """Messages into one context that has more and more PDUs."""
        started = self.start(number, "history", kind)
        context = ["--contexts", "1", "--context-prefix", "history"]
        drive(self.options, started, 1, [*context, "--do", "create"])
        held = 0
        for size in self.bounded(HISTORY):
            shape = f"a context of {size:,} PDUs"
            progress(shape)
            if size > held:
                drive(self.options, started, size - held, [*context, "--per-request", "500", "--connections", "4"])
            # What the PDUs before left to do is none of these messages' cost.
            time.sleep(SETTLED)
            before, count = Snapshot(started), max(MEASURED, size // 20)
            line = drive(self.options, started, count, [*context, "--per-request", "50"])
            time.sleep(0.3)
            self.note_run(shape, before, count, line)
            held = size + count

    def contexts(self, number, kind):
        """Messages into more and more contexts in turn."""
        for size in self.bounded(CONTEXTS):
            shape = f"{size:,} contexts at once"
            progress(shape)
            started = self.start(number, f"contexts{size}", kind)
            contexts = ["--contexts", str(size)]
            drive(self.options, started, 1, [*contexts, "--do", "create"])
            drive(self.options, started, size, contexts)
            time.sleep(SETTLED)
            before, count = Snapshot(started), max(size, 10 * MEASURED)
            line = drive(self.options, started, count, contexts)
            time.sleep(0.3)
            self.note_run(shape, before, count, line)
            for side, pid in started.pids.items():
                self.note(shape, f"PSS MB, {side.upper()}", memory_mb(pid))
            self.close()

    def backlog(self, number, kind):
        """Updates for a peer that is down; SIGKILL; the peer comes back."""
        options, count = self.options, self.options.backlog
        shape = f"a backlog of {count:,}"
        default = {"outbox_items": 2 * count + 1000, "outbox_bytes": "1TiB", "backoff_max": "1s", "failures_to_suspend": 1_000_000}
        started = self.start(number, "backlog", kind, alone=True, extra={"peers.default": default})
        self.note(shape, "PSS MB, empty", memory_mb(started.pids["a"]))
        # Before and after the most, a part of it is measured.
        parts = {"first": max(count // 10, 1), "middle": max(count - 2 * (count // 10), 1), "last": max(count // 10, 1)}
        for part, size in parts.items():
            progress(f"{shape}: {part} {size:,}")
            arguments = ["--do", "submit", "--run", part, "--per-request", "50", "--deadline", "3600"]
            used = cpu_us(started.pids["a"])
            line = drive(options, started, size, arguments, options.backlog_size)
            if part != "middle":
                self.note(shape, f"CPU us of a submission, {part} tenth", (cpu_us(started.pids["a"]) - used) / size)
                self.note(shape, f"submissions/s, {part} tenth", size / max(line["submit_seconds"], 1e-9))
        self.note(shape, "PSS MB, loaded", memory_mb(started.pids["a"]))
        self.note(shape, "store MB", sum(f.stat().st_size for f in (started.folder / "red.example").rglob("*") if f.is_file()) / 1e6)
        self.note_restart(shape, started)
        self.note(shape, "PSS MB, after the restart", memory_mb(started.pids["a"]))
        used = cpu_us(started.pids["a"])
        started.start_side("b")
        began = time.monotonic()
        for part, size in parts.items():
            progress(f"{shape}: delivering {part} {size:,}")
            arguments = ["--do", "receive", "--run", part, "--per-request", "50", "--deadline", "3600"]
            drive(options, started, size, arguments)
        seconds, delivered = time.monotonic() - began, sum(parts.values())
        self.note(shape, "delivered messages/s", delivered / seconds)
        self.note(shape, "CPU us of a delivery, A + B", (cpu_us(started.pids["a"]) - used + cpu_us(started.pids["b"])) / delivered)


    def note_restart(self, shape, started):
        """SIGKILL of A, the page cache dropped where we may, and the time to readiness."""
        started.kill("a")
        if os.geteuid() == 0:
            os.sync()
            Path("/proc/sys/vm/drop_caches").write_text("3")
        self.note(shape, "s to ready after SIGKILL", started.start_side("a", patience=600))
        time.sleep(1)

    def store(self, number, kind):
        """Updates to one peer beside more and more bytes that are queued for another."""
        options = self.options
        down = {"auth": "network", "allow_from": ["127.0.0.0/8"], "addresses": ["http://127.0.0.1:9"]}
        default = {"outbox_items": 100_000_000, "outbox_bytes": "1TiB", "failures_to_suspend": 1_000_000}
        started = self.start(number, "store", kind, extra={"peers.default": default, f'peers.server."{DOWN}"': down})
        drive(options, started, 500, [])
        held = 0
        for size in [size for size in STORE if size <= options.store]:
            shape = f"a store of {size:,} MB"
            progress(shape)
            if size > held:
                fill = ["--do", "submit", "--run", f"fill{size}", "--to", DOWN, "--per-request", "50", "--connections", "8", "--deadline", "3600"]
                drive(options, started, (size - held) * 1_000_000 // STORE_ITEM, fill, STORE_ITEM)
                held = size
            time.sleep(SETTLED)
            before, count = Snapshot(started), options.messages_1
            line = drive(options, started, count, [])
            time.sleep(0.3)
            self.note_run(shape, before, count, line)
            self.note(shape, "PSS MB, A", memory_mb(started.pids["a"]))
            figures = store(started.admin["a"])
            self.note(shape, "store file MB", figures["file_bytes"] / 1e6)
            self.note(shape, "live MB", figures["live_bytes"] / 1e6)
            self.note_restart(shape, started)

    def through(self, number, kind):
        """Updates that pass through: what the files are then, beside the rows that are kept in them."""
        options, count = self.options, self.options.backlog
        shape = f"{count:,} updates through"
        started = self.start(number, "through", kind)
        drive(options, started, count, ["--per-request", "50", "--deadline", "3600"], options.backlog_size)
        time.sleep(SETTLED)
        for side in started.pids:
            figures = store(started.admin[side])
            self.note(shape, f"store file MB, {side.upper()}", figures["file_bytes"] / 1e6)
            self.note(shape, f"live MB, {side.upper()}", figures["live_bytes"] / 1e6)
            self.note(shape, f"file to live data, {side.upper()}", figures["file_bytes"] / figures["live_bytes"])
            self.note(shape, f"PSS MB, {side.upper()}", memory_mb(started.pids[side]))


def progress(text):
    if sys.stderr.isatty():
        print(f"  {text}", file=sys.stderr)
