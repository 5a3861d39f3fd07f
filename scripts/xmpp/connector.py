"""Between the gateway and the XMPP server: what occupants say is submitted, and what the gateway pushes is handed to occupants.

Both ways pass through the store, so a crash loses nothing that was taken. Each room has one order: that of its entries."""

import asyncio
import concurrent.futures
import contextlib
import hashlib
import json
import logging
import urllib.parse

from . import service, stanzas
from .service import RoomService
from .store import ConnectorStore, now
from .stream import ComponentStream

log = logging.getLogger("connector")

HAND_MAX = 100  # entries that are sent before the XMPP server has to show that it has them
MARK_PATIENCE = 30  # seconds
LATE = 10_000  # milliseconds after which an entry is shown with its time
MEMBERS_MAX = 10_000  # occupants of other servers in one room
TYPING_CALLS_MAX = 4
TYPING_BACKLOG = 1 << 16  # bytes unsent to the XMPP server above which typing is not shown


def event_id(event):
    """Returns the id of a message. Events of the feed have it as `id`, those of the history by its parts."""
    return f"{event['origin']}/{event['pdu_id']}"


class Connector:
    """Runs in one event loop. `gateway` is a GatewayClient of messenger.py; its calls block, and run in threads."""

    def __init__(self, gateway, peers, domain, secret, xmpp, path):
        self.gateway, self.peers = gateway, peers
        self.store = ConnectorStore(path)
        self.stream = ComponentStream(domain, secret, xmpp, self.receive, self.on_session)
        self.service = RoomService(domain, self.store, self, self.stream.write)
        self.domain = domain
        self.loop = None
        self.tasks = set()
        self.workers = {}  # room -> the task that submits what its occupants say
        self.locks = {}  # room -> held while nobody knows whether the gateway has a submission
        self.appended = asyncio.Event()
        self.pushed = asyncio.Event()
        self.doubtful = self.store.last_entry()  # up to here entries may have been sent before, by a run that ended
        self.typing_calls = 0
        self.marks = {}  # id of a mark -> a future
        self.threads = concurrent.futures.ThreadPoolExecutor(16)

    async def run(self):
        self.loop = asyncio.get_running_loop()
        self.store.prune()
        with self.store as store:
            store.none_is_ready()  # the list of peers may be another one now
        for room in self.store.rooms_waiting():
            self.wake_room(room)
        self.appended.set()
        await asyncio.gather(self.stream.run(), self.always(self.hand_out), self.always(self.prune))

    async def always(self, work):
        """Begins a loop again that failed, for example because the disk was full."""
        while True:
            try:
                await work()
            except Exception:
                log.exception("a loop failed; it begins again")
                await asyncio.sleep(1)
                self.appended.set()

    async def prune(self):
        while True:
            await asyncio.sleep(3600)
            self.store.prune()

    def spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def receive(self, xml):
        self.service.receive(xml)

    async def call(self, method, path, body=None, timeout=15):
        work = lambda: self.gateway.call(method, path, body, timeout)
        return await self.loop.run_in_executor(self.threads, work)

    def context_path(self, room):
        return "/v1/contexts/" + urllib.parse.quote("#" + room, safe="")

    # Rooms and what their occupants say

    def open_room(self, room):
        """Adds a room, within a transaction. Its own membership keeps this server in the context when nobody is in the room."""
        if self.store.add_room(room):
            digest = hashlib.sha256(room.encode()).hexdigest()[:32]
            content = {"membership": "join", "room": True}
            body = {"type": "m.room.member", "content": content, "user": "xmpp-room"}
            self.store.submit(f"xmpp-room-{digest}", room, None, None, None, body)

    def wake_room(self, room):
        if room not in self.workers:
            self.workers[room] = self.spawn(self.submit_all(room))

    async def submit_all(self, room):
        """Submits what occupants of a room said, one after the other, until nothing waits."""
        delay = 0.1
        try:
            while row := self.store.next_waiting(room):
                try:
                    async with self.locks.setdefault(room, asyncio.Lock()):
                        wait = await self.submit(room, *row)
                except Exception:
                    log.exception("a submission of %s failed", room)
                    wait = delay
                if wait:
                    await asyncio.sleep(max(wait, delay))
                delay = min(delay * 2, 5) if wait else 0.1
        finally:
            del self.workers[room]
        if self.store.next_waiting(room):
            self.wake_room(room)

    async def submit(self, room, submission, author, nick, stanza_id, text):
        """Submits until the outcome is known; returns the seconds to wait before it is tried again, or 0."""
        delay = 0.1
        while True:
            self.pushed.clear()
            try:
                if not self.store.is_ready(room):
                    answer = await self.name_peers(room)
                    if answer:
                        return answer
                body = json.loads(text)
                user = body.pop("user", None)
                if user is not None:
                    body["state_key"] = f"{user}@{self.store.get('server')}"
                status, headers, answer = await self.call("PUT", f"/v1/messages/{submission}", {"context": f"#{room}", **body})
            except OSError as fault:
                status, headers, answer = 0, {}, {"error": str(fault)}
            code = (answer or {}).get("code")
            if status == 202:
                self.taken(room, submission, nick, body, f"{answer['pdu']['origin']}/{answer['pdu']['pdu_id']}")
                return 0
            if status == 404 and code == "UNKNOWN_CONTEXT":
                with self.store as store:
                    store.set_ready(room, False)
            elif status in (429, 503) and code != "OUTCOME_UNKNOWN":
                return float(headers.get("Retry-After") or 1)  # nothing was taken
            elif 400 <= status < 500 and status != 401:
                self.refused(room, submission, author, stanza_id, status, answer or {})
                return 0
            else:
                log.warning("the gateway does not take a message of %s yet: %s", room, answer)
            # Nobody knows whether it was taken. What is pushed meanwhile may answer it, so it waits for this.
            try:
                await asyncio.wait_for(self.pushed.wait(), delay)
            except asyncio.TimeoutError:
                pass
            delay = min(delay * 2, 2)

    async def name_peers(self, room):
        """Names the peers of a context; returns 0, or the seconds to wait."""
        status, headers, answer = await self.call("PUT", self.context_path(room), {"servers": self.peers})
        if status != 200:
            log.error("the gateway refuses to make #%s a context with %s: %s", room, self.peers, answer)
            return float(headers.get("Retry-After") or 5)
        own = [server for server in answer["participants"] if server not in self.peers]
        if not own:
            log.error("--peers names this server itself; leave it out")
            return 5
        known, after = [], {}
        while after is not None and len(known) < MEMBERS_MAX:
            query = urllib.parse.urlencode({"limit": 1000, **after})
            status, _, answer = await self.call("GET", f"{self.context_path(room)}/state?{query}")
            if status != 200:
                return 1
            known += answer["state"]
            after = answer.get("next")
        with self.store as store:
            store.set("server", own[0])
            store.set_ready(room, True)
            for event in known:
                self.learn_state(room, own[0], {"current": True, "id": event_id(event), **event})
        self.appended.set()
        return 0

    def learn_state(self, room, own, event):
        """Takes state that was there before this file. What it says of occupants here may be from a file that was lost."""
        if event["origin"] != own:
            return self.on_state(room, event)
        content = event["content"] if isinstance(event["content"], dict) else {}
        if event["type"] == "m.room.topic" and event["state_key"] == "" and self.store.subject(room)[0] is None:
            self.store.set_subject(room, str(content.get("topic", "")), content.get("nick"))
        nick = content.get("nick")
        if event["type"] == "m.room.member" and content.get("membership") == "join" and isinstance(nick, str):
            if all(nick != other for _, other, _ in self.store.occupants(room)):
                self.service.state(room, nick, "leave")

    def taken(self, room, submission, nick, body, pdu):
        """Settles a submission that is on the gateway's disk, and shows it to the occupants, its author among them."""
        content = body["content"]
        entry = None
        if body["type"] == "m.text":
            entry = {"kind": "message", "nick": nick, "body": content["body"], "id": content["id"], "ts": now()}
        elif body["type"] == "m.room.topic":
            entry = {"kind": "subject", "nick": nick, "subject": content["topic"], "ts": now()}
        with self.store as store:
            store.settle(submission, "taken", pdu)
            if entry:
                store.append(room, pdu, entry)
            if entry and entry["kind"] == "subject":
                store.set_subject(room, content["topic"], nick)
        self.appended.set()

    def refused(self, room, submission, author, stanza_id, status, answer):
        """Settles a submission that the gateway refuses, and tells its author."""
        log.warning("the gateway refuses %s: %s %s", submission, status, answer)
        condition = {403: "forbidden", 409: "conflict"}.get(status, "not-acceptable")
        words = f"{answer.get('code', status)}: {answer.get('error', '')}"
        with self.store as store:
            store.settle(submission, "refused")
            if author:
                self.complain(room, f"refused-{submission}", author, stanza_id, "cancel", condition, words)
        self.appended.set()

    def complain(self, room, key, author, stanza_id, kind, condition, text):
        entry = {"kind": "error", "to": author, "id": stanza_id, "type": kind, "condition": condition, "text": text, "ts": now()}
        self.store.append(room, key, entry)

    def typing(self, room, nick, is_typing):
        """Tells the peers that an occupant types. Nobody waits for it, and at most some are under way."""
        server = self.store.get("server")
        if not server or self.typing_calls >= TYPING_CALLS_MAX:
            return
        update = {"update": "typing", "user_id": f"{nick}@{server}", "room_id": f"#{room}", "nick": nick, "typing": is_typing}
        self.typing_calls += 1
        self.spawn(self.send_typing({"context": f"#{room}", "update": update}))

    async def send_typing(self, body):
        try:
            await self.call("PUT", "/v1/ephemeral", body, timeout=3)
        except OSError:
            pass
        finally:
            self.typing_calls -= 1

    # What the gateway pushes, called from the threads of its listener

    def take(self, events):
        return self.wait_for(self.take_all(events))

    def glance(self, events):
        self.loop.call_soon_threadsafe(self.show_typing, events)

    def answer(self, peer, question):
        return 404, {"error": "an XMPP server answers no questions of peers", "code": "UNKNOWN_METHOD"}

    def wait_for(self, coroutine):
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout=25)  # below messenger.push.timeout
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise

    async def take_all(self, events):
        """Stores what occupants should see, in one transaction; returns reasons for refusing events."""
        self.pushed.set()
        rooms = sorted({room for event in events if (room := stanzas.room_of(event.get("context", "")))})
        refused = {}
        async with contextlib.AsyncExitStack() as stack:
            for room in rooms:
                await stack.enter_async_context(self.locks.setdefault(room, asyncio.Lock()))
            with self.store:
                for event in events:
                    reason = self.take_one(event)
                    if reason:
                        refused[event["position"]] = reason
        self.appended.set()
        for room in rooms:
            self.wake_room(room)
        return refused

    def take_one(self, event):
        kind, room = event["kind"], stanzas.room_of(event.get("context", ""))
        if kind == "delivery":
            return self.on_delivery(event)
        if kind in ("peer", "parked", "notice"):
            log.warning("the gateway says: %s", json.dumps(event))
        if room is None:
            if kind in ("message", "state"):
                log.warning("no room can stand for the context %r; its event %s is not shown", event["context"], event["id"])
            return None
        if not self.store.has_room(room) and len(self.store.rooms()) >= service.ROOMS_MAX:
            return f"more than {service.ROOMS_MAX} rooms"
        self.open_room(room)
        if kind == "message":
            return self.on_pushed_message(room, event)
        if kind == "state":
            return self.on_state(room, event)
        if kind == "gap":
            words = f"{len(event['missing'])} messages before the next one could not be had from any server"
            self.store.append(room, event["id"], {"kind": "notice", "body": words, "ts": now()})
        return None

    def on_pushed_message(self, room, event):
        entry = self.entry_of(room, event)
        if len(entry["body"]) > service.BODY_MAX:
            return f"a message has at most {service.BODY_MAX} characters here"
        self.store.append(room, event["id"], entry)
        return None

    def entry_of(self, room, event):
        """Returns a message of another server, or an own one of the history, as occupants see it."""
        content, origin = event["content"], event["origin"]
        content = content if isinstance(content, dict) else {}
        nick = stanzas.nick_of(content.get("nick")) or origin
        body = content.get("body")
        body = body if isinstance(body, str) and body else f"[{event['type']}]"
        given = content.get("id")
        stanza_id = given if isinstance(given, str) and 0 < len(given) <= 256 else event_id(event)
        if origin != self.store.get("server"):
            nick = self.store.member(room, origin, f"{nick}@{origin}") or self.free_nick(room, origin, nick)
        ts = event["ts"] if isinstance(event["ts"], int) and 0 <= event["ts"] < 1 << 43 else now()
        return {"kind": "message", "nick": nick, "body": stanzas.clean(body), "id": stanzas.clean(stanza_id), "ts": ts}

    def free_nick(self, room, server, nick):
        taken = self.store.nicks(room)
        for shown in (nick, f"{nick}@{server}"):
            if shown not in taken:
                return shown
        return f"{nick}@{server} (2)"

    def on_state(self, room, event):
        content, origin = event["content"], event["origin"]
        if not event["current"] or not isinstance(content, dict):
            return None
        if event["type"] == "m.room.topic" and event["state_key"] == "" and isinstance(content.get("topic"), str):
            if len(content["topic"]) > service.BODY_MAX:
                return f"a subject has at most {service.BODY_MAX} characters here"
            nick = stanzas.nick_of(content.get("nick")) or origin
            subject = stanzas.clean(content["topic"])
            if subject == self.store.subject(room)[0]:
                return None
            self.store.set_subject(room, subject, nick)
            self.store.append(room, event["id"], {"kind": "subject", "nick": nick, "subject": subject, "ts": now()})
        if event["type"] == "m.room.member":
            user = stanzas.clean(event["state_key"])
            # A server speaks for its own users only.
            if not user.endswith(f"@{origin}") and not user.endswith(f":{origin}") or content.get("room") is True:
                return None
            self.on_member(room, event["id"], origin, user, content)
        return None

    def on_member(self, room, key, server, user, content):
        shown = self.store.member(room, server, user)
        joins = content.get("membership") == "join"
        if joins and shown is None and self.store.member_count(room) < MEMBERS_MAX:
            plain = user.removeprefix("@").removesuffix(server)[:-1]
            nick = stanzas.nick_of(content.get("nick")) or stanzas.nick_of(plain) or server
            shown = self.free_nick(room, server, nick)
            self.store.add_member(room, server, user, shown)
            self.store.append(room, key, {"kind": "member", "nick": shown, "joins": True, "ts": now()})
        elif not joins and shown is not None:
            self.store.remove_member(room, server, user)
            self.store.append(room, key, {"kind": "member", "nick": shown, "joins": False, "ts": now()})

    def on_delivery(self, event):
        """Tells an author what became of his message at a peer."""
        known = self.store.submission(event["message"])
        if not known or not known[1] or event["state"] not in ("refused", "parked", "expired", "rejected"):
            return None
        room, author, stanza_id = known[:3]
        words = {"parked": "keeps this message aside", "expired": "was unreachable for too long to get this message"}
        text = f"{event['server']} {words.get(event['state'], 'does not take this message')}"
        text += f": {event['reason']}" if event.get("reason") else ""
        self.complain(room, event["id"], author, stanza_id, "cancel", "undefined-condition", text)
        return None

    def show_typing(self, events):
        if self.stream.unsent() > TYPING_BACKLOG:
            return
        for event in events:
            update = event.get("update") or event.get("content") or {}
            kind = update.get("update") or event.get("type")
            room = stanzas.room_of(str(update.get("room_id", "")))
            nick = stanzas.nick_of(update.get("nick"))
            if kind not in ("typing", "m.typing") or not room or not nick or not self.store.has_room(room):
                continue
            shown = self.store.member(room, event["from"], f"{nick}@{event['from']}")
            if shown:
                self.service.type(room, shown, update.get("typing", True) is not False and not event.get("ended"))

    # What occupants see

    def on_session(self):
        self.appended.set()

    def on_mark(self, mark):
        future = self.marks.pop(mark, None)
        if future and not future.done():
            future.set_result(None)

    async def hand_out(self):
        """Sends entries to the occupants on this side. After each batch a message to ourselves goes through the XMPP server:
        when it comes back, the server has the batch. A batch whose mark did not come back is sent again, with the same ids and
        with its time, as history is, so that clients recognise what they have."""
        number = 0
        while True:
            await self.appended.wait()
            self.appended.clear()
            while self.stream.is_up:
                handed = int(self.store.get("handed", 0))
                batch = self.store.entries_after(handed, HAND_MAX)
                if not batch:
                    break
                for seq, room, key, entry, _ in batch:
                    try:
                        self.show(seq, room, key, entry)
                    except Exception:
                        log.exception("an entry of %s cannot be shown: %s", room, entry)
                number += 1
                mark = f"mark-{now()}-{number}"
                self.marks[mark] = self.loop.create_future()
                self.stream.write(stanzas.element("message", {"from": self.domain, "to": self.domain, "id": mark}))
                try:
                    await self.stream.unless_lost(self.marks[mark], MARK_PATIENCE)
                except (OSError, asyncio.TimeoutError):
                    self.marks.pop(mark, None)
                    log.warning("the XMPP server did not confirm %d entries; they are sent again", len(batch))
                    self.doubtful = batch[-1][0]
                    self.stream.drop()
                    break
                with self.store as store:
                    store.set("handed", batch[-1][0])

    def show(self, seq, room, key, entry):
        if entry["kind"] == "error":
            return self.stream.write(self.service.refusal(room, entry))
        late = seq <= self.doubtful or now() - entry["ts"] > LATE
        for jid, _, since in self.store.occupants(room):
            skipped = self.service.skipped.get((room, jid), ())
            if seq > since and key not in skipped:
                self.stream.write(self.service.message(room, key, entry, jid, late))

    async def older_history(self, room, limit, since):
        """Returns messages from the gateway's history that came before the store's own, the oldest first."""
        have = self.store.messages(room, limit, since)
        first = self.store.first_message_time(room)
        if limit == 0 or len(have) >= limit or (first is not None and since >= first):
            return []
        found, before = [], None
        try:
            if not self.store.get("server"):
                await self.name_peers(room)
            while len(found) < limit:
                query = f"?limit={min(limit, 500)}" + (f"&before={before}" if before is not None else "")
                path = self.context_path(room) + "/history" + query
                status, _, page = await asyncio.wait_for(self.call("GET", path), 5)
                if status != 200:
                    break
                found += [event for event in page["history"] if event["kind"] == "message" and event["ts"] >= since]
                before = page.get("next")
                if before is None or not page["history"] or page["history"][-1]["ts"] < since:
                    break
        except (OSError, asyncio.TimeoutError) as fault:
            log.warning("the gateway's history of %s cannot be had now: %r", room, fault)
        return [(event_id(event), self.entry_of(room, event)) for event in reversed(found[:limit])]

