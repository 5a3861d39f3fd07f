"""Counters of a process, from /proc, from perf or strace, and from the gateway's own store."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

SYNCS = ("fdatasync", "fsync", "sync_file_range")


def cpu_us(pid):
    """CPU time of a process in microseconds, with the threads that have ended: the clock that the kernel keeps for it."""
    return time.clock_gettime((~pid << 3) | 2) * 1e6


def switches(pid):
    """Context switches of each thread that runs."""
    counts = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        try:
            lines = status.read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended meanwhile
        counts[status.parent.name] = sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return counts


def risen(after, before):
    """Sum of what each thread has added; a thread that has ended is left out."""
    return sum(count - before.get(thread, 0) for thread, count in after.items())


def bytes_written(pid):
    """Bytes that the process caused to be written to the disk."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


def memory_mb(pid, key="Pss"):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def sync_ms(folder, times=200):
    """Median time of an appended write of 4 KB with its fdatasync, in the folder of the data."""
    taken = []
    path = Path(folder) / "sync-probe"
    with path.open("wb", buffering=0) as probe:
        for _ in range(times):
            began = time.monotonic()
            probe.write(bytes(4096))
            os.fdatasync(probe.fileno())
            taken.append((time.monotonic() - began) * 1e3)
    path.unlink()
    return sorted(taken)[times // 2]


def rows(admin):
    """The gateway's counters of rows and commits; nothing for the floor, which has none."""
    return store(admin)["counts"] if admin else {}


def store(admin):
    """Sizes and counters of a gateway's store."""
    with urllib.request.urlopen(f"{admin}/admin/v1/store", timeout=120) as answer:
        return json.load(answer)


class Snapshot:
    """All counters of both sides at one time."""

    def __init__(self, pair):
        # The store is asked outside of the time that counts: counting its tables reads them.
        self.rows = {side: rows(pair.admin[side]) for side in pair.pids}
        self.cpu = {side: cpu_us(pid) for side, pid in pair.pids.items()}
        self.switches = {side: switches(pid) for side, pid in pair.pids.items()}
        self.written = {side: bytes_written(pid) for side, pid in pair.pids.items()}

    @staticmethod
    def after(pair):
        """The same in the other order, so that the reads of the store do not count."""
        shot = Snapshot.__new__(Snapshot)
        shot.cpu = {side: cpu_us(pid) for side, pid in pair.pids.items()}
        shot.switches = {side: switches(pid) for side, pid in pair.pids.items()}
        shot.written = {side: bytes_written(pid) for side, pid in pair.pids.items()}
        shot.rows = {side: rows(pair.admin[side]) for side in pair.pids}
        return shot

    def since(self, before, count):
        """Figures a message."""
        figures = {}
        cpu = {side: (self.cpu[side] - before.cpu[side]) / count for side in self.cpu}
        for side, used in cpu.items():
            figures[f"CPU us, {side.upper()}"] = used
        if len(cpu) > 1:
            figures["CPU us, A + B"] = sum(cpu.values())
        figures["switches, A + B"] = sum(risen(self.switches[s], before.switches[s]) for s in self.switches) / count
        figures["bytes written, A + B"] = sum(self.written[s] - before.written[s] for s in self.written) / count
        for side in self.rows:
            for key in self.rows[side]:
                words = key.replace("_", " ")
                figures[f"{words}, {side.upper()}"] = (self.rows[side][key] - before.rows[side].get(key, 0)) / count
        return figures


class SystemCalls:
    """Counts syncs and system calls of both sides while it is open: by perf if it may, else by strace."""

    def __init__(self, pair, folder, everything):
        self.pair, self.everything, self.tracers = pair, everything, {}
        for side, pid in pair.pids.items():
            output = Path(folder) / f"{side}.calls"
            command = self.command(pid, output)
            if command:
                tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                self.tracers[side] = (tracer, output)
        time.sleep(0.5 if self.tracers else 0)

    def command(self, pid, output):
        if perf_counts():
            events = [f"syscalls:sys_enter_{name}" for name in SYNCS] + (["raw_syscalls:sys_enter"] if self.everything else [])
            return ["perf", "stat", "-x", ",", "-e", ",".join(events), "-p", str(pid), "-o", str(output)]
        if shutil.which("strace") and not self.everything:
            return ["strace", "-c", "-f", "-q", "-e", f"trace={','.join(SYNCS)}", "-o", str(output), "-p", str(pid)]
        return None

    def close(self, count):
        """Figures a message."""
        figures = {}
        for side, (tracer, output) in self.tracers.items():
            tracer.send_signal(signal.SIGINT)
            tracer.wait(20)
            calls = {"syncs": 0, "system calls": 0}
            for line in output.read_text().splitlines() if output.exists() else []:
                name, value = counted(line)
                if name:
                    calls["syncs" if name.endswith(SYNCS) else "system calls"] += value
            figures[f"syncs, {side.upper()}"] = calls["syncs"] / count
            if self.everything:
                figures[f"system calls, {side.upper()}"] = calls["system calls"] / count
        return figures


def counted(line):
    """Name and number in a line of perf or of strace."""
    fields = line.split(",")
    if len(fields) > 3 and fields[0].isdigit():
        return fields[2], int(fields[0])
    fields = line.split()
    if len(fields) >= 5 and fields[-1] in SYNCS:
        return fields[-1], int(fields[3])
    return None, 0


_perf = None


def perf_counts():
    """Whether perf may count system calls of other processes here."""
    global _perf
    if _perf is None:
        tried = ["perf", "stat", "-e", "raw_syscalls:sys_enter", "-p", str(os.getpid()), "true"]
        _perf = bool(shutil.which("perf")) and subprocess.run(tried, capture_output=True).returncode == 0
    return _perf
