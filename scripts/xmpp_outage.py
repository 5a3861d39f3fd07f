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
    """Has four people say `count` messages each while `outage` happens; returns them and the seconds until all arrived."""
    clients = [LabClient(site, user) for site in (lab.red, lab.blue) for user in USERS[site.name]]
    for client in clients:
        await client.start()

    async def speak(client):
        for n in range(count):
            await client.say(n)
            await asyncio.sleep(PAUSE)

    speakers = [asyncio.create_task(speak(client)) for client in clients]
    back = await outage(clients)
    await asyncio.wait(speakers, timeout=settle)
    total = sum(client_said(client) for client in clients)
    deadline = time.monotonic() + settle
    while time.monotonic() < deadline and any(len(client.seen) < total for client in clients):
        await asyncio.sleep(0.1)
        total = sum(client_said(client) for client in clients)
    took = time.monotonic() - back
    for speaker in speakers:
        speaker.cancel()
    for client in clients:
        await client.stop()
    return clients, total, took


def client_said(client):
    return len(client.texts.get(client.user, []))


def judge(clients, total):
    """Returns the counts of a conversation: missing, shown twice, out of order, returned to their authors."""
    missing = sum(total - len(client.seen) for client in clients)
    twice = sum(client.twice for client in clients)
    disorder = [fault for client in clients for fault in client.disorder]
    return missing, twice, disorder, sum(client.returned for client in clients)


async def check(binary, count):
    """Kills blue's gateway, then blue's connector, during a conversation. Returns what is wrong."""
    with tempfile.TemporaryDirectory(prefix="fernpost-xmpp-") as folder:
        async with Lab(folder, USERS, binary) as lab:

            async def outage(clients):
                async def until(part):
                    while sum(client_said(client) for client in clients) < part * count * len(clients):
                        await asyncio.sleep(0.02)

                await until(0.2)
                await lab.blue.gateway.kill()
                await asyncio.sleep(1)
                await lab.blue.gateway.start()
                await until(0.5)
                await lab.blue.connector.kill()
                await asyncio.sleep(1)
                await lab.blue.connector.start()
                await until(0.75)
                await lab.red.connector.kill()
                await lab.red.connector.start()
                return time.monotonic()

            began = time.monotonic()
            clients, total, _ = await talk(lab, count, outage, 30)
            missing, twice, disorder, returned = judge(clients, total)
            again = sum(client.again for client in clients)
            print(f"{total} messages of {len(clients)} people in {time.monotonic() - began:.0f} s: {missing} missing, {twice} twice, "
                  f"{len(disorder)} out of order; {returned} were returned by a server whose connector was down and sent again, "
                  f"{again} came again and said so")
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
                return time.monotonic()

            clients, total, took = await talk(lab, round((seconds + 8) / PAUSE / 2), outage, 30)
            missing, twice, disorder, returned = judge(clients, total)
            return total, missing, twice, len(disorder), took if not missing else None


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
        faults = asyncio.run(check(binary, given.messages))
        for fault in faults[:20]:
            print(f"FAULT: {fault}")
        sys.exit(1 if faults else 0)
    print("| outage | federation | messages | missing | shown twice | out of order | all there after |\n|---|---|---|---|---|---|---|")
    for kind, words in (("link", f"link cut for {given.seconds} s"), ("crash", f"one side killed for {given.seconds} s")):
        for federation, used in (("Prosody's own", None), ("Fernpost", binary)):
            total, missing, twice, disorder, took = asyncio.run(measure(used, kind, given.seconds))
            after = f"{took:.1f} s" if took is not None else "never"
            print(f"| {words} | {federation} | {total} to 4 | {missing} | {twice} | {disorder} | {after} |", flush=True)


if __name__ == "__main__":
    main()
