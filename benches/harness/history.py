"""Recorded figures: benches/history.jsonl, a section of benches/RESULTS.md for each run, and plots drawn from the former."""

import json
import math
import re

from options import ROOT

HISTORY = ROOT / "benches/history.jsonl"
RESULTS = ROOT / "benches/RESULTS.md"
PLOTS = ROOT / "benches/plots"
CPU = "CPU us, A + B"

COLOURS = ["#3566b0", "#c2571a", "#2c8a57", "#8a4fa3", "#9a7d0a", "#5a6472"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 64, 36, 40, 56


def record(entry, section):
    """Appends a run to the history, puts its section above the older ones, and draws the plots again."""
    with HISTORY.open("a") as history:
        history.write(json.dumps(entry, sort_keys=True) + "\n")
    text = RESULTS.read_text()
    place = text.index("\n## ") + 1
    RESULTS.write_text(f"{text[:place]}{section}\n\n{text[place:]}")
    return draw()


def entries():
    if not HISTORY.exists():
        return []
    return [json.loads(line) for line in HISTORY.read_text().splitlines() if line.strip()]


def draw():
    """Draws every plot for which there are figures; returns their paths."""
    PLOTS.mkdir(exist_ok=True)
    runs = entries()
    drawn = {}
    for name, title, unit, lines in [*of_history(runs), *of_scale(runs)]:
        if any(points for points in lines.values()):
            path = PLOTS / f"{name}.svg"
            path.write_text(plot(title, unit, lines, is_log=name.startswith("scale")))
            drawn[name] = path
    return drawn


def of_history(runs):
    """Ratios to the bare relay over the recorded runs, and latencies."""
    benches = [run for run in runs if run["kind"] == "bench"]
    shapes = ["updates, 1 a request", "updates, 50 a request", "updates, 1 a request, TLS", "updates, 50 a request, TLS",
              "messages, 1 a request", "messages, 50 a request"]
    ratios, ways = {}, {}
    for shape in shapes:
        ratios[shape] = [(run["label"], value) for run in benches if (value := ratio_to_floor(run, shape)) is not None]
    for kind in ("floor", "fernpost"):
        for measure in ("end to end p50 ms", "end to end p99 ms"):
            figures = [(run["label"], run["figures"].get("updates, at a fixed rate", {}).get(measure, {}).get(kind)) for run in benches]
            ways[f"{kind}, {measure[11:14]}"] = [(where, value) for where, value in figures if value is not None]
    yield "history-cpu", "CPU a message, as a ratio to the bare relay", "ratio", ratios
    yield "history-latency", "End to end at a fixed rate", "ms", ways


def ratio_to_floor(run, shape):
    """Of the medians; messages, which the relay does not know, beside its updates of as many a request."""
    figures = run["figures"]
    mine = figures.get(shape, {}).get(CPU, {}).get("fernpost")
    floor = figures.get(shape.replace("messages", "updates"), {}).get(CPU, {}).get("floor")
    return mine / floor if mine and floor else None


def of_scale(runs):
    """Cost against size, from the newest run of each part."""
    newest = {}
    for run in runs:
        if run["kind"] == "scale":
            for shape, figures in run["figures"].items():
                newest[shape] = figures
    parts = {
        "scale-cpu": ("CPU a message against size", "us", {
            "peers (a delivery)": (r"^([\d,]+) peers$", "CPU us, A"),
            "PDUs of a context": (r"^a context of ([\d,]+) PDUs$", CPU),
            "contexts at once": (r"^([\d,]+) contexts at once$", CPU),
        }),
        "scale-memory": ("Memory of a gateway against peers and contexts", "MB", {
            "peers, never addressed": (r"^([\d,]+) peers$", "PSS MB, never addressed"),
            "peers, after deliveries": (r"^([\d,]+) peers$", "PSS MB, after deliveries"),
            "contexts at once": (r"^([\d,]+) contexts at once$", "PSS MB, A"),
        }),
    }
    for name, (title, unit, lines) in parts.items():
        drawn = {}
        for label, (pattern, measure) in lines.items():
            points = []
            for shape, figures in newest.items():
                found, value = re.match(pattern, shape), figures.get(measure, {}).get("fernpost")
                if found and value is not None:
                    points.append((int(found[1].replace(",", "")), value))
            drawn[label] = sorted(points)
        yield name, title, unit, drawn


def plot(title, unit, lines, is_log):
    """An SVG with one line for each name; x is a size on a logarithmic axis, or the runs in their order."""
    lines = {name: points for name, points in lines.items() if points}
    xs = list(dict.fromkeys(x for points in lines.values() for x, _ in points))
    if is_log:
        low, high = math.log10(min(xs)), math.log10(max(xs))
        place = lambda x: (math.log10(x) - low) / ((high - low) or 1)
        marks = sorted(set(xs))
    else:
        place = lambda x: xs.index(x) / (len(xs) - 1) if len(xs) > 1 else 0.5
        marks = xs[:: max(1, len(xs) // 8)]
    top = nice(max(y for points in lines.values() for _, y in points))
    # Labels of the runs are wide, and stand below their points.
    inner = 0 if is_log else 50
    across = lambda x: LEFT + inner + place(x) * (WIDTH - LEFT - RIGHT - 2 * inner)
    down = lambda y: HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)
    legend = 18 * len(lines)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + legend}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT + legend}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" fill="#1c2128">{escaped(title)}</text>',
    ]
    for step in range(5):
        y = top * step / 4
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down(y):.1f}" y2="{down(y):.1f}" stroke="#d8dde3"/>')
        out.append(f'<text x="{LEFT - 8}" y="{down(y) + 4:.1f}" text-anchor="end" fill="#5a6472">{y:g}</text>')
    out.append(f'<text x="12" y="{TOP - 2}" fill="#5a6472">{escaped(unit)}</text>')
    for x in marks:
        name = f"{x:,}" if is_log else str(x)
        out.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle" fill="#5a6472">{escaped(name)}</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in points:
            title = f"<title>{escaped(name)}: {y:g} {escaped(unit)}</title>"
            out.append(f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}">{title}</circle>')
        y = HEIGHT - BOTTOM + 44 + 18 * number
        out.append(f'<rect x="{LEFT}" y="{y - 9}" width="14" height="4" fill="{colour}"/>')
        out.append(f'<text x="{LEFT + 22}" y="{y - 3}" fill="#1c2128">{escaped(name)}</text>')
    return "\n".join([*out, "</svg>", ""])


def nice(value):
    """The next round number above a value."""
    if value <= 0:
        return 1.0
    unit = 10 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 5, 8, 10) if step * unit >= value)


def escaped(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;")
