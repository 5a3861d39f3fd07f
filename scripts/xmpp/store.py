"""What the connector keeps over a restart, in one SQLite file: what occupants say until the gateway has it, what occupants see
until the XMPP server has it, and who is in which room."""

import json
import sqlite3
import time

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
-- Rooms; `ready`: the gateway knows the context and its peers. `subject` and its author.
CREATE TABLE IF NOT EXISTS rooms (room TEXT PRIMARY KEY, ready INTEGER NOT NULL DEFAULT 0, subject TEXT, subject_by TEXT);
-- What occupants said, in order. The submission id makes a repeated stanza the same one. state: waiting, taken, refused.
CREATE TABLE IF NOT EXISTS submissions (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, submission TEXT NOT NULL UNIQUE, room TEXT NOT NULL, author TEXT, nick TEXT,
  stanza_id TEXT, body TEXT NOT NULL, state TEXT NOT NULL, pdu TEXT, time INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS waiting ON submissions (room, seq) WHERE state = 'waiting';
-- What occupants see, in order. Those after `handed` in meta may not have reached the XMPP server yet. `id` is the id of the
-- gateway's event, so an event that comes again is known.
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, room TEXT NOT NULL, id TEXT NOT NULL UNIQUE, entry TEXT NOT NULL,
  is_message INTEGER NOT NULL, time INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS spoken ON entries (room, seq) WHERE is_message;
-- Occupants on this side, by full JID. They see the entries after `since`; older ones were their history.
CREATE TABLE IF NOT EXISTS occupants (
  room TEXT NOT NULL, jid TEXT NOT NULL, nick TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (room, jid));
-- Occupants of other servers: user as their server names it, nick as it is shown here.
CREATE TABLE IF NOT EXISTS members (
  room TEXT NOT NULL, server TEXT NOT NULL, user TEXT NOT NULL, nick TEXT NOT NULL, PRIMARY KEY (room, server, user));
"""

WEEK = 7 * 24 * 3600 * 1000  # as messenger.submissions_keep and feed.retain of the gateway


def now():
    """Returns the time in milliseconds."""
    return int(time.time() * 1000)


class ConnectorStore:
    """The file. `with store:` is one transaction, which is on disk afterwards."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.executescript(SCHEMA)

    def __enter__(self):
        self.db.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind, *_):
        self.db.execute("COMMIT" if kind is None else "ROLLBACK")

    def _one(self, query, *values):
        return self.db.execute(query, values).fetchone()

    def _all(self, query, *values):
        return self.db.execute(query, values).fetchall()

    def get(self, key, default=None):
        row = self._one("SELECT value FROM meta WHERE key = ?", key)
        return row[0] if row else default

    def set(self, key, value):
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, str(value)))

    def prune(self):
        """Forgets what nobody can ask for any more."""
        before = now() - WEEK
        with self:
            self.db.execute("DELETE FROM submissions WHERE state != 'waiting' AND time < ?", (before,))
            handed = int(self.get("handed", 0))
            self.db.execute("DELETE FROM entries WHERE time < ? AND seq <= ?", (before, handed))

    # Rooms

    def rooms(self):
        return [room for (room,) in self._all("SELECT room FROM rooms ORDER BY room")]

    def has_room(self, room):
        return self._one("SELECT 1 FROM rooms WHERE room = ?", room) is not None

    def add_room(self, room):
        """Adds a room; returns whether it is new."""
        return self.db.execute("INSERT OR IGNORE INTO rooms (room) VALUES (?)", (room,)).rowcount > 0

    def is_ready(self, room):
        return bool(self._one("SELECT ready FROM rooms WHERE room = ?", room)[0])

    def set_ready(self, room, ready):
        self.db.execute("UPDATE rooms SET ready = ? WHERE room = ?", (ready, room))

    def none_is_ready(self):
        self.db.execute("UPDATE rooms SET ready = 0")

    def subject(self, room):
        return self._one("SELECT subject, subject_by FROM rooms WHERE room = ?", room) or (None, None)

    def set_subject(self, room, subject, nick):
        self.db.execute("UPDATE rooms SET subject = ?, subject_by = ? WHERE room = ?", (subject, nick, room))

    # What occupants say

    def submit(self, submission, room, author, nick, stanza_id, body):
        """Queues a submission; returns False if the id is known."""
        values = (submission, room, author, nick, stanza_id, json.dumps(body), now())
        query = """INSERT OR IGNORE INTO submissions (submission, room, author, nick, stanza_id, body, state, time)
                   VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?)"""
        return self.db.execute(query, values).rowcount > 0

    def submission(self, submission):
        """Returns room, author, stanza id, body, state and PDU of a submission, or None."""
        query = "SELECT room, author, stanza_id, body, state, pdu FROM submissions WHERE submission = ?"
        return self._one(query, submission)

    def waiting(self):
        return self._one("SELECT count(*) FROM submissions WHERE state = 'waiting'")[0]

    def rooms_waiting(self):
        return [room for (room,) in self._all("SELECT DISTINCT room FROM submissions WHERE state = 'waiting'")]

    def next_waiting(self, room):
        """Returns the oldest submission of a room that the gateway has not answered: its id, nick, stanza id and body."""
        query = """SELECT submission, author, nick, stanza_id, body FROM submissions
                   WHERE room = ? AND state = 'waiting' ORDER BY seq LIMIT 1"""
        return self._one(query, room)

    def settle(self, submission, state, pdu=None):
        query = "UPDATE submissions SET state = ?, pdu = ? WHERE submission = ?"
        self.db.execute(query, (state, pdu, submission))

    # What occupants see

    def append(self, room, entry_id, entry):
        """Appends an entry; returns False if its id is known."""
        spoken = entry["kind"] == "message"
        query = "INSERT OR IGNORE INTO entries (room, id, entry, is_message, time) VALUES (?, ?, ?, ?, ?)"
        return self.db.execute(query, (room, entry_id, json.dumps(entry), spoken, now())).rowcount > 0

    def has_entry(self, entry_id):
        return self._one("SELECT 1 FROM entries WHERE id = ?", entry_id) is not None

    def handed_entry(self, entry_id):
        """Returns an entry that the occupants have."""
        row = self._one("SELECT entry FROM entries WHERE id = ? AND seq <= ?", entry_id, int(self.get("handed", 0)))
        return row and json.loads(row[0])

    def last_entry(self):
        return self._one("SELECT max(seq) FROM entries")[0] or 0

    def entries_after(self, seq, limit):
        """Returns number, room, id, entry and time of the next entries."""
        query = "SELECT seq, room, id, entry, time FROM entries WHERE seq > ? ORDER BY seq LIMIT ?"
        return [(seq, room, key, json.loads(entry), time) for seq, room, key, entry, time in self._all(query, seq, limit)]

    def messages(self, room, limit, after):
        """Returns id and entry of the last messages of a room that came at this time or later, the oldest first."""
        query = """SELECT id, entry FROM entries WHERE room = ? AND is_message AND time >= ? ORDER BY seq DESC LIMIT ?"""
        return [(key, json.loads(entry)) for key, entry in self._all(query, room, after, limit)][::-1]

    def first_message_time(self, room):
        row = self._one("SELECT time FROM entries WHERE room = ? AND is_message ORDER BY seq LIMIT 1", room)
        return row and row[0]

    # Occupants

    def occupants(self, room):
        """Returns JID, nick and `since` of the occupants on this side."""
        return self._all("SELECT jid, nick, since FROM occupants WHERE room = ? ORDER BY nick, jid", room)

    def occupancy(self, jid):
        return self._all("SELECT room, nick FROM occupants WHERE jid = ?", jid)

    def nick(self, room, jid):
        row = self._one("SELECT nick FROM occupants WHERE room = ? AND jid = ?", room, jid)
        return row and row[0]

    def occupant_count(self):
        return self._one("SELECT count(*) FROM occupants")[0]

    def add_occupant(self, room, jid, nick, since):
        self.db.execute("INSERT OR REPLACE INTO occupants VALUES (?, ?, ?, ?)", (room, jid, nick, since))

    def remove_occupant(self, room, jid):
        self.db.execute("DELETE FROM occupants WHERE room = ? AND jid = ?", (room, jid))

    def members(self, room):
        """Returns server and nick of the occupants of other servers."""
        return self._all("SELECT server, nick FROM members WHERE room = ? ORDER BY nick", room)

    def member(self, room, server, user):
        row = self._one("SELECT nick FROM members WHERE room = ? AND server = ? AND user = ?", room, server, user)
        return row and row[0]

    def add_member(self, room, server, user, nick):
        self.db.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?)", (room, server, user, nick))

    def remove_member(self, room, server, user):
        self.db.execute("DELETE FROM members WHERE room = ? AND server = ? AND user = ?", (room, server, user))

    def member_count(self, room):
        return self._one("SELECT count(*) FROM members WHERE room = ?", room)[0]

    def nicks(self, room):
        """Returns all nicks that are shown in a room."""
        query = "SELECT nick FROM occupants WHERE room = ? UNION SELECT nick FROM members WHERE room = ?"
        return {nick for (nick,) in self._all(query, room, room)}
