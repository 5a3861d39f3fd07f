"""The messengers of a soak: each sends numbered items through its gateway, and checks what it reads."""

import collections
import dataclasses
import http.client
import json
import threading
import time

# Seconds that a read waits for an event.
WAIT = 5

# Delay before a failed request is repeated.
AGAIN = 0.3


@dataclasses.dataclass
class Verdict:
    """A reader's numbers."""

    expected: int
    received: int
    missing: int
    twice: int
    disorder: int


class Connection:
    """Requests to one listener by one thread. It is opened anew after a failure."""

    def __init__(self, address):
        self.address, self.open = address, None

    def request(self, method, path, body=None):
        """Returns status and JSON; raises OSError if there is no whole answer."""
        try:
            if self.open is None:
                self.open = http.client.HTTPConnection(self.address, 9881, timeout=30)
            self.open.request(method, path, None if body is None else json.dumps(body))
            answer = self.open.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise OSError(str(error)) from error

    def close(self):
        if self.open is not None:
            self.open.close()
            self.open = None


class Messenger:
    """The messenger of one gateway, with a thread that sends and one that reads."""

    def __init__(self, gateway, recipients, pause):
        self.gateway, self.recipients, self.pause = gateway, recipients, pause
        self.context, self.others = None, []
        # Numbers of the items that the gateway has accepted, by stream: "update" or the context.
        self.sent = collections.Counter()
        # Numbers that were read, in their order, by origin and stream.
        self.read = collections.defaultdict(list)
        self.ids = set()
        self.is_sending, self.is_reading = True, True
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.send, self.receive)]

    def join(self, context, servers):
        """Names the other participants of the context that it talks in."""
        status, answer = Connection(self.gateway.address).request("PUT", f"/v1/contexts/{context}", {"servers": servers})
        if status != 200:
            raise OSError(f"{self.gateway.name}: {answer}")
        self.context, self.others = context, servers

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop_sending(self):
        self.is_sending = False
        self.threads[0].join(60)

    def stop_reading(self):
        self.is_reading = False
        self.threads[1].join(60)

    def submit(self, connection, path, body):
        """Submits until the gateway has accepted it. The id of the path makes each repeat the same submission."""
        while True:
            try:
                status, _ = connection.request("PUT", path, body)
                if status == 202:
                    return
            except OSError:
                pass
            time.sleep(AGAIN)

    def send(self):
        connection = Connection(self.gateway.address)
        while self.is_sending:
            number = self.sent["update"] + 1
            item = {"update": "message", "origin": self.gateway.name, "stream": "update", "n": number}
            self.submit(connection, f"/v1/updates/u-{number}", {"to": self.recipients, "strong": [item]})
            self.sent["update"] = number
            if self.context:
                number = self.sent[self.context] + 1
                content = {"origin": self.gateway.name, "stream": self.context, "n": number}
                body = {"context": self.context, "type": "m.text", "content": content}
                self.submit(connection, f"/v1/messages/m-{number}", body)
                self.sent[self.context] = number
            time.sleep(self.pause)
        connection.close()

    def receive(self):
        connection, after = Connection(self.gateway.address), None
        while self.is_reading:
            place = "" if after is None else f"&after={after}&ack=true"
            try:
                status, page = connection.request("GET", f"/v1/events?wait={WAIT}{place}")
            except OSError:
                status = 0
            if status != 200:
                time.sleep(AGAIN)
                continue
            for event in page["events"]:
                self.take(event)
            after = page["next"]
        connection.close()

    def take(self, event):
        """Notes the number of an event. An event that is read again has the same id, and is no second one."""
        if event["id"] in self.ids:
            return
        self.ids.add(event["id"])
        item = event.get("update") or event.get("content") or {}
        if event["kind"] not in ("update", "message") or "n" not in item:
            return
        self.read[item["origin"], item["stream"]].append(item["n"])

    def expected(self, messengers):
        """Returns the count of each stream that it has to read."""
        counts = {}
        for other in messengers:
            if self.gateway.name in other.recipients:
                counts[other.gateway.name, "update"] = other.sent["update"]
            if self.gateway.name in other.others:
                counts[other.gateway.name, other.context] = other.sent[other.context]
        return counts

    def is_complete(self, messengers):
        return all(len(self.read[stream]) >= count for stream, count in self.expected(messengers).items())

    def judge(self, messengers):
        expected = self.expected(messengers)
        received = {stream: set(self.read[stream]) for stream in expected}
        missing = sum(len(set(range(1, count + 1)) - received[stream]) for stream, count in expected.items())
        pairs = (pair for stream in expected for pair in zip(self.read[stream], self.read[stream][1:]))
        disorder = sum(later < earlier for earlier, later in pairs)
        total = sum(map(len, received.values()))
        repeats = sum(len(self.read[stream]) - len(received[stream]) for stream in expected)
        return Verdict(sum(expected.values()), total, missing, repeats, disorder)
