"""Memory and descriptors of the gateways of a soak, over time."""

import dataclasses
import pathlib
import statistics
import threading

# Time between two measurements.
EVERY = 2.0

# Of the longest life of each process, the median of the last quarter may exceed that of the second one by this share and this much, in
# megabytes: caches and allocators fill up.
OWN_SHARE, OWN_MORE = 0.25, 16.0

# The same for descriptors: connections come and go.
FDS_SHARE, FDS_MORE = 0.25, 24


@dataclasses.dataclass
class MeasureRow:
    """The figures of one gateway, own memory in megabytes."""

    name: str
    own_early: float
    own_late: float
    own_max: float
    own_bound: float
    fds_early: int
    fds_late: int
    fds_bound: int
    # The program of that life, and its length in minutes.
    program: str
    minutes: float

    @property
    def is_over(self):
        return self.own_late > self.own_bound or self.fds_late > self.fds_bound


def figures(pid):
    """Returns the own memory of a process in megabytes, and its number of descriptors; None if it has ended.

    The pages of the program itself do not count, because all processes of a program share them: the last process of an older one seemed to
    grow as the others were upgraded.
    """
    process = pathlib.Path("/proc") / str(pid)
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
        count = sum(1 for _ in (process / "fd").iterdir())
    except OSError:
        return None
    own = next((int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:")), None)
    return None if own is None else (own / 1024, count)


class Measures:
    """A thread that measures all gateways."""

    def __init__(self, gateways):
        # Figures of each life of each gateway, by process id and program.
        self.taken = {gateway: {} for gateway in gateways}
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        self.ending.set()
        if self.thread.is_alive():
            self.thread.join(30)

    def work(self):
        while not self.ending.wait(EVERY):
            for gateway, lives in self.taken.items():
                pid, program = gateway.pid(), gateway.program.name
                found = figures(pid) if pid else None
                if found:
                    lives.setdefault((pid, program), []).append(found)

    def rows(self):
        """Returns a row for each gateway that was measured often enough."""
        for gateway, lives in self.taken.items():
            (_, program), taken = max(lives.items(), key=lambda life: len(life[1]), default=((0, ""), []))
            quarter = len(taken) // 4
            if not quarter:
                continue
            early, late = taken[quarter : 2 * quarter], taken[-quarter:]
            own_early, own_late = (statistics.median(own for own, _ in part) for part in (early, late))
            fds_early, fds_late = (int(statistics.median(fds for _, fds in part)) for part in (early, late))
            bounds = own_early * (1 + OWN_SHARE) + OWN_MORE, int(fds_early * (1 + FDS_SHARE) + FDS_MORE)
            most = max(own for own, _ in taken)
            minutes = len(taken) * EVERY / 60
            yield MeasureRow(gateway.name, own_early, own_late, most, bounds[0], fds_early, fds_late, bounds[1], program, minutes)
