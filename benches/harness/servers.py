"""Pairs of servers: two floors or two gateways, on loopback, each pair on fresh data."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

A, B = "red.example", "blue.example"


class Failed(Exception):
    """A server or a run did not do what it has to do."""


def certificates(folder):
    """Makes an authority, and a certificate for each side."""
    folder.mkdir(exist_ok=True)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench", "-days", "30")
    for name in (A, B):
        (folder / "ext").write_text(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", "csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
                "-extfile", "ext", "-out", f"{name}.pem")
        (folder / f"{name}.key").chmod(0o600)
    return folder


def toml(sections):
    """Writes a configuration: sections by name, each a dictionary."""
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


class Pair:
    """Side A, which takes submissions, and side B, whose feed is read."""

    def __init__(self, options, kind, folder):
        self.options, self.kind, self.folder = options, kind, Path(folder)
        self.folder.mkdir(parents=True)
        self.pids, self.processes = {}, {}
        self.admin = {"a": "", "b": ""}
        self.submit = self.events = ""

    def at(self, place):
        return f"127.0.0.1:{self.options.port + place}"

    def spawn(self, side, command):
        log = open(self.folder / f"{side}.log", "ab")
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes[side], self.pids[side] = process, process.pid

    def ready(self, side, url, patience=20):
        """Waits until the server answers; returns the seconds since its start that this took."""
        began = time.monotonic()
        while time.monotonic() - began < patience:
            # Looked at first: another program may answer at this port.
            if self.processes[side].poll() is not None:
                raise Failed(f"{self.kind} ended before it was ready: {self.log_end()}")
            try:
                with urllib.request.urlopen(f"{url}/health/ready", timeout=2):
                    return time.monotonic() - began
            except urllib.error.HTTPError:
                pass  # it answers, and is not ready
            except OSError:
                pass
            time.sleep(0.02)
        raise Failed(f"{self.kind} was not ready at {url} within {patience} s: {self.log_end()}")

    def log_end(self):
        lines = []
        for log in sorted(self.folder.glob("*.log")):
            lines += log.read_text(errors="replace").splitlines()[-5:]
        return "\n  ".join(["", *lines])

    def kill(self, side):
        """SIGKILL."""
        self.processes[side].kill()
        self.processes.pop(side).wait()
        self.pids.pop(side)

    def stop(self, remove=True):
        stuck = []
        for process in self.processes.values():
            process.terminate()
        for side, process in self.processes.items():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                stuck.append(side)
        self.processes, self.pids = {}, {}
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
        if stuck:
            raise Failed(f"{self.kind} did not stop within 30 s of being asked to")


class FloorPair(Pair):
    """The bare relay twice."""

    def start(self, link="plain", tls=None, **_ignored):
        self.submit, self.events = f"http://{self.at(0)}", f"http://{self.at(1)}"
        most = ["--max", "1000"] if self.kind == "floor-1000" else []
        program = self.options.floor
        side_a, side_b = [program, "--listen", self.at(0)], [program, "--listen", self.at(1)]
        side_a += ["--db", str(self.folder / "a.redb"), *most]
        side_b += ["--db", str(self.folder / "b.redb")]
        if link == "tls":
            side_a += ["--tls", str(tls), "--name", A, "--to", f"https://{self.at(2)}", "--to-name", B]
            side_b += ["--tls", str(tls), "--name", B, "--tls-listen", self.at(2)]
        else:
            side_a += ["--to", self.events]
        self.spawn("b", side_b)
        self.spawn("a", side_a)
        self.ready("b", self.events)
        self.ready("a", self.submit)
        return self


class GatewayPair(Pair):
    """Two gateways that are peers of each other."""

    def configuration(self, name, other, first, first_of_other, **world):
        link, tls = world.get("link", "plain"), world.get("tls")
        data = self.folder / name
        data.mkdir(exist_ok=True, mode=0o700)
        peer = {"auth": "network", "allow_from": ["127.0.0.0/8"], "dialect": world.get("dialect", "updates")}
        peer["addresses"] = [f"{'http' if link == 'plain' else 'https'}://{self.at(first_of_other)}"]
        sections = {
            "server": {"name": name, "data_dir": str(data)},
            "federation": {"listen": self.at(first)},
            "messenger": {"listen": self.at(first + 1)},
            "admin": {"listen": self.at(first + 2)},
        }
        if link != "plain":
            sections["federation.tls"] = {"cert": f"{tls}/{name}.pem", "key": f"{tls}/{name}.key"}
            sections["network"] = {"roots": [f"{tls}/ca.pem"]}
        if link == "tls":
            sections["federation.tls"]["client_ca"] = f"{tls}/ca.pem"
            peer["auth"] = "mtls"
            del peer["allow_from"]
        if link == "signed":
            peer["auth"] = "signature"
            del peer["allow_from"]
            if world.get("keys"):
                peer["keys"] = world["keys"][other]
        for section, values in world.get("extra", {}).items():
            sections.setdefault(section, {}).update(values)
        sections[f'peers.server."{other}"'] = peer
        for number in range(world.get("peers", 0)):
            sections[f'peers.server."peer-{number}.example"'] = {
                "auth": "network", "allow_from": ["127.0.0.0/8"], "addresses": [f"http://{world['sink']}"],
            }
        path = self.folder / f"{name}.toml"
        path.write_text(toml(sections))
        return path

    def signing_keys(self, paths):
        """Makes a key for each side; returns the public halves as the other side names them."""
        keys = {}
        for name, path in paths.items():
            tool = self.options.binary(self.kind)
            subprocess.run([tool, "keys", "new", "--config", str(path)], check=True, capture_output=True)
            listed = subprocess.run([tool, "keys", "list", "--json", "--config", str(path)], check=True, capture_output=True)
            keys[name] = [f"{key['id']}:{key['public']}" for key in json.loads(listed.stdout)["keys"]]
        return keys

    def start(self, **world):
        """Starts A, and B unless `alone`."""
        self.world = world
        self.submit, self.events = f"http://{self.at(5)}", f"http://{self.at(8)}"
        ends = {A: (B, 4, 7), B: (A, 7, 4)}
        paths = {name: self.configuration(name, *end, **world) for name, end in ends.items()}
        if world.get("link") == "signed":
            keys = self.signing_keys(paths)
            paths = {name: self.configuration(name, *end, keys=keys, **world) for name, end in ends.items()}
        self.paths = paths
        if not world.get("alone"):
            self.start_side("b")
        self.seconds_to_ready = self.start_side("a", world.get("patience", 20))
        return self

    def start_side(self, side, patience=20):
        """Starts one side and returns the seconds until it is ready."""
        name, admin = (A, self.at(6)) if side == "a" else (B, self.at(9))
        self.admin[side] = f"http://{admin}"
        self.spawn(side, [self.options.binary(self.kind), "serve", "--config", str(self.paths[name])])
        return self.ready(side, self.admin[side], patience)

    def restart(self, **world):
        """Stops both sides and starts them on the same data, with another configuration."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(30)
        self.processes, self.pids = {}, {}
        return self.start(**world)


def pair(options, kind, folder):
    return (FloorPair if kind.startswith("floor") else GatewayPair)(options, kind, folder)


def raise_descriptor_limit():
    """Thousands of peers need as many connections."""
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Sink:
    """A process that plays every peer at one address."""

    def __init__(self, options, folder):
        self.address = f"127.0.0.1:{options.port + 3}"
        self.log = open(Path(folder) / "sink.log", "ab")
        self.process = subprocess.Popen([options.load, "--play", self.address], stdout=self.log, stderr=self.log)
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://{self.address}/delivered?at_least=0", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        raise Failed("the sink does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
