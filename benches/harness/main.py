"""Measures what a message costs; `scripts/bench.sh` builds the programs and starts this."""

import contextlib
import datetime
import os
import shutil
import signal
import sys
import tempfile
import urllib.request

import history
import options
import report
from scale import PARTS, Scale
from servers import Failed, raise_descriptor_limit
from shapes import GROUPS, Bench


def main():
    wanted = options.read(GROUPS, PARTS)
    for tool in ("openssl",):
        if not shutil.which(tool):
            raise SystemExit(f"bench: {tool} is not installed")
    # Everything is on loopback, whatever proxy the environment names.
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_descriptor_limit()
    results = report.Results()
    folder = tempfile.mkdtemp(prefix="fernpost-bench.", dir=wanted.folder)
    bench = (Scale if wanted.scale else Bench)(wanted, results, folder)
    try:
        bench.run()
    except Failed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        # What has failed already is said; another failure on the way out is not.
        with contextlib.suppress(Failed):
            bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    kinds = wanted.gateways() if wanted.scale else wanted.kinds()
    goals = report.growth(results, kinds) if wanted.scale else results.goals(kinds)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"machine: {report.machine()}; load average now {load}\ncommit: {wanted.commit}")
    print(f"command: {wanted.command} ({wanted.rounds} rounds, medians; ratios of one round, their median)\n")
    tables = report.by_size(results, kinds) if wanted.scale else [results.table(kinds)]
    print("\n\n".join(report.text(table) for table in tables))
    if goals:
        print("\n" + report.text(goals))
    if wanted.record:
        keep(wanted, results, kinds, goals)
    return 0


def keep(wanted, results, kinds, goals):
    """Records the run in the repository."""
    date = datetime.date.today().isoformat()
    kind = "scale" if wanted.scale else "bench"
    entry = {
        "kind": kind, "date": date, "commit": wanted.commit, "label": f"{date[5:]} {wanted.commit[:8]}", "machine": report.machine(),
        "command": wanted.command, "rounds": wanted.rounds, "figures": results.medians(),
    }
    load = os.getloadavg()[0]
    tables = report.by_size(results, kinds) if wanted.scale else [results.compact(kinds)]
    lines = [
        f"## {date}, `{wanted.command[wanted.command.index('scripts/'):]}`",
        "",
        f"{report.machine()}; release build, load average {load:.1f} at the end. Commit {wanted.commit}. {wanted.rounds} rounds, medians;",
        "a ratio is the median of the ratios of each round. Figures are a message, or a delivery where there are many peers. Command:",
        f"`{wanted.command}`. All figures are in `benches/history.jsonl`.",
        "",
        "\n\n".join(report.markdown(table) for table in tables),
    ]
    if goals:
        lines += ["", report.markdown(goals)]
    plots = history.record(entry, "\n".join(lines))
    print(f"\nrecorded in {history.HISTORY} and {history.RESULTS}; plots: {', '.join(str(path) for path in plots.values())}")


if __name__ == "__main__":
    sys.exit(main())
