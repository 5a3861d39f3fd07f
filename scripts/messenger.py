#!/usr/bin/env python3
"""A messenger in front of a Fernpost gateway, in one file and with the standard library alone. Copy from it what you need.

    messenger.py run --data FILE [--listen 127.0.0.1:7000] [--secret-file FILE]    takes what the gateway pushes
    messenger.py say CONTEXT TEXT                                 sends a message to a context
    messenger.py update PEER JSON                                 sends an update to one server
    messenger.py ask PEER JSON                                    asks one server, and prints its answer

Every command takes --gateway URL (the messenger API) and --token-file FILE; `say` and `update` take --id ID.

`run` prints each event as a line of JSON and keeps it in FILE. The gateway needs:

    [messenger]
    push = { url = "http://127.0.0.1:7000/fernpost", secret_file = "push.secret" }
"""

import argparse
import base64
import collections
import hashlib
import hmac
import http.client
import http.server
import json
import os
import sys
import threading
import time
import urllib.parse
import uuid

BODY_MAX = 16 << 20  # bytes of a call; above messenger.push.batch_bytes and the largest event
IDS_KEPT = 100_000  # of events taken last; far more than the gateway can push again after a crash
CLOCK_SKEW = 300  # seconds


# Sending: the id makes a repeated submission the same submission, so whatever has no answer is sent again.


class GatewayClient:
    """Calls the messenger API of the gateway."""

    def __init__(self, url, token=None):
        self.url = urllib.parse.urlsplit(url)
        self.token = token

    def call(self, method, path, body=None, timeout=70, headers=None):
        """Makes one call; returns its status, its headers and its JSON. Raises OSError without an answer."""
        secure = self.url.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(self.url.hostname, self.url.port, timeout=timeout)
        headers = dict(headers or {})
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, self.url.path.rstrip("/") + path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no whole answer: {error!r}") from error
        finally:
            connection.close()
        return answer.status, answer.headers, json.loads(text) if text else None

    def submit(self, path, body, patience=None):
        """Submits until the gateway has taken or refused it; returns the status and the answer.

        429 and 503 mean "not now". After an error of the connection nobody knows whether the gateway has it; the same id
        and the same body can be sent again without harm. `patience` bounds the seconds; TimeoutError follows."""
        delay, began = 0.1, time.monotonic()
        while True:
            wait = delay
            try:
                status, headers, answer = self.call("PUT", path, body)
                if status not in (429, 503):
                    return status, answer
                wait = max(delay, float(headers.get("Retry-After", 0)))
            except OSError:
                pass
            if patience is not None and time.monotonic() + wait - began > patience:
                raise TimeoutError(f"no answer to {path} in {patience} s")
            time.sleep(wait)
            delay = min(delay * 2, 5)

    def say(self, submission, context, content, kind="m.text"):
        """Sends a message to all participants of a context."""
        body = {"context": context, "type": kind, "content": content}
        return self.submit(f"/v1/messages/{submission}", body)

    def update(self, submission, peer, *updates):
        """Sends updates to one server."""
        return self.submit(f"/v1/updates/{submission}", {"to": [peer], "strong": list(updates)})

    def ask(self, peer, question, timeout="10s"):
        """Asks a server. The answer is the server's own if it has the header Fernpost-Peer, else the gateway's refusal."""
        path = "/v1/rpc/" + urllib.parse.quote(peer, safe="")
        return self.call("POST", path, question, headers={"Fernpost-Timeout": timeout})


# Receiving: verify, store, and only then answer 2xx, which means that the events never need to come again.


def read_secrets(path):
    """Returns the secrets of a file: one, or two while one replaces the other."""
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip()]
    return [base64.b64decode(line[6:]) if line.startswith("whsec_") else line.encode() for line in lines]


def is_signed(headers, body, secrets):
    """Returns whether the gateway signed this call, as Standard Webhooks defines it, with any of our secrets."""
    try:
        call, seconds = headers["webhook-id"], int(headers["webhook-timestamp"])
        signatures = headers["webhook-signature"].split(" ")
    except (AttributeError, TypeError, ValueError):
        return False
    if call is None or abs(time.time() - seconds) > CLOCK_SKEW:
        return False
    signed = f"{call}.{seconds}.".encode() + body
    made = ["v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in secrets]
    return any(hmac.compare_digest(ours.encode(), theirs.encode()) for ours in made for theirs in signatures)


class PushListener(http.server.ThreadingHTTPServer):
    """Listens for the four calls of the gateway and gives them to a messenger, which has the methods

    take(events)           -> reasons for refusing events, by position. Returns when the others are on disk
    glance(events)         takes what is useful only now
    answer(peer, question) -> a status and JSON, for a question of a server

    An exception in `take` is a 503: the same events come again."""

    daemon_threads = True

    def __init__(self, address, prefix, secrets, messenger):
        self.prefix, self.secrets, self.messenger = prefix.rstrip("/"), secrets, messenger
        host, _, port = address.rpartition(":")
        super().__init__((host.strip("[]"), int(port)), PushedCall)


class PushedCall(http.server.BaseHTTPRequestHandler):
    """One call of the gateway."""

    protocol_version = "HTTP/1.1"
    timeout = 120  # of a connection that is idle

    def dispatch(self):
        size = self.headers.get("Content-Length", "0")
        if not size.isdigit() or int(size) > BODY_MAX:
            self.close_connection = True
            return self.reply(413, {"error": f"at most {BODY_MAX} bytes, with a Content-Length"})
        body = self.rfile.read(int(size))
        if self.server.secrets and not is_signed(self.headers, body, self.server.secrets):
            return self.reply(401, {"error": "no signature with a secret of ours; compare the secret files and the clocks"})
        path = self.path.removeprefix(self.server.prefix)
        if (self.command, path) == ("GET", "/ping"):
            return self.reply(204)
        try:
            whole = json.loads(body)
        except ValueError:
            return self.reply(400, {"error": "the body is not JSON"})
        messenger = self.server.messenger
        try:
            if self.command == "PUT" and path.startswith("/transactions/"):
                refused = messenger.take(whole["events"])
                listed = [{"position": position, "reason": reason} for position, reason in refused.items()]
                return self.reply(200, {"refused": listed} if listed else {})
            if (self.command, path) == ("POST", "/ephemeral"):
                messenger.glance(whole["events"])
                return self.reply(200, {})
            if (self.command, path) == ("POST", "/rpc"):
                return self.reply(*messenger.answer(self.headers.get("Fernpost-Peer", ""), whole))
        except Exception as error:  # whatever it is, the gateway has to keep the events
            self.log_error("%s %s failed: %r", self.command, self.path, error)
            return self.reply(503, {"error": "not now"})
        return self.reply(404, {"error": f"no such call: {self.command} {self.path}"})

    do_GET = do_PUT = do_POST = dispatch

    def reply(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, *_):
        pass


class SampleMessenger:
    """Keeps each event as a line of a file, and prints it. A real messenger has a database in the place of the file."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.ids = collections.OrderedDict()
        self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.size = 0  # of the lines that are whole; what follows is a write that was cut off, whose events come again
        with open(path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    self.size += len(line)
                    self.remember(json.loads(line)["id"])
        os.truncate(self.file, self.size)

    def remember(self, event_id):
        self.ids[event_id] = None
        if len(self.ids) > IDS_KEPT:
            self.ids.popitem(last=False)

    def take(self, events):
        with self.lock:
            refused, new = {}, []
            for event in events:
                reason = self.refusal(event)
                if reason:
                    refused[event["position"]] = reason
                elif event["id"] not in self.ids:  # an event comes again after a crash of either side
                    new.append(event)
            lines = b"".join(json.dumps(event).encode() + b"\n" for event in new)
            written = 0
            while written < len(lines):
                written += os.pwrite(self.file, lines[written:], self.size + written)
            os.fsync(self.file)
            self.size += written
            for event in new:
                self.remember(event["id"])
        sys.stdout.write(lines.decode())
        sys.stdout.flush()
        return refused

    def refusal(self, event):
        """Returns why this event can never be taken. It goes to a quarantine, and the events after it go on."""
        if event["kind"] == "message" and event["type"] == "m.text":
            if not isinstance(event["content"], dict) or not isinstance(event["content"].get("body"), str):
                return "a text message needs a body"
        return None  # of a kind that this messenger does not know, too: it is taken and ignored

    def glance(self, events):
        for event in events:
            print(json.dumps(event), flush=True)

    def answer(self, peer, question):
        match question:
            case {"method": "echo"}:
                return 200, {"peer": peer, "echo": question}
            case _:
                return 404, {"error": "this messenger answers the method echo only", "code": "UNKNOWN_METHOD"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument("--gateway", default="http://127.0.0.1:9881")
    everywhere.add_argument("--token-file")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", parents=[everywhere])
    run.add_argument("--listen", default="127.0.0.1:7000")
    run.add_argument("--prefix", default="/fernpost")
    run.add_argument("--secret-file")
    run.add_argument("--data", required=True)
    say, update, ask = (commands.add_parser(name, parents=[everywhere]) for name in ("say", "update", "ask"))
    say.add_argument("context")
    say.add_argument("text")
    for command in (update, ask):
        command.add_argument("peer")
        command.add_argument("json", type=json.loads)
    for command in (say, update):
        command.add_argument("--id", default=f"m-{uuid.uuid4()}")
    given = parser.parse_args()
    token = open(given.token_file, encoding="utf-8").read().strip() if given.token_file else None
    gateway = GatewayClient(given.gateway, token)
    if given.command == "run":
        secrets = read_secrets(given.secret_file) if given.secret_file else []
        listener = PushListener(given.listen, given.prefix, secrets, SampleMessenger(given.data))
        try:
            gateway.call("POST", "/v1/ping")  # "I am back": what waits is pushed at once
        except OSError as error:
            print(f"the gateway is not reachable yet: {error}", file=sys.stderr)
        print(f"listening on {given.listen}", file=sys.stderr, flush=True)
        try:
            listener.serve_forever()
        except KeyboardInterrupt:
            return
    elif given.command == "say":
        status, answer = gateway.say(given.id, given.context, {"body": given.text})
    elif given.command == "update":
        status, answer = gateway.update(given.id, given.peer, given.json)
    else:
        status, _, answer = gateway.ask(given.peer, given.json)
    print(json.dumps(answer))
    sys.exit(0 if status < 300 else 1)


if __name__ == "__main__":
    main()
