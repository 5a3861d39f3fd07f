"""The gateways of a soak: their certificates, configurations and processes."""

import os
import signal
import subprocess
import threading
import time
import urllib.request

# Longest time that a start, a stop or a command may take.
PATIENCE = 60

# Days until an authority and its certificates end.
DAYS = "30"


class SoakError(Exception):
    """The soak cannot go on."""


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        self.root = folder / "root.pem"
        self.lock = threading.Lock()
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS, "-subj",
                     "/CN=soak", "-keyout", folder / "root.key", "-out", self.root)

    def openssl(self, *words):
        done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode:
            raise SoakError(f"openssl {words[0]}: {done.stderr.strip()}")

    def issue(self, name, cert, key):
        """Writes a new certificate and key for a server. Each file is replaced at once, the key first."""
        with self.lock:
            request, extensions = self.folder / "request.pem", self.folder / "extensions"
            extensions.write_text(f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n")
            new_cert, new_key = cert.with_suffix(".new"), key.with_suffix(".new")
            self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                         "-keyout", new_key, "-out", request)
            self.openssl("x509", "-req", "-in", request, "-CA", self.root, "-CAkey", self.folder / "root.key", "-CAcreateserial",
                         "-days", DAYS, "-extfile", extensions, "-out", new_cert)
            new_key.chmod(0o600)
            new_key.replace(key)
            new_cert.replace(cert)


class Gateway:
    """One gateway, which may be down.

    Its first start takes the first of `programs`, and each later start the next one: again from the first after the last, or, with
    `is_upgraded`, the last one for good.
    """

    def __init__(self, name, number, folder, authority, programs, is_upgraded=False):
        # An address that no other process uses, so that the ports can be the same for all.
        pid = os.getpid()
        self.address = f"127.{64 + pid // 250 % 60}.{pid % 250}.{number}"
        self.name, self.folder, self.authority = name, folder / name, authority
        self.programs, self.is_upgraded, self.program, self.upgrades = programs, is_upgraded, programs[0], 0
        self.configuration = self.folder / "fernpost.toml"
        self.cert, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        self.process, self.starts, self.rotations = None, 0, 0
        # Held while the process is replaced.
        self.lock = threading.RLock()

    def configure(self, peers, others):
        """Writes certificate, configuration and signing key. `others` are further peers, of the context."""
        self.folder.mkdir(parents=True)
        (self.folder / "conf.d").mkdir()
        self.authority.issue(self.name, self.cert, self.key)
        # Older programs may not know this key, and refuse a configuration with it.
        memtable = "" if self.is_upgraded else 'memtable = "8MiB"'
        text = f"""[server]
name = "{self.name}"
data_dir = "data"
drain = "5s"
[federation]
listen = "{self.address}:9880"
tls = {{ cert = "cert.pem", key = "key.pem" }}
[messenger]
listen = "{self.address}:9881"
[admin]
listen = "{self.address}:9882"
[store]
cache = "8MiB"
recent = "2MiB"
{memtable}
min_free = "64MiB"
[feed]
retain = "1m"
[network]
roots = ["{self.authority.root}"]
keys_retry = "1s"
[peers.default]
auth = "signature"
retain = "1m"
backoff_max = "5s"
probe_every = "5s"
"""
        for peer in {peer.name: peer for peer in [*peers, *others] if peer is not self}.values():
            text += f'[peers.server."{peer.name}"]\naddresses = ["https://{peer.address}:9880"]\n'
        self.configuration.write_text(text)
        self.run("keys", "new")

    def run(self, *words, check=True):
        """Runs a command of the program. Returns its exit code and output; a failure ends the soak if `check` is true."""
        command = [str(self.program), *map(str, words), "--config", str(self.configuration)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            if check:
                raise SoakError(f"{self.name}: {' '.join(map(str, words))} took more than {PATIENCE} s") from None
            return 2, f"no answer within {PATIENCE} s"
        if check and done.returncode:
            raise SoakError(f"{self.name}: {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.returncode, (done.stdout + done.stderr).strip()

    def start(self):
        with self.lock, open(self.folder / "log", "ab") as log:
            last = len(self.programs) - 1
            program = self.programs[min(self.starts, last) if self.is_upgraded else self.starts % (last + 1)]
            self.upgrades += self.is_upgraded and program != self.program
            self.program = program
            self.starts += 1
            command = [str(program), "serve", "--config", str(self.configuration)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_ready(self):
        """Returns whether the gateway answers that it is ready. `fernpost health` is not used, because older programs lack it."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:9882/health/ready", timeout=PATIENCE) as answer:
                return answer.status == 200
        except OSError:
            return False

    def wait_ready(self):
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                last = (self.folder / "log").read_text(errors="replace").splitlines()[-1:]
                raise SoakError(f"{self.name} does not start: {' '.join(last)}")
            time.sleep(0.2)

    def stop(self, how=signal.SIGTERM, wait=True):
        """Stops the process, and waits for its end unless told not to."""
        with self.lock:
            if self.process is None:
                return
            if self.process.poll() is None:
                self.process.send_signal(how)
            if not wait:
                return
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def pid(self):
        process = self.process
        return process.pid if process is not None and process.poll() is None else None

    def change(self, text):
        """Writes the changeable part of the configuration; an empty text removes it."""
        part = self.folder / "conf.d" / "change.toml"
        part.unlink(missing_ok=True) if not text else part.write_text(text)
