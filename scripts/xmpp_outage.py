#!/usr/bin/env python3
"""A conversation between two XMPP servers during an outage: by Fernpost, and by Prosody's own federation.

    xmpp_outage.py [--binary target/release/fernpost] [--seconds 10]    prints the table of the README
    xmpp_outage.py --check [--binary target/debug/fernpost]             the test: gateway and connector killed, all rules checked

Two people on each side talk in one room. It needs Prosody (apt-get install prosody) and slixmpp.
"""

import argparse
import asyncio
import logging
import pathlib
import sys
import tempfile
import time

from xmpp.lab import Lab, LabClient

USERS = {"red": ["ann", "rob"], "blue": ["bea", "ben"]}
PAUSE = 0.05  # seconds between the messages of one person


async def talk(lab, count, outage, settle):
    """Has four people say `count` messages each while `outage` happens. Returns them, the number of messages that were said, and
    the seconds from the end of the outage until everybody had all that was said before it; None if somebody never had."""
    clients = [LabClient(site, user) for site in (lab.red, lab.blue) for user in USERS[site.name]]
    for client in clients:
        await client.start()

    async def speak(client):
        for n in range(count):
            await client.say(n)
            await asyncio.sleep(PAUSE)

    speakers = [asyncio.create_task(speak(client)) for client in clients]
    await outage(clients)
    back, said = time.monotonic(), set().union(*(client.seen for client in clients))
    deadline, took = back + settle, None
    while time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        if took is None and all(client.seen >= said for client in clients):
            took = time.monotonic() - back
        everything = {(client.user, n) for client in clients for n in range(client.last.get(client.user, -1) + 1)}
        if all(speaker.done() for speaker in speakers) and all(len(client.seen) == len(everything) for client in clients):
            break
    for speaker in speakers:
        speaker.cancel()
    for client in clients:
        await client.stop()
    return clients, len(everything), took


def judge(clients, total):
    """Returns how many messages are missing, how many were shown twice, and those shown out of order."""
    missing = sum(total - len(client.seen) for client in clients)
    disorder = [fault for client in clients for fault in client.disorder()]
    return missing, sum(client.twice for client in clients), disorder


async def check(binary, count):
    """Kills gateways and connectors during a conversation. Returns what is wrong."""
    with tempfile.TemporaryDirectory(prefix="fernpost-xmpp-") as folder:
        async with Lab(folder, USERS, binary) as lab:

            async def outage(clients):
                async def until(part):
                    while sum(client.last.get(client.user, 0) for client in clients) < part * count * len(clients):
                        await asyncio.sleep(0.02)

                await until(0.2)
                await lab.blue.gateway.kill()
                await asyncio.sleep(1)
                await lab.blue.gateway.start()
                await until(0.4)
                await lab.blue.connector.kill()
                await asyncio.sleep(1)
                await lab.blue.connector.start()
                for part in (0.5, 0.55, 0.6, 0.65):  # and some kills without a pause, each at another step of its work
                    await until(part)
                    await lab.red.connector.kill()
                    await lab.red.connector.start()
                await until(0.75)
                await asyncio.gather(lab.red.gateway.kill(), lab.red.connector.kill())
                await asyncio.gather(lab.red.gateway.start(), lab.red.connector.start())

            began = time.monotonic()
            clients, total, _ = await talk(lab, count, outage, 30)
            missing, twice, disorder = judge(clients, total)
            returned = sum(client.returned for client in clients)
            again = sum(client.again for client in clients)
            print(f"{total} messages of {len(clients)} people in {time.monotonic() - began:.0f} s: {missing} missing, "
                  f"{twice} twice, {len(disorder)} out of order; {returned} were returned by a server whose connector was down "
                  f"and sent again, {again} came again and said so")
            faults = list(disorder)
            faults += [f"{client.user} misses {total - len(client.seen)}" for client in clients if len(client.seen) < total]
            if total != count * len(clients):
                faults.append(f"{total} of {count * len(clients)} messages were said")
            if twice:
                faults.append(f"{twice} messages were shown twice")
            if faults:
                for site in (lab.red, lab.blue):
                    for log in ("connector", "gateway"):
                        print(f"--- {site.name} {log}", (site.folder / f"{log}.out").read_text()[-3000:], sep="\n")
            return faults


async def measure(binary, kind, seconds):
    """Measures one row of the table."""
    with tempfile.TemporaryDirectory(prefix="fernpost-xmpp-") as folder:
        async with Lab(folder, USERS, binary) as lab:

            async def outage(_):
                await asyncio.sleep(3)
                if kind == "link":
                    lab.cut()
                    await asyncio.sleep(seconds)
                    lab.mend()
                else:
                    await lab.blue.kill()
                    await asyncio.sleep(seconds)
                    await lab.blue.start()

            clients, total, took = await talk(lab, round((seconds + 8) / PAUSE / 2), outage, 30)
            missing, twice, disorder = judge(clients, total)
            return total, missing, twice, len(disorder), took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/fernpost")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--messages", type=int, default=75, help="of each of four people, with --check")
    parser.add_argument("--seconds", type=int, default=10, help="length of the outage")
    given = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    binary = str(pathlib.Path(given.binary).resolve())
    if given.check:
        faults = asyncio.run(asyncio.wait_for(check(binary, given.messages), 120))
        for fault in faults[:20]:
            print(f"FAULT: {fault}")
        sys.exit(1 if faults else 0)
    columns = ["outage", "federation", "messages to four people", "missing", "shown twice", "out of order", "all of the outage there"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for kind, words in (("link", f"link cut for {given.seconds} s"), ("crash", f"one side killed for {given.seconds} s")):
        for federation, used in (("Prosody's own", None), ("Fernpost", binary)):
            total, missing, twice, disorder, took = asyncio.run(measure(used, kind, given.seconds))
            after = f"after {took:.1f} s" if took is not None else "never"
            print(f"| {words} | {federation} | {4 * total} | {missing} | {twice} | {disorder} | {after} |", flush=True)


if __name__ == "__main__":
    main()
