#!/usr/bin/env python3
"""A soak: one gateway and its peers, all real processes on loopback, under load, while an operator changes everything that may change.

    soak_hours.py [--minutes 60] [--peers 20] [--binary target/release/fernpost] [--other BINARY | --before BINARY...] [--seed N] [--keep FOLDER]

The hub sends numbered updates to all peers, each peer sends numbered updates to the hub, and the hub and four peers talk in a context.
Meanwhile, one after the other: the configuration is changed and reloaded, certificates and signing keys are rotated, backups are taken
and verified, the level of the log goes up and down, peers are suspended and resumed, and half of the peers are stopped and killed and
started again, the hub three times. With --other, each start takes the other program of two that read the same store. With --before,
gateways begin with the first of these older programs, and each start takes the next one, up to --binary: an upgrade, with a conversion of
the store where its schema is older. Of the peers that are never stopped, every second one runs the newest program all the time, and the
others the oldest. At the end everything has to be there once and in order, and own memory (without the pages of the program) and
descriptors of each gateway have to be flat during its longest life. The result is a table; the exit code is 0, 1 (something is wrong) or 2
(it could not run). It needs openssl, and stops only the processes that it has started.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

from soaking.disturbances import Disturbances
from soaking.gateways import Authority, Gateway, SoakError
from soaking.measures import Measures
from soaking.messengers import Messenger

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Peers that take part in the context.
TALKERS = 4

# Seconds for which the last items may be under way after the disturbances have ended.
SETTLE = 180


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="length (60)")
    parser.add_argument("--peers", type=int, default=20, help="number of peers (20)")
    parser.add_argument("--rate", type=float, default=2, help="updates a second from the hub to all peers, and from each peer (2)")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/fernpost", help="the program")
    parser.add_argument("--other", type=pathlib.Path, help="the program of another version, for every second start")
    parser.add_argument("--before", type=pathlib.Path, nargs="+", default=[], help="programs of older versions, the oldest first")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choices of the operator (1)")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for data and logs, which is kept")
    return parser.parse_args()


def start_all(options, folder):
    """Returns the hub and its peers, which are ready and list one another."""
    authority = Authority(folder / "authority")
    programs = [*options.before, options.binary] + ([options.other] if options.other else [])

    def new_gateway(name, number, programs=programs):
        return Gateway(name, number, folder, authority, programs, is_upgraded=bool(options.before))

    hub = new_gateway("hub.example", 1)
    # The first half is never stopped; of these, every second one has the newest program from the start.
    newest = range(2, options.peers // 2 + 1, 2) if options.before else ()
    peers = [
        new_gateway(f"peer{n}.example", n + 1, [options.binary] if n in newest else programs) for n in range(1, options.peers + 1)
    ]
    try:
        for gateway in [hub, *peers]:
            gateway.configure([hub] if gateway is not hub else peers, peers[:TALKERS] if gateway in peers[:TALKERS] else [])
            gateway.start()
        for gateway in [hub, *peers]:
            gateway.wait_ready()
    except BaseException:
        stop_all([hub, *peers])
        raise
    return hub, peers


def stop_all(gateways):
    for gateway in gateways:
        gateway.stop(wait=False)
    for gateway in gateways:
        gateway.stop()


def run(options, folder):
    """Runs everything and returns the number of faults."""
    hub, peers = start_all(options, folder)
    gateways, ending = [hub, *peers], threading.Event()
    measures = Measures(gateways)
    try:
        pause = 1 / options.rate
        messengers = [Messenger(hub, [peer.name for peer in peers], pause)]
        messengers += [Messenger(peer, [hub.name], pause) for peer in peers]
        talkers = messengers[: 1 + TALKERS]
        for talker in talkers:
            talker.join("soak", [other.gateway.name for other in talkers if other is not talker])
        for messenger in messengers:
            messenger.start()
        measures.start()
        disturbances = Disturbances(hub, peers, random.Random(options.seed))
        length, begun, restarts = options.minutes * 60, time.monotonic(), 0
        end = begun + length
        while time.monotonic() < end:
            if restarts < 3 and time.monotonic() > begun + length * (restarts + 1) / 4:
                restarts += 1
                disturbances.restart_hub(restarts)
            disturbances.one()
            print(f"\r{max(0, end - time.monotonic()):5.0f} s  {disturbances.last:40}", end="", file=sys.stderr, flush=True)
            ending.wait(min(2.0, max(0.0, end - time.monotonic())))
        print(file=sys.stderr)
        disturbances.calm()
        for messenger in messengers:
            messenger.stop_sending()
        deadline = time.monotonic() + SETTLE
        while time.monotonic() < deadline and not all(m.is_complete(messengers) for m in messengers):
            ending.wait(0.5)
        measures.stop()
        for messenger in messengers:
            messenger.stop_reading()
        return report(messengers, measures, disturbances)
    finally:
        measures.stop()
        stop_all(gateways)


def report(messengers, measures, disturbances):
    """Prints the tables and returns the number of faults."""
    faults = 0
    print(f"{'reader':16} {'expected':>9} {'received':>9} {'missing':>8} {'twice':>6} {'disorder':>9}")
    for messenger in messengers:
        row = messenger.judge(messengers)
        faults += row.missing + row.twice + row.disorder
        print(f"{messenger.gateway.name:16} {row.expected:9} {row.received:9} {row.missing:8} {row.twice:6} {row.disorder:9}")
    print(f"\n{'gateway':16} {'own early':>10} {'own late':>10} {'own max':>10} {'bound':>10} {'fds early':>10} {'fds late':>9} {'bound':>6}"
          f" {'minutes':>8}  program")
    for row in measures.rows():
        faults += row.is_over
        print(f"{row.name:16} {row.own_early:7.1f} MB {row.own_late:7.1f} MB {row.own_max:7.1f} MB {row.own_bound:7.1f} MB"
              f" {row.fds_early:10} {row.fds_late:9} {row.fds_bound:6} {row.minutes:8.1f}  {row.program}{'  OVER' if row.is_over else ''}")
    print(f"\n{'what the operator did':32} {'times':>6} {'failed':>7}")
    for name, (times, failed) in sorted(disturbances.counts.items()):
        print(f"{name:32} {times:6} {failed:7}")
    upgrades = [(messenger.gateway.name, messenger.gateway.upgrades) for messenger in messengers if messenger.gateway.upgrades]
    if upgrades:
        print("\nupgrades: " + ", ".join(f"{name} {count}" for name, count in upgrades))
    for fault in disturbances.faults[:20]:
        print(f"fault: {fault}")
    faults += len(disturbances.faults)
    print(f"\n{faults} faults" if faults else "\nEverything was received once and in order; memory and descriptors were flat.")
    return faults


def main():
    options = arguments()
    if options.other and options.before:
        print("soak: --other and --before exclude one another", file=sys.stderr)
        return 2
    wrong = [path for path in (options.binary, options.other, *options.before) if path and not path.is_file()]
    if wrong or not shutil.which("openssl") or not 2 <= options.peers <= 200 or options.minutes <= 0 or options.rate <= 0:
        print(f"soak: no program at {wrong[0]}" if wrong else "soak: it needs openssl, 2 to 200 peers, and a length and rate above 0", file=sys.stderr)
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fernpost-soak.") as temporary:
        folder = options.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            faults = run(options, folder.resolve())
        except SoakError as error:
            print(f"soak: {error}", file=sys.stderr)
            return 2
    print(f"{options.minutes:g} minutes, {options.peers} peers, {time.monotonic() - began:.0f} s in all")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
