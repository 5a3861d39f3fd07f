"""The figures of a run: medians, ratios within a round, a table for people and one for benches/RESULTS.md."""

import os
import platform
import re
from collections import defaultdict
from statistics import median

# The order of measures in a table; each for one side or both.
ORDER = [
    "CPU us", "messages/s", "fdatasync p50 ms", "ack p50 ms", "ack p99 ms", "end to end p50 ms", "end to end p99 ms",
    "requests told to wait", "syncs", "system calls", "switches", "bytes written", "commits", "rows written", "rows read", "rows trimmed",
]


def place(measure):
    """Where a measure stands among those of its shape; others follow in the order in which they came."""
    name, _, side = measure.partition(", ")
    return (ORDER.index(name) if name in ORDER else len(ORDER), {"A + B": 0}.get(side, 1), side if name in ORDER else "")


def both(name):
    return [f"{name}, A", f"{name}, B"]


# Columns of the short table.
COLUMNS = [
    ("CPU us, A + B (to the floors)", ["CPU us, A + B"]), ("A / B", both("CPU us")), ("messages/s", ["messages/s"]),
    ("ack ms, p50 / p99", ["ack p50 ms", "ack p99 ms"]), ("end to end ms, p50 / p99", ["end to end p50 ms", "end to end p99 ms"]),
    ("syncs, A / B", both("syncs")), ("system calls, A / B", both("system calls")), ("switches", ["switches, A + B"]),
    ("rows written, A / B", both("rows written")), ("rows read, A / B", both("rows read")), ("bytes written", ["bytes written, A + B"]),
    ("PSS MB, A / B", both("PSS MB")), ("without the program, A / B", both("PSS MB without the program")),
]

# Goals: shape, measure, what it is compared with (a relay, or another shape of the same program), and the bound of the ratio.
BARE, BARE_1000 = "floor", "floor-1000"
CPU = "CPU us, A + B"
GOALS = [
    ("updates, 1 a request", CPU, (BARE, None), "at most", 1.2),
    ("updates, 50 a request", CPU, (BARE_1000, None), "at most", 1.2),
    ("updates, 1 a request, TLS", CPU, (None, "updates, 1 a request"), "at most", 1.3),
    ("updates, 50 a request, TLS", CPU, (None, "updates, 50 a request"), "at most", 1.15),
    ("messages, 1 a request", CPU, (None, "updates, 1 a request"), "at most", 1.5),
    ("messages, 50 a request", CPU, (None, "updates, 50 a request"), "at most", 1.5),
    ("messages, 1 a request, transactions", CPU, (None, "updates, 1 a request"), "at most", 1.5),
    ("messages, 50 a request, transactions", CPU, (None, "updates, 50 a request"), "at most", 1.5),
    ("updates, 50 a request, TLS", "messages/s", (BARE, None), "at least", 0.8),
    ("updates, at a fixed rate", "end to end p50 ms", (BARE, None), "at most", 1.0),
    ("updates, one by one", "syncs, A", (BARE, None), "at most", 1.05),
    ("updates, one by one", "syncs, B", (BARE, None), "at most", 1.05),
]

# Goals for a figure alone: a part of the shape, measure, greatest value. A loaded gateway may hold 64 MB and what the store
# keeps in memory.
LIMITS = [
    ("memory, idle", "PSS MB, A", 12), ("10,000 peers", "PSS MB, idle again", 32), ("10,000 peers", "PSS KB a peer, idle again", 2),
    ("a backlog of", "PSS MB, loaded", 64 + 32), ("a backlog of", "s to ready after SIGKILL", 1),
    ("a store of", "s to ready after SIGKILL", 1), (" through", "file to live data, A", 3), (" through", "file to live data, B", 3),
]
# An acknowledgement at a fixed rate takes at most so many syncs and milliseconds.
ACK_SYNCS, ACK_MS = 2, 0.3


class Results:
    """Values by shape, measure and kind; the place in a list is the round."""

    def __init__(self):
        self.values = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))

    def note(self, shape, measure, kind, value):
        self.values[shape][measure][kind].append(value)

    def ratio(self, shape, measure, kind, to_kind, to_shape=None):
        """The median of the ratios of each round, because the machine's speed drifts between rounds."""
        mine = self.values[shape][measure].get(kind, [])
        other = self.values[to_shape or shape][measure].get(to_kind, [])
        ratios = [a / b for a, b in zip(mine, other) if b]
        return median(ratios) if ratios else None

    def medians(self):
        """Everything as plain dictionaries, for the history."""
        return {
            shape: {measure: {kind: round(median(v), 4) for kind, v in kinds.items()} for measure, kinds in measures.items()}
            for shape, measures in self.values.items()
        }

    def table(self, kinds):
        """Rows of text: title, medians, ratios."""
        compared = [k for k in kinds if not k.startswith("floor")]
        pairs = [(k, f) for k in compared for f in (BARE, BARE_1000) if f in kinds] + ([("fernpost-b", "fernpost")] if len(compared) > 1 else [])
        header = ["", *kinds, *(f"{label(k)}/{label(f)}" for k, f in pairs)]
        rows = [header]
        for shape, measures in self.values.items():
            rows.append([f"**{shape}**", *[""] * (len(header) - 1)])
            for measure, by_kind in sorted(measures.items(), key=lambda item: place(item[0])):
                cells = [shown(median(by_kind[k])) if by_kind.get(k) else "" for k in kinds]
                ratios = [self.ratio(shape, measure, k, f) for k, f in pairs]
                rows.append([measure, *cells, *(f"{r:.2f}" if r is not None else "" for r in ratios)])
        return rows

    def compact(self, kinds):
        """One row for each shape and program: the figures that are read most. All of them are in the history."""
        rows = [["shape", "program", *(title for title, _ in COLUMNS)]]
        for shape, measures in self.values.items():
            for kind in kinds:
                if not any(by_kind.get(kind) for by_kind in measures.values()):
                    continue
                cells = []
                for _, names in COLUMNS:
                    found = [median(measures[name][kind]) for name in names if measures.get(name, {}).get(kind)]
                    cells.append(" / ".join(shown(value) for value in found))
                ratios = [self.ratio(shape, CPU, kind, floor) for floor in (BARE, BARE_1000) if floor != kind]
                if any(ratios) and kind not in (BARE, BARE_1000):
                    cells[0] += f" ({', '.join(f'{ratio:.2f}' for ratio in ratios if ratio)})"
                rows.append([shape, kind, *cells])
        keep = [i for i in range(len(rows[0])) if i < 2 or any(row[i] for row in rows[1:])]
        return [[row[i] for i in keep] for row in rows]

    def goals(self, kinds):
        rows = [["goal", "program", "value", "wanted", ""]]
        for shape, measure, (to_kind, to_shape), sense, bound in GOALS:
            for kind in (k for k in kinds if not k.startswith("floor")):
                if shape not in self.values:
                    continue
                ratio = self.ratio(shape, measure, kind, to_kind or kind, to_shape)
                if ratio is None:
                    continue
                is_met = ratio <= bound if sense == "at most" else ratio >= bound
                beside = to_shape or label(to_kind)
                title = f"{shape}: {measure} / {beside}"
                rows.append([title, kind, f"{ratio:.2f}", f"{sense} {bound}", "met" if is_met else "missed"])
        ack, sync = "updates, at a fixed rate: ack p50 ms", f"at most {ACK_SYNCS} fdatasync + {ACK_MS} ms"
        for kind in (k for k in kinds if not k.startswith("floor")):
            figures = self.values.get("updates, at a fixed rate", {})
            if figures.get("ack p50 ms", {}).get(kind) and figures.get("fdatasync p50 ms", {}).get(kind):
                value = median(figures["ack p50 ms"][kind])
                bound = ACK_SYNCS * median(figures["fdatasync p50 ms"][kind]) + ACK_MS
                rows.append([ack, kind, shown(value), f"{sync} = {bound:.2f}", "met" if value <= bound else "missed"])
        return rows + limits(self, kinds) if len(rows) > 1 else limits(self, kinds, rows)


def limits(results, kinds, header=()):
    """Rows for the goals of single figures, after the header if there are any."""
    rows = []
    for part, measure, bound in LIMITS:
        for shape in [shape for shape in results.values if part in shape]:
            for kind in kinds:
                values = results.values[shape].get(measure, {}).get(kind)
                if values and not kind.startswith("floor"):
                    value = median(values)
                    rows.append([f"{shape}: {measure}", kind, shown(value), f"at most {bound}", "met" if value <= bound else "missed"])
    return [*header, *rows] if rows else []


# Figures against size: the smallest and the greatest size of each, and the greatest growth.
SIZES = [
    (r"^[\d,]+ peers$", "CPU us, A"),
    (r"^a context of [\d,]+ PDUs$", CPU),
    (r"^[\d,]+ contexts at once$", CPU),
    (r"^a store of [\d,]+ MB$", CPU),
]
GROWTH = 1.2


def by_size(results, kinds):
    """A table for each part of --scale: a column for each size."""
    tables = []
    for pattern in [pattern for pattern, _ in SIZES] + ["^a backlog of ", " through$"]:
        shapes = [shape for shape in results.values if re.search(pattern, shape)]
        measures = dict.fromkeys(measure for shape in shapes for measure in results.values[shape])
        rows = [["", *(["program"] if len(kinds) > 1 else []), *shapes]]
        for measure in sorted(measures, key=place):
            for kind in kinds:
                found = [results.values[shape][measure].get(kind, []) if measure in results.values[shape] else [] for shape in shapes]
                rows.append([measure, *([kind] if len(kinds) > 1 else []), *(shown(median(v)) if v else "" for v in found)])
        if shapes:
            tables.append(rows)
    return tables


def growth(results, kinds):
    """The cost at the greatest size beside that at the smallest one."""
    rows = [["goal", "program", "value", "wanted", ""]]
    for pattern, measure in SIZES:
        shapes = [shape for shape in results.values if re.search(pattern, shape)]
        for kind in kinds:
            if len(shapes) < 2:
                continue
            ratio = results.ratio(shapes[-1], measure, kind, kind, shapes[0])
            if ratio is not None:
                title = f"{measure}: {shapes[-1]} / {shapes[0]}"
                rows.append([title, kind, f"{ratio:.2f}", f"at most {GROWTH}", "met" if ratio <= GROWTH else "missed"])
    return rows + limits(results, kinds) if len(rows) > 1 else limits(results, kinds, rows)


def label(kind):
    return {"fernpost": "fernpost", "fernpost-b": "b"}.get(kind, kind)


def shown(value):
    """Three or four digits."""
    if value == 0:
        return "0"
    for bound, form in ((1, ".3g"), (100, ".2f"), (1000, ".1f")):
        if abs(value) < bound:
            return format(value, form)
    return format(value, ".0f")


def text(rows):
    """A table for a terminal: the first column left, the others right."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join([row[0].replace("**", "").ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def markdown(rows):
    if not rows:
        return ""
    lines = [f"| {' | '.join(rows[0])} |", "|" + "---|" * len(rows[0])]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows[1:])])


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = next(int(line.split()[1]) >> 20 for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return f"{os.cpu_count()} cores ({model}), {memory} GB, Linux {platform.release()}"
