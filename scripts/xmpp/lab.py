"""Two sites on loopback for tests and measurements: XMPP servers, gateways, connectors, clients, and a link that can be cut."""

import asyncio
import json
import os
import pathlib
import signal
import sys
import time

from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from .stanzas import MUC, element, stamp, text_element

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
PASSWORD = "password"

# The server of each site resolves the names of the other one to its end of the link.
PROSODY = """
daemonize = false; run_as_root = true; pidfile = "{folder}/pid"; data_path = "{folder}/data"; log = {{ info = "{folder}/log" }}
modules_enabled = {{ "roster"; "saslauth"; "disco"; "ping"; "dialback"; }}
modules_disabled = {{ {disabled} }}
authentication = "internal_plain"; allow_unencrypted_plain_auth = true
c2s_require_encryption = false; s2s_require_encryption = false; s2s_secure_auth = false
interfaces = {{ "{address}" }}; c2s_ports = {{ 5222 }}; s2s_ports = {{ 5269 }}
component_interfaces = {{ "{address}" }}; component_ports = {{ 5347 }}
unbound = {{ hoststxt = "{folder}/hosts"; resolvconf = false }}
VirtualHost "{domain}"
{component}
"""

FERNPOST = """
[server]
name = "{name}.test"
data_dir = "gateway"
[federation]
listen = "{address}:9880"
[messenger]
listen = "{address}:9881"
push = {{ url = "http://{address}:7000/fernpost", secret = "lab" }}
[admin]
listen = "{address}:9882"
[peers.default]
backoff_max = "1s"
[peers.server."{peer}.test"]
addresses = ["http://{link}:9880"]
auth = "network"
allow_from = ["127.0.0.0/8"]
"""


class LabProcess:
    """A child process with its output in a file."""

    def __init__(self, command, log, folder):
        self.command, self.log, self.folder, self.child = command, log, folder, None

    async def start(self):
        with open(self.log, "ab") as log:
            # It ends with us, however we end.
            command = ["setpriv", "--pdeathsig", "KILL", *self.command]
            self.child = await asyncio.create_subprocess_exec(*command, cwd=self.folder, stdout=log, stderr=log)

    async def kill(self, how=signal.SIGKILL):
        if self.child and self.child.returncode is None:
            self.child.send_signal(how)
            await self.child.wait()


async def reachable(address, port, patience=20):
    """Waits until somebody listens there."""
    for _ in range(int(patience / 0.05)):
        try:
            _, writer = await asyncio.open_connection(address, port)
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.05)
    raise TimeoutError(f"nobody listens at {address}:{port}")


class LabLink:
    """Passes connections on to another address, unless it is cut."""

    def __init__(self, listen, target):
        self.listen, self.target, self.is_cut = listen, target, False
        self.writers = set()

    async def start(self):
        self.server = await asyncio.start_server(self.pass_on, *self.listen)

    async def pass_on(self, reader, writer):
        if self.is_cut:
            return writer.close()
        try:
            onward, back = await asyncio.open_connection(*self.target)
        except OSError:
            return writer.close()
        self.writers |= {writer, back}
        await asyncio.gather(self.pump(reader, back), self.pump(onward, writer), return_exceptions=True)
        self.writers -= {writer, back}

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    def cut(self):
        self.is_cut = True
        for writer in self.writers:
            writer.transport.abort()

    def mend(self):
        self.is_cut = False


class LabSite:
    """One organisation: Prosody, and with a gateway binary also the gateway and the connector."""

    def __init__(self, name, peer, net, numbers, folder, binary, users):
        own, link = (f"127.{net}.{number}" for number in numbers)
        self.name, self.address, self.domain, self.link_address = name, own, f"{name}.test", link
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir()
        room_host = f"rooms.{self.domain}" if binary else f"rooms.{peer if name == 'blue' else name}.test"
        self.room = f"garden@{room_host}"
        component = f'Component "rooms.{self.domain}" ' + ("" if binary else '"muc"\n  restrict_room_creation = false')
        component += '\n  component_secret = "lab"' if binary else ""
        names = {"folder": self.folder, "address": own, "domain": self.domain, "component": component,
                 "disabled": '"s2s"' if binary else ""}
        self.write("prosody.cfg.lua", PROSODY.format(**names))
        self.write("hosts", "".join(f"{link} {host}{peer}.test\n" for host in ("", "rooms.")))
        accounts = self.folder / "data" / self.domain.replace(".", "%2e") / "accounts"
        accounts.mkdir(parents=True)
        for user in users:
            (accounts / f"{user}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};')
        self.prosody = self.process("prosody", "prosody", "-F", "--config", "prosody.cfg.lua")
        self.gateway = self.connector = None
        if binary:
            self.write("fernpost.toml", FERNPOST.format(name=name, peer=peer, address=own, link=link))
            self.write("secret", "lab")
            self.gateway = self.process("gateway", binary, "serve", "--config", "fernpost.toml")
            self.connector = self.process(
                "connector", sys.executable, str(SCRIPTS / "xmpp_connector.py"), "run", "--component", f"rooms.{self.domain}",
                "--component-secret", "lab", "--xmpp", f"{own}:5347", "--gateway", f"http://{own}:9881", "--listen",
                f"{own}:7000", "--secret-file", "secret", "--peers", f"{peer}.test", "--data", "connector.db")

    def write(self, name, text):
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o600)

    def process(self, name, *command):
        return LabProcess(command, self.folder / f"{name}.out", self.folder)

    def processes(self):
        return [process for process in (self.prosody, self.gateway, self.connector) if process]

    async def start(self):
        for process in self.processes():
            await process.start()
        await reachable(self.address, 5222)
        if self.gateway:
            await self.connected()

    async def connected(self):
        """Waits until the connector has a session, which a client would see by the answer to a ping."""
        await reachable(self.address, 7000)
        for _ in range(400):
            if "connected to" in (self.folder / "connector.out").read_text():
                return
            await asyncio.sleep(0.05)
        raise TimeoutError(f"no session of {self.name}'s connector")

    async def kill(self):
        for process in self.processes():
            await process.kill()


class Lab:
    """Red and blue, and the link between them. With a gateway binary they are federated by Fernpost, else by XMPP itself: the
    room is red's then."""

    def __init__(self, folder, users, binary=None):
        pid = os.getpid()
        net = f"{64 + (pid >> 8) % 64}.{pid & 255}"  # an address of its own for each run, out of the range of outbound ones
        numbers = {"red": (1, 2), "blue": (3, 4)}
        self.red, self.blue = (LabSite(name, peer, net, numbers[name], folder, binary, users[name])
                               for name, peer in (("red", "blue"), ("blue", "red")))
        port = 9880 if binary else 5269
        self.links = [LabLink((mine.link_address, port), (other.address, port))
                      for mine, other in ((self.red, self.blue), (self.blue, self.red))]

    async def __aenter__(self):
        for link in self.links:
            await link.start()
        await asyncio.gather(self.red.start(), self.blue.start())
        return self

    async def __aexit__(self, *_):
        await asyncio.gather(self.red.kill(), self.blue.kill())
        for link in self.links:
            link.cut()
            link.server.close()

    def cut(self):
        for link in self.links:
            link.cut()

    def mend(self):
        for link in self.links:
            link.mend()


class LabClient:
    """A person with an XMPP client. He sends the next message when he has seen the echo of the one before; what comes back as an
    error, or has no echo for some seconds, he sends again with the same id. After a lost connection he joins again and asks for
    the history since his last message. Each message says which one of each author he has seen last, so that readers can check
    the order."""

    ECHO_PATIENCE = 4

    def __init__(self, site, account, nick=None):
        self.site, self.account, self.user = site, account, nick or account
        self.shown = []  # author, number, and the last number of each author that he had seen, in the order of arrival
        self.seen = set()  # ids
        self.last = {}  # author -> the last number that was shown
        self.twice, self.again, self.returned = 0, 0, 0
        self.last_stamp = None
        self.echo = None  # id and future
        self.joined = asyncio.Event()
        self.closing = False
        self.stanzas = []  # all messages, for tests of single ones
        self.presences = []  # nick and type

    async def start(self):
        self.connect()
        await asyncio.wait_for(self.joined.wait(), 30)

    def connect(self):
        self.joined.clear()
        self.xmpp = xmpp = ClientXMPP(f"{self.account}@{self.site.domain}/lab", PASSWORD)
        xmpp.enable_direct_tls, xmpp.enable_starttls, xmpp.enable_plaintext = False, False, True
        xmpp["feature_mechanisms"].unencrypted_plain = True
        xmpp.add_event_handler("session_start", lambda _: self.join())
        xmpp.register_handler(Callback("All messages", MatchXPath("{jabber:client}message"), self.on_message))
        xmpp.add_event_handler("presence", self.on_presence)
        for lost in ("disconnected", "connection_failed"):
            xmpp.add_event_handler(lost, lambda _, xmpp=xmpp: self.on_loss(xmpp))
        try:
            xmpp.connect(self.site.address, 5222)
        except (TypeError, ValueError):  # the form of slixmpp 1.8
            xmpp.connect((self.site.address, 5222), disable_starttls=True, force_starttls=False)

    def on_loss(self, xmpp):
        if xmpp is self.xmpp and not self.closing:
            self.xmpp = None
            self.joined.clear()
            xmpp.cancel_connection_attempt()
            asyncio.get_running_loop().call_later(0.3, self.connect)

    def join(self):
        since = f"<history since='{self.last_stamp}'/>" if self.last_stamp else "<history maxstanzas='0'/>"
        self.xmpp.send_raw(f"<presence to='{self.site.room}/{self.user}'><x xmlns='{MUC}'>{since}</x></presence>")

    def on_presence(self, presence):
        if presence["from"].bare != self.site.room:
            return
        xml = presence.xml
        codes = {status.get("code") for status in xml.iter(f"{{{MUC}#user}}status")}
        kind = xml.get("type")
        self.presences.append((presence["from"].resource, kind))
        if kind == "error" or (kind == "unavailable" and "110" in codes):
            self.joined.clear()
            asyncio.get_running_loop().call_later(0.5, self.rejoin)
        elif "110" in codes:
            self.joined.set()
            if "201" in codes:  # Prosody's rooms are locked until somebody accepts their configuration
                accept = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>"
                self.xmpp.send_raw(f"<iq type='set' id='accept' to='{self.site.room}'>{accept}</iq>")

    def rejoin(self):
        if self.xmpp and not self.joined.is_set() and not self.closing:
            self.join()

    def on_message(self, message):
        xml = message.xml
        if xml.get("type") != "groupchat":
            return self.on_error(message) if xml.get("type") == "error" else None
        body, author, key = message["body"], message["from"].resource, xml.get("id")
        delayed = xml.find("{urn:xmpp:delay}delay") is not None
        self.stanzas.append(xml)
        if self.echo and author == self.user and key == self.echo[0] and not self.echo[1].done():
            self.echo[1].set_result(None)
        if body:
            self.last_stamp = stamp(time.time() * 1000 - 2000)  # others may have been on their way
        if not body.startswith("{"):
            return
        if key in self.seen:
            self.again += delayed
            self.twice += not delayed
            return
        self.seen.add(key)
        said = json.loads(body)
        self.shown.append((said["author"], said["n"], said["seen"]))
        self.last[said["author"]] = said["n"]

    def on_error(self, message):
        key = message.xml.get("id")
        if self.echo and key == self.echo[0] and not self.echo[1].done():
            self.returned += 1
            condition = message["error"]["condition"]
            self.echo[1].set_exception(ConnectionError(condition))
            if condition == "not-acceptable":
                self.joined.clear()
                self.join()

    async def say(self, n):
        """Says one message, until its echo is there."""
        key = f"{self.user}-{n}"
        body = json.dumps({"author": self.user, "n": n, "seen": self.last})
        while True:
            try:
                await asyncio.wait_for(self.joined.wait(), 60)
                self.echo = key, asyncio.get_running_loop().create_future()
                self.raw(key, body)
                await asyncio.wait_for(self.echo[1], self.ECHO_PATIENCE)
                return
            except (ConnectionError, asyncio.TimeoutError, AttributeError):
                await asyncio.sleep(0.5)

    def raw(self, key, body):
        self.send(element("message", {"type": "groupchat", "id": key, "to": self.site.room}, text_element("body", body)))

    def send(self, xml):
        self.xmpp.send_raw(xml)

    def disorder(self):
        """Returns the messages that were shown after one whose author had seen them."""
        before, late = {}, []  # author -> the highest number that has to be shown before what comes now
        for author, n, seen in self.shown:
            if n <= before.get(author, -1):
                late.append(f"{self.user} was shown {author}-{n} after a message whose author had seen it")
            for other, number in {**seen, author: n}.items():
                before[other] = max(before.get(other, -1), number)
        return late

    async def stop(self):
        self.closing = True
        if self.xmpp and self.xmpp.transport:
            self.xmpp.abort()
