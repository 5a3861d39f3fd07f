"""The multi-user chat service (XEP-0045): joins, parts, what occupants say, and questions about rooms.

Covered: join with presence and history, self-presence, conflicts of nicks and their change, several clients with one nick,
messages, subjects, typing (XEP-0085), self-ping (XEP-0410), service discovery. Rooms are open and persistent; there are no
owners, affiliations, private messages or configuration.
"""

import hashlib
import json
import logging
import re
import uuid

from slixmpp.jid import JID, InvalidJID

from . import stanzas
from .stanzas import child, element, error, text_element
from .store import now

log = logging.getLogger("connector.service")

WAITING_MAX = 10_000  # stanzas of occupants that the gateway has not answered
OCCUPANTS_MAX = 10_000
ROOMS_MAX = 10_000
TASKS_MAX = 1_000  # joins and submissions under way
NICK_MAX = 150  # bytes; with the server's name it is a key of the state, which has at most 255
BODY_MAX = 100_000  # characters; a stanza of XMPP servers has at most 256 to 512 KiB
HISTORY_DEFAULT, HISTORY_MAX = 20, 1_000  # messages shown to a client that joins
ON_THE_WAY = 10_000  # milliseconds
SUBMISSION_ID = re.compile(r"[A-Za-z0-9._~-]{1,80}")

# Conditions of errors that mean: this client is not there any more.
GONE = {"gone", "item-not-found", "jid-malformed", "recipient-unavailable", "redirect", "remote-server-not-found",
        "remote-server-timeout", "service-unavailable"}
ROOM_FEATURES = [stanzas.DISCO_INFO, stanzas.MUC, stanzas.STANZA_ID, stanzas.PING, "muc_open", "muc_persistent", "muc_public",
                 "muc_semianonymous", "muc_unmoderated", "muc_unsecured", stanzas.MUC + "#stable_id",
                 stanzas.MUC + "#self-ping-optimization"]


def submission_id(bare, stanza_id):
    """Returns the id of the submission of a stanza: the same for the same id of the same author, and of no other author."""
    if not SUBMISSION_ID.fullmatch(stanza_id):
        stanza_id = hashlib.sha256(stanza_id.encode()).hexdigest()[:40]
    return f"xmpp-{hashlib.sha256(bare.encode()).hexdigest()[:16]}-{stanza_id}"


class RoomService:
    """Answers the stanzas of clients. `connector` submits and hands out what follows from them; `send` writes a stanza."""

    def __init__(self, domain, store, connector, send):
        self.domain, self.store, self.connector, self.send = domain, store, connector, send
        self.skipped = {}  # (room, jid) -> ids of events that the history of a client showed before the feed had them

    # Stanzas

    def receive(self, xml):
        """Takes one stanza. Whatever is wrong with it, the stream goes on."""
        name = stanzas.local(xml)
        try:
            try:
                source, target = JID(xml.get("from", "")), JID(xml.get("to", ""))
                source.full.encode(), target.full.encode()
            except (InvalidJID, UnicodeError):
                return self.refuse(xml, "modify", "jid-malformed")
            handle = {"presence": self.on_presence, "message": self.on_message, "iq": self.on_iq}[name]
            handle(xml, source, target)
        except Exception as fault:
            log.exception("a stanza of %s was not handled", xml.get("from"))
            self.refuse(xml, "wait", "internal-server-error", str(fault))

    def refuse(self, xml, kind, condition, text=None):
        """Answers a stanza with an error; never an error with an error."""
        if xml.get("type") in ("error", "result") or not xml.get("from"):
            return
        attributes = {"type": "error", "from": xml.get("to"), "to": xml.get("from"), "id": xml.get("id")}
        self.send(element(stanzas.local(xml), attributes, error(kind, condition, text)))

    def address(self, room, nick=None):
        return f"{room}@{self.domain}" + (f"/{nick}" if nick else "")

    # Presence

    def on_presence(self, xml, source, target):
        kind, room, nick = xml.get("type"), target.node, target.resource
        if kind == "error" and self.is_gone(xml):
            return self.part_everywhere(source.full)
        if kind not in (None, "unavailable"):
            return  # subscriptions and probes
        if not room:
            return
        here = self.store.nick(room, source.full)
        if kind == "unavailable":
            return here and self.part(room, source.full, child(xml, "status"))
        if not nick:
            return self.refuse(xml, "modify", "jid-malformed", "join a room as room@service/nick")
        if len(nick.encode()) > NICK_MAX:
            return self.refuse(xml, "modify", "not-acceptable", f"a nick has at most {NICK_MAX} bytes")
        if here and (here != nick or child(xml, "x", stanzas.MUC) is None):  # else he joins again, to see what he missed
            return self.change(xml, room, source, here, nick)
        if self.is_taken(room, source.bare, nick):
            return self.refuse(xml, "cancel", "conflict", "somebody in the room has this nick")
        if stanzas.room_of("#" + room) is None:
            return self.refuse(xml, "modify", "jid-malformed")
        store = self.store
        is_full = store.occupant_count() >= OCCUPANTS_MAX or len(self.connector.tasks) >= TASKS_MAX
        if is_full or not store.has_room(room) and len(store.rooms()) >= ROOMS_MAX:
            return self.refuse(xml, "wait", "resource-constraint", "too many occupants or rooms here")
        self.connector.spawn(self.join_or_refuse(xml, room, source, nick))

    def is_taken(self, room, bare, nick):
        if any(nick == other for _, other in self.store.members(room)):
            return True
        return any(nick == other and JID(jid).bare != bare for jid, other, _ in self.store.occupants(room))

    async def join_or_refuse(self, xml, *place):
        try:
            await self.join(xml, *place)
        except Exception as fault:
            log.exception("%s cannot join", xml.get("from"))
            self.refuse(xml, "wait", "internal-server-error", str(fault))

    async def join(self, xml, room, source, nick):
        """Lets a client in. Nothing is awaited after the history is there, so no entry falls between it and what follows."""
        wanted = self.wanted_history(xml)
        with self.store:
            self.connector.open_room(room)
        older = await self.connector.older_history(room, *wanted)
        if self.is_taken(room, source.bare, nick):
            return self.refuse(xml, "cancel", "conflict", "somebody in the room has this nick")
        store, jid = self.store, source.full
        history = store.messages(room, *wanted) if wanted[0] else []
        older = [(key, entry) for key, entry in older if not store.has_entry(key)]
        older = older[max(len(older) + len(history) - wanted[0], 0):]
        others = [other for other in store.occupants(room) if other[0] != jid]
        before = store.nick(room, jid)
        with store:
            store.add_occupant(room, jid, nick, store.last_entry())
            if before != nick and all(nick != other for _, other, _ in others):
                self.state(room, nick, "join")
        self.connector.wake_room(room)
        self.skipped[room, jid] = {key for key, _ in older}
        shown = [other for _, other, _ in others if other != nick] + [other for _, other in store.members(room)]
        for other in dict.fromkeys(shown):
            self.send(self.presence(room, other, jid))
        if all(nick != other for _, other, _ in others):
            self.tell(room, nick, skip=jid)
        self.send(self.presence(room, nick, jid, codes=["110"]))
        for key, entry in older + history:
            self.send(self.message(room, key, entry, jid, delayed=True))
        subject, by = store.subject(room)
        author = {"from": self.address(room, by), "to": jid, "type": "groupchat"}
        self.send(element("message", author, text_element("subject", subject or "")))

    def wanted_history(self, xml):
        """Returns how many messages a client wants, and since when."""
        request = xml.find(f"{{{stanzas.MUC}}}x/{{{stanzas.MUC}}}history")
        limit, since = HISTORY_DEFAULT, 0
        if request is not None:
            number = lambda key: int(request.get(key)) if (request.get(key) or "").isdigit() else None
            if number("seconds") is not None:
                limit, since = HISTORY_MAX, now() - number("seconds") * 1000
            if request.get("since"):
                # A client knows when it was shown its last message, and what was on its way behind that one may be lost.
                limit, since = HISTORY_MAX, (stanzas.millis_of(request.get("since")) or 0) - ON_THE_WAY
            if number("maxstanzas") is not None:
                limit = min(number("maxstanzas"), HISTORY_MAX)
            if number("maxchars") == 0:
                limit = 0
        return limit, since

    def presence(self, room, nick, to, kind=None, codes=(), extra="", nick_after=None):
        role = "none" if kind == "unavailable" else "participant"
        item = element("item", {"affiliation": "none", "role": role, "nick": nick_after})
        about = f'<x xmlns="{stanzas.MUC_USER}">{item}{"".join(element("status", {"code": code}) for code in codes)}</x>'
        return element("presence", {"from": self.address(room, nick), "to": to, "type": kind}, extra, about)

    def tell(self, room, nick, kind=None, codes=(), extra="", nick_after=None, skip=None):
        """Sends the presence of an occupant to all occupants on this side; those with this nick know it for their own."""
        for jid, own, _ in self.store.occupants(room):
            if jid != skip:
                more = [*codes, "110"] if own == nick else codes
                self.send(self.presence(room, nick, jid, kind, more, extra, nick_after))

    def change(self, xml, room, source, before, nick):
        """Takes the presence of an occupant: a new status, or a new nick."""
        parts = [part for name in ("show", "status") if (part := child(xml, name)) is not None]
        extra = "".join(text_element(stanzas.local(part), part.text or "") for part in parts)
        if nick == before:
            return self.tell(room, nick, extra=extra)
        if self.is_taken(room, source.bare, nick):
            return self.refuse(xml, "cancel", "conflict", "somebody in the room has this nick")
        self.tell(room, before, "unavailable", ["303"], nick_after=nick)
        with self.store as store:
            store.add_occupant(room, source.full, nick, store.last_entry())
            self.leave_context(room, before, source.full)
            self.state(room, nick, "join")
        self.connector.wake_room(room)
        self.tell(room, nick, extra=extra)

    def part(self, room, jid, status=None, is_gone=False):
        """Takes an occupant out of a room."""
        nick = self.store.nick(room, jid)
        extra = text_element("status", status.text or "") if status is not None else ""
        with self.store as store:
            store.remove_occupant(room, jid)
            self.leave_context(room, nick, jid)
        self.skipped.pop((room, jid), None)
        self.connector.wake_room(room)
        if not is_gone:
            self.send(self.presence(room, nick, jid, "unavailable", ["110"], extra))
        if all(nick != other for _, other, _ in self.store.occupants(room)):
            self.tell(room, nick, "unavailable", extra=extra)

    def part_everywhere(self, jid):
        for room, _ in self.store.occupancy(jid):
            log.info("%s is gone from %s", jid, room)
            self.part(room, jid, is_gone=True)

    def leave_context(self, room, nick, jid):
        """Submits that a nick has left, unless another client has it."""
        if all(nick != other or other_jid == jid for other_jid, other, _ in self.store.occupants(room)):
            self.state(room, nick, "leave")

    def state(self, room, nick, membership):
        content = {"membership": membership, "nick": nick}
        body = {"type": "m.room.member", "content": content, "user": nick}
        self.store.submit(f"xmpp-{uuid.uuid4()}", room, None, nick, None, body)

    def is_gone(self, xml):
        fault = child(xml, "error")
        return fault is not None and any(stanzas.local(part) in GONE for part in fault)

    # Messages

    def on_message(self, xml, source, target):
        kind, room = xml.get("type"), target.node
        if kind == "error":
            return self.part_everywhere(source.full) if self.is_gone(xml) else None
        if target.full == self.domain:
            return source.full == self.domain and self.connector.on_mark(xml.get("id"))
        if kind != "groupchat" or target.resource:
            return self.refuse(xml, "cancel", "feature-not-implemented", "only messages to a whole room are federated")
        nick = self.store.nick(room, source.full)
        if not nick:
            return self.refuse(xml, "modify", "not-acceptable", "join the room first")
        body, subject = child(xml, "body"), child(xml, "subject")
        if body is not None and body.text:
            content = {"body": body.text, "nick": nick, "id": xml.get("id") or str(uuid.uuid4())}
            return self.say(xml, room, source, nick, {"type": "m.text", "content": content})
        if subject is not None and body is None:
            content = {"topic": subject.text or "", "nick": nick}
            return self.say(xml, room, source, nick, {"type": "m.room.topic", "content": content, "state_key": ""})
        states = [stanzas.local(part) for part in xml if part.tag.startswith(f"{{{stanzas.CHAT_STATES}}}")]
        if states:
            self.connector.typing(room, nick, states[0] == "composing")
            self.type(room, nick, states[0] == "composing")
        # Other messages without a body, such as markers of what was read, stay on this side, unseen.

    def say(self, xml, room, source, nick, body):
        """Queues what an occupant said. The echo comes when the gateway has it."""
        if len(str(body["content"])) > BODY_MAX:
            return self.refuse(xml, "modify", "not-acceptable", f"a message has at most {BODY_MAX} characters")
        stanza_id = xml.get("id") or str(uuid.uuid4())
        submission = submission_id(source.bare, stanza_id)
        known = self.store.submission(submission)
        if known:
            return self.repeat(xml, source, known, room, body)
        if self.store.waiting() >= WAITING_MAX:
            return self.refuse(xml, "wait", "resource-constraint", "too many messages wait for the gateway; send it again later")
        with self.store as store:
            store.submit(submission, room, source.full, nick, stanza_id, body)
        self.connector.wake_room(room)

    def repeat(self, xml, source, known, room, body):
        """Answers a stanza whose id its author used before: the author has seen no echo, or reuses ids."""
        known_room, _, _, text, state, pdu = known
        if known_room != room or json.loads(text)["content"] != body["content"]:
            return self.refuse(xml, "cancel", "conflict", "this id was used for another message; send it with a new id")
        if state == "refused":
            return self.refuse(xml, "cancel", "not-allowed", "this message was refused before")
        entry = self.store.handed_entry(pdu) if state == "taken" else None
        if entry:  # else the echo is yet to come
            self.send(self.message(room, pdu, entry, source.full, delayed=True))

    def message(self, room, key, entry, to, delayed):
        """Returns an entry as a stanza for one occupant."""
        kind, ids = "groupchat", element("stanza-id", {"xmlns": stanzas.STANZA_ID, "by": self.address(room), "id": key})
        attributes = {"from": self.address(room, entry.get("nick")), "to": to, "type": kind, "id": entry.get("id")}
        late = {"xmlns": stanzas.DELAY, "from": self.address(room), "stamp": stanzas.stamp(entry["ts"])}
        delay = element("delay", late) if delayed else ""
        match entry["kind"]:
            case "message":
                return element("message", attributes, text_element("body", entry["body"]), ids, delay)
            case "subject":
                return element("message", attributes, text_element("subject", entry["subject"]), ids, delay)
            case "notice":
                return element("message", attributes, text_element("body", entry["body"]), delay)
            case "member":
                return self.presence(room, entry["nick"], to, None if entry["joins"] else "unavailable")
        raise ValueError(f"no such entry: {entry}")

    def refusal(self, room, entry):
        """Returns the error stanza for an author whose message was refused."""
        words = error(entry["type"], entry["condition"], entry["text"])
        attributes = {"type": "error", "from": self.address(room), "to": entry["to"], "id": entry["id"]}
        return element("message", attributes, words)

    def type(self, room, nick, is_typing):
        """Shows that an occupant types, or stops."""
        state = f'<{"composing" if is_typing else "paused"} xmlns="{stanzas.CHAT_STATES}"/>'
        for jid, own, _ in self.store.occupants(room):
            if own != nick:
                self.send(element("message", {"from": self.address(room, nick), "to": jid, "type": "groupchat"}, state))

    # Questions

    def on_iq(self, xml, source, target):
        kind, room, nick = xml.get("type"), target.node, target.resource
        if kind not in ("get", "set"):
            return
        ask = next(iter(xml), None)
        if kind == "set" or ask is None:
            return self.refuse(xml, "cancel", "feature-not-implemented")
        match ask.tag:
            case "{urn:xmpp:ping}ping":
                if nick is None or nick == "" or self.store.nick(room, source.full) == nick:
                    return self.result(xml)
                return self.refuse(xml, "cancel", "not-acceptable", "you are not in this room")
            case "{http://jabber.org/protocol/disco#info}query" if not nick:
                if room and not self.store.has_room(room):
                    return self.refuse(xml, "cancel", "item-not-found")
                name = room or "Federated rooms"
                features = ROOM_FEATURES if room else [stanzas.DISCO_INFO, stanzas.DISCO_ITEMS, stanzas.MUC, stanzas.PING]
                inner = element("identity", {"category": "conference", "type": "text", "name": name})
                inner += "".join(element("feature", {"var": feature}) for feature in features)
                return self.result(xml, f'<query xmlns="{stanzas.DISCO_INFO}">{inner}</query>')
            case "{http://jabber.org/protocol/disco#items}query" if not nick:
                rooms = [] if room else self.store.rooms()[:1000]
                inner = "".join(element("item", {"jid": self.address(name), "name": name}) for name in rooms)
                return self.result(xml, f'<query xmlns="{stanzas.DISCO_ITEMS}">{inner}</query>')
        return self.refuse(xml, "cancel", "service-unavailable")

    def result(self, xml, inner=""):
        attributes = {"type": "result", "from": xml.get("to"), "to": xml.get("from"), "id": xml.get("id")}
        self.send(element("iq", attributes, inner))
