#!/usr/bin/env python3
"""What clients see in rooms of the connector: two Prosodies, each behind a gateway, and clients on both sides.

    rooms.py BINARY

Each check is a function below, which is run in its order; the first that fails ends the run with its name and the logs.
"""

import asyncio
import contextlib
import json
import logging
import pathlib
import sys
import tempfile
import urllib.request
from xml.etree.ElementTree import Element

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from xmpp.lab import Lab, LabClient  # noqa: E402
from xmpp.stanzas import CHAT_STATES, DISCO_INFO, DISCO_ITEMS, MUC, element, text_element  # noqa: E402

PATIENCE = 15


async def until(what, condition):
    """Waits for something that has to happen; returns what the condition returns."""
    for _ in range(int(PATIENCE / 0.02)):
        if found := condition():
            return found
        await asyncio.sleep(0.02)
    raise TimeoutError(f"{what}: not within {PATIENCE} s")


class Person(LabClient):
    """A client that sends single stanzas and keeps the errors that come back."""

    def __init__(self, site, account, nick=None):
        super().__init__(site, account, nick)
        self.errors = []

    def connect(self):
        super().connect()
        self.xmpp.add_event_handler("presence_error", lambda presence: self.errors.append(presence.xml))

    def on_error(self, message):
        self.errors.append(message.xml)

    def texts(self):
        return [body.text for xml in self.stanzas if (body := xml.find("{jabber:client}body")) is not None]

    def message(self, text):
        found = [xml for xml in self.stanzas if (body := xml.find("{jabber:client}body")) is not None and body.text == text]
        return found[0] if found else None

    def has_state(self, state):
        return any(xml.find(f"{{{CHAT_STATES}}}{state}") is not None for xml in self.stanzas)

    async def ask(self, to, tag, namespace):
        iq = self.xmpp.make_iq_get(ito=to)
        iq.xml.append(Element(f"{{{namespace}}}{tag}"))
        try:
            return (await iq.send(timeout=PATIENCE)).xml
        except Exception as fault:
            return fault.iq.xml

    def enter(self, nick, history="<history maxstanzas='0'/>"):
        self.send(f"<presence to='{self.site.room}/{nick}'><x xmlns='{MUC}'>{history}</x></presence>")

    def subject(self):
        texts = [subject.text for xml in self.stanzas if (subject := xml.find("{jabber:client}subject")) is not None]
        return texts[-1] if texts else None


def condition(xml):
    return next(iter(xml.find("{jabber:client}error"))).tag.rpartition("}")[2]


async def occupants_see_each_other(lab, ann, bea):
    await ann.start()
    await bea.start()
    await until("bea at red", lambda: ("bea", None) in ann.presences)
    await until("ann at blue", lambda: ("ann", None) in bea.presences)
    subjects = [xml for xml in ann.stanzas if xml.find("{jabber:client}subject") is not None]
    assert len(subjects) == 1 and ann.subject() is None, "an empty subject ends the join"


async def messages_keep_their_ids(lab, ann, bea):
    ann.raw("m1", "hello <&> \u2603")
    theirs = await until("the message", lambda: bea.message("hello <&> \u2603"))
    mine = await until("the echo", lambda: ann.message("hello <&> \u2603"))
    assert theirs.get("id") == mine.get("id") == "m1"
    assert theirs.get("from").endswith("/ann")
    ids = [xml.find("{urn:xmpp:sid:0}stanza-id").get("id") for xml in (mine, theirs)]
    assert ids[0] == ids[1] and ids[0].startswith("red.test/"), ids


async def repeated_stanza_is_the_same_message(lab, ann, bea):
    ann.raw("m1", "hello <&> \u2603")
    await until("another echo", lambda: ann.texts().count("hello <&> \u2603") == 2)
    ann.raw("m1", "another text")
    refused = await until("the error", lambda: ann.errors)
    assert condition(refused[-1]) == "conflict"
    ann.raw("m2", "next")
    await until("the next one", lambda: "next" in bea.texts())
    assert bea.texts().count("hello <&> \u2603") == 1 and "another text" not in bea.texts()


async def typing_is_shown_and_ends(lab, ann, bea):
    ann.send(element("message", {"type": "groupchat", "to": lab.red.room}, f"<composing xmlns='{CHAT_STATES}'/>"))
    await until("typing", lambda: bea.has_state("composing"))
    ann.send(element("message", {"type": "groupchat", "to": lab.red.room}, f"<paused xmlns='{CHAT_STATES}'/>"))
    await until("its end", lambda: bea.has_state("paused"))
    assert not ann.has_state("composing"), "not to its author"


async def subject_reaches_the_other_side(lab, ann, bea):
    bea.send(element("message", {"type": "groupchat", "to": lab.blue.room, "id": "s1"}, text_element("subject", "who waters?")))
    await until("the subject", lambda: ann.subject() == "who waters?")
    await until("the echo", lambda: bea.subject() == "who waters?")


async def taken_nick_is_refused(lab, ann, bea):
    rob = Person(lab.red, "rob")
    rob.join = lambda: None
    rob.connect()
    await until("a session", lambda: rob.xmpp and rob.xmpp.session_bind_event.is_set())
    for nick in ("ann", "bea"):  # of this side, and of the other one
        rob.enter(nick)
        refused = await until("the error", lambda: rob.errors)
        assert condition(refused.pop()) == "conflict", nick
    rob.enter("rob", "<history maxstanzas='2'/>")
    await until("rob", rob.joined.is_set)
    await until("the history", lambda: len(rob.texts()) == 2)
    assert rob.texts() == ["hello <&> \u2603", "next"] and rob.subject() == "who waters?"
    assert all(xml.find("{urn:xmpp:delay}delay") is not None for xml in rob.stanzas[:2])
    assert ("ann", None) in rob.presences and ("bea", None) in rob.presences
    await until("rob at blue", lambda: ("rob", None) in bea.presences)
    rob.enter("bob")
    await until("the new nick", lambda: ("bob", None) in ann.presences and ("rob", "unavailable") in ann.presences)
    await until("the new nick at blue", lambda: ("bob", None) in bea.presences and ("rob", "unavailable") in bea.presences)
    rob.send(element("presence", {"to": f"{lab.red.room}/bob", "type": "unavailable"}))
    await until("his leave", lambda: ("bob", "unavailable") in bea.presences and ("bob", "unavailable") in ann.presences)
    rob.raw("m9", "from outside")
    assert condition(await until("the error", lambda: rob.errors and rob.errors[-1])) == "not-acceptable"
    await rob.stop()


async def same_nick_of_two_servers_is_told_apart(lab, ann, bea):
    lab.cut()
    rob, ben = Person(lab.red, "rob", "sam"), Person(lab.blue, "ben", "sam")
    await rob.start()
    await ben.start()
    lab.mend()
    await until("sam of blue", lambda: ("sam@blue.test", None) in rob.presences)
    await until("sam of red", lambda: ("sam@red.test", None) in ben.presences)
    rob.raw("sam-1", "I am of red")
    shown = await until("his message", lambda: ben.message("I am of red"))
    assert shown.get("from").endswith("/sam@red.test"), shown.get("from")
    await rob.stop()
    await ben.stop()
    await until("they left", lambda: ("sam", "unavailable") in ann.presences and ("sam@blue.test", "unavailable") in ann.presences)


async def questions_are_answered(lab, ann, bea):
    service = lab.red.room.partition("@")[2]
    answer = await ann.ask(service, "query", DISCO_INFO)
    assert any(feature.get("var") == MUC for feature in answer.iter(f"{{{DISCO_INFO}}}feature"))
    items = await ann.ask(service, "query", DISCO_ITEMS)
    assert [item.get("jid") for item in items.iter(f"{{{DISCO_ITEMS}}}item")] == [lab.red.room]
    room = await ann.ask(lab.red.room, "query", DISCO_INFO)
    assert any(feature.get("var") == "muc_open" for feature in room.iter(f"{{{DISCO_INFO}}}feature"))
    assert (await ann.ask(f"{lab.red.room}/ann", "ping", "urn:xmpp:ping")).get("type") == "result"
    assert condition(await ann.ask(f"{lab.red.room}/bea", "ping", "urn:xmpp:ping")) == "not-acceptable"
    assert condition(await ann.ask(f"{lab.red.room}/ann", "vCard", "vcard-temp")) == "service-unavailable"


async def what_is_no_xml_does_not_end_the_stream(lab, ann, bea):
    for n, content in enumerate(['{"body":"a\\u0000b\\ud800c","nick":"x\\u0001y"}', '{"nobody":1}', '[]', '"text"', '{"body":""}']):
        said(lab.red, f"odd-{n}", f'{{"context":"#garden","type":"m.text","content":{content}}}')
    shown = await until("the odd text", lambda: next((text for text in bea.texts() if text.startswith("a")), None))
    assert shown == "a\ufffdb\ufffdc"
    ann.raw("m3", "still there")
    await until("the next one", lambda: "still there" in bea.texts())
    assert bea.texts().count("[m.text]") == 4, bea.texts()


async def refusal_by_a_peer_reaches_the_author(lab, ann, bea):
    # Blue takes red out of the context, so its gateway keeps what red sends aside.
    call(lab.blue, "PUT", "/v1/contexts/%23garden", '{"servers":[]}')
    ann.errors.clear()
    ann.raw("m4", "will be kept aside")
    fault = await until("the error", lambda: ann.errors and ann.errors[-1])
    words = fault.find("{jabber:client}error").find("{urn:ietf:params:xml:ns:xmpp-stanzas}text").text
    assert fault.get("id") == "m4" and "blue.test" in words, words
    call(lab.blue, "PUT", "/v1/contexts/%23garden", '{"servers":["red.test"]}')
    await until("the message after all", lambda: "will be kept aside" in bea.texts())


class RefusingMessenger:
    """A messenger of blue's that refuses all messages which are pushed to it, and takes everything else."""

    REASON = "no such room here"

    async def answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        events = json.loads(await reader.readexactly(int(lengths[0])) or b"{}").get("events", [])
        refused = [{"position": event["position"], "reason": self.REASON} for event in events if event["kind"] == "message"]
        body = json.dumps({"refused": refused}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self.answer(reader, writer)
        writer.close()  # a connection that stays open would get the next events


async def rejection_by_a_messenger_reaches_the_author(lab, ann, bea):
    await lab.blue.connector.kill()
    refusing = await asyncio.start_server(RefusingMessenger().serve, lab.blue.address, 7000, reuse_address=True)
    ann.errors.clear()
    ann.raw("m11", "will be refused")
    fault = await until("the error", lambda: ann.errors and ann.errors[-1])
    assert fault.get("type") == "error" and condition(fault) == "undefined-condition"
    words = fault.find("{jabber:client}error").find("{urn:ietf:params:xml:ns:xmpp-stanzas}text").text
    assert fault.get("id") == "m11" and words == f"blue.test does not take this message: {RefusingMessenger.REASON}", words
    refusing.close()
    await lab.blue.connector.start()
    ann.raw("m12", "after the refusal")
    await until("the next one", lambda: "after the refusal" in bea.texts())
    assert "will be refused" not in bea.texts() and len(ann.errors) == 1


async def xmpp_server_that_restarts_gets_all(lab, ann, bea):
    await lab.blue.prosody.kill()
    ann.raw("m5", "while blue was down")
    await until("the echo", lambda: "while blue was down" in ann.texts())
    await lab.blue.prosody.start()
    await until("the message", lambda: "while blue was down" in bea.texts())
    ann.raw("m6", "afterwards")
    await until("the next one", lambda: "afterwards" in bea.texts())
    assert bea.texts()[-2:] == ["while blue was down", "afterwards"]


async def what_waits_survives_the_connector(lab, ann, bea):
    await lab.red.gateway.kill()
    ann.raw("m7", "while the gateway was down")
    answer = await ann.ask(f"{lab.red.room}/ann", "ping", "urn:xmpp:ping")  # so the connector has read it
    assert answer.get("type") == "result"
    await lab.red.connector.kill()
    await lab.red.connector.start()
    await lab.red.gateway.start()
    await until("the message", lambda: "while the gateway was down" in bea.texts())
    await until("the echo, without a join", lambda: "while the gateway was down" in ann.texts())


async def last_client_may_leave_and_return(lab, ann, bea):
    await ann.stop()
    await until("her leave", lambda: bea.presences[-1] == ("ann", "unavailable"))
    bea.raw("m8", "to nobody")
    await until("the echo", lambda: "to nobody" in bea.texts())
    ann.closing = False
    await ann.start()
    await until("the history", lambda: "to nobody" in ann.texts())
    ann.raw("m9", "to bea")
    await until("the answer", lambda: "to bea" in bea.texts())


async def history_comes_from_the_gateway_too(lab, ann, bea):
    # A connector that lost its file knows nobody and nothing; the gateway does.
    await lab.red.connector.kill()
    for part in ("", "-wal", "-shm"):
        (lab.red.folder / f"connector.db{part}").unlink(missing_ok=True)
    await lab.red.connector.start()
    before = ann.texts()
    ann.stanzas.clear()
    ann.enter("ann", "<history maxstanzas='50'/>")
    await until("the subject", lambda: ann.subject() == "who waters?")
    assert ann.presences[-2:] == [("bea", None), ("ann", None)], ann.presences
    assert set(ann.texts()) >= set(before), ann.texts()
    assert all(ann.texts().count(text) == 1 for text in before if text != "[m.text]"), ann.texts()
    ann.raw("m10", "after the loss")
    await until("the message", lambda: "after the loss" in bea.texts())


def call(site, method, path, body):
    request = urllib.request.Request(f"http://{site.address}:9881{path}", body.encode(), method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def said(site, key, body):
    return call(site, "PUT", f"/v1/messages/{key}", body)


CHECKS = [occupants_see_each_other, messages_keep_their_ids, repeated_stanza_is_the_same_message, typing_is_shown_and_ends,
          subject_reaches_the_other_side, taken_nick_is_refused, same_nick_of_two_servers_is_told_apart, questions_are_answered,
          what_is_no_xml_does_not_end_the_stream, refusal_by_a_peer_reaches_the_author,
          rejection_by_a_messenger_reaches_the_author, xmpp_server_that_restarts_gets_all, what_waits_survives_the_connector,
          last_client_may_leave_and_return, history_comes_from_the_gateway_too]


async def main(binary):
    with tempfile.TemporaryDirectory(prefix="fernpost-xmpp-") as folder:
        lab = Lab(folder, {"red": ["ann", "rob"], "blue": ["bea", "ben"]}, binary)
        for site in (lab.red, lab.blue):
            site.gateway.command += ("--set", "peers.default.receipts=true")
        async with lab:
            ann, bea = Person(lab.red, "ann"), Person(lab.blue, "bea")
            for check in CHECKS:
                try:
                    await check(lab, ann, bea)
                except Exception:
                    for site in (lab.red, lab.blue):
                        print(f"--- {site.name}", (site.folder / "connector.out").read_text()[-4000:], sep="\n")
                    print(f"ann was shown {ann.texts()[-5:]} and {ann.presences[-8:]}")
                    print(f"bea was shown {bea.texts()[-5:]} and {bea.presences[-8:]}")
                    print(f"FAILED: {check.__name__}", flush=True)
                    raise
                print(f"fine: {check.__name__}", flush=True)
            await ann.stop()
            await bea.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(asyncio.wait_for(main(str(pathlib.Path(sys.argv[1]).resolve())), 120))
