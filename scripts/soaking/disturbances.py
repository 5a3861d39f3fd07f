"""The operator of a soak: changes everything that may change while a gateway runs, and some that stop it."""

import collections
import signal
import time

# Signing keys that a gateway may get; it refuses more than 32.
ROTATIONS_MAX = 24

# Values of reloadable keys, one set at a time.
CHANGES = [
    "[peers.default]\nbatch_items = 7\n",
    "[peers.default]\nbatch_items = 500\nwait_max = \"10m\"\n",
    "[contexts]\nheld_max = 500\n[rpc]\nmax = 100\n",
    "[network]\nrequests_max = 64\n",
    "[peers.server.\"ghost.example\"]\naddresses = [\"https://127.0.0.1:9\"]\n",
    "[metrics]\npeers_max = 3\n[log]\nformat = \"json\"\n",
    "",
]


class Disturbances:
    """What the operator does, in turn, at the hub or at a peer.

    The first half of the peers is never stopped, and the hub three times only: memory that grows slowly is seen in a long life alone.
    """

    def __init__(self, hub, peers, chance):
        self.hub, self.peers, self.chance = hub, peers, chance
        self.stopped_peers = peers[len(peers) // 2 :]
        self.turn, self.last = 0, ""
        # Times and failures of each action.
        self.counts = collections.defaultdict(lambda: [0, 0])
        self.faults = []
        self.actions = [
            self.change_and_reload,
            self.rotate_certificate,
            self.look_around,
            self.rotate_key,
            self.back_up,
            self.reload_by_signal,
            self.change_log_level,
            self.suspend_and_resume,
            self.restart,
            self.change_and_reload,
            self.kill,
        ]

    def one(self):
        """Does the next thing, at the hub every second time."""
        action = self.actions[self.turn % len(self.actions)]
        gateway = self.hub if self.turn // len(self.actions) % 2 == 0 else self.chance.choice(self.peers)
        self.turn += 1
        if action in (self.restart, self.kill):
            gateway = self.chance.choice(self.stopped_peers)
        self.do(action, gateway)

    def restart_hub(self, number):
        """Restarts the hub; the second time it is killed."""
        self.do(self.kill if number == 2 else self.restart, self.hub)

    def do(self, action, gateway):
        self.last = f"{action.__name__} {gateway.name}"
        self.counts[action.__name__][0] += 1
        before = len(self.faults)
        action(gateway)
        self.counts[action.__name__][1] += len(self.faults) > before

    def calm(self):
        """Takes back what has an end only by another command."""
        for gateway in [self.hub, *self.peers]:
            gateway.change("")
            self.succeeds(gateway, "reload")

    def succeeds(self, gateway, *words):
        """Runs a command that has to succeed. Returns its output."""
        code, said = gateway.run(*words, check=False)
        if code != 0:
            self.faults.append(f"{gateway.name}: fernpost {' '.join(map(str, words))}: exit code {code}: {said[-300:]}")
        return said

    def change_and_reload(self, gateway):
        gateway.change(self.chance.choice(CHANGES))
        self.succeeds(gateway, "reload")

    def reload_by_signal(self, gateway):
        gateway.process.send_signal(signal.SIGHUP)

    def rotate_certificate(self, gateway):
        gateway.authority.issue(gateway.name, gateway.cert, gateway.key)
        if self.chance.random() < 0.5:
            self.succeeds(gateway, "reload")

    def rotate_key(self, gateway):
        if gateway.rotations >= ROTATIONS_MAX:
            return
        gateway.rotations += 1
        self.succeeds(gateway, "keys", "rotate", "--overlap", "5s")
        self.succeeds(gateway, "reload")

    def back_up(self, gateway):
        file = gateway.folder / "backup"
        self.succeeds(gateway, "store", "backup", file)
        self.succeeds(gateway, "store", "verify", file)
        file.unlink(missing_ok=True)

    def change_log_level(self, gateway):
        self.succeeds(gateway, "log", self.chance.choice(["debug", "trace", "warn"]), "--for", "3s")

    def look_around(self, gateway):
        for words in (["peer", "list"], ["queue", "shape"], ["quarantine", "list"], ["store", "stats"], ["context", "list"]):
            self.succeeds(gateway, *words)
        # It exits with 1 if a peer is away, which is no fault here.
        gateway.run("status", check=False)

    def suspend_and_resume(self, gateway):
        peer = self.hub if gateway is not self.hub else self.chance.choice(self.peers)
        self.succeeds(gateway, "peer", "suspend", peer.name)
        time.sleep(1)
        self.succeeds(gateway, "peer", "resume", peer.name)

    def restart(self, gateway, how=signal.SIGTERM):
        gateway.stop(how)
        gateway.start()
        gateway.wait_ready()

    def kill(self, gateway):
        self.restart(gateway, signal.SIGKILL)
