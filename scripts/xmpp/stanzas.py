"""Stanzas as text, and names of rooms. What other servers wrote is made valid XML here, because a stream ends at the first
character that XML does not know."""

import datetime
import re
from xml.sax.saxutils import escape, quoteattr

from slixmpp.jid import JID, InvalidJID

MUC = "http://jabber.org/protocol/muc"
MUC_USER = MUC + "#user"
CHAT_STATES = "http://jabber.org/protocol/chatstates"
DELAY = "urn:xmpp:delay"
STANZA_ID = "urn:xmpp:sid:0"
PING = "urn:xmpp:ping"
DISCO_INFO = "http://jabber.org/protocol/disco#info"
DISCO_ITEMS = "http://jabber.org/protocol/disco#items"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text):
    """Returns the text with U+FFFD in the place of what XML or UTF-8 cannot carry."""
    return NOT_XML.sub("\ufffd", text)


def element(name, attributes=None, *inner):
    """Returns an element as text; attributes that are None are left out, and `inner` is XML already."""
    given = (attributes or {}).items()
    head = name + "".join(f" {key}={quoteattr(clean(value))}" for key, value in given if value is not None)
    content = "".join(inner)
    return f"<{head}>{content}</{name}>" if content else f"<{head}/>"


def text_element(name, text):
    """Returns an element with text in it."""
    return element(name, None, escape(clean(text)))


def local(xml):
    """Returns the name of an element without its namespace."""
    return xml.tag.rpartition("}")[2]


def child(xml, name, namespace=None):
    """Returns the first child of this name; without a namespace, of the stanza's own."""
    own = xml.tag.rpartition("}")[0].lstrip("{")
    return xml.find(f"{{{own if namespace is None else namespace}}}{name}")


def stamp(millis):
    """Returns a time as XEP-0082 writes it."""
    time = datetime.datetime.fromtimestamp(millis / 1000, datetime.timezone.utc)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


def millis_of(stamp_text):
    """Returns the time of a stamp, or None."""
    try:
        time = datetime.datetime.fromisoformat(stamp_text.replace("Z", "+00:00"))
    except ValueError:
        return None
    time = time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)
    return int(time.timestamp() * 1000)


def error(kind, condition, text=None):
    """Returns the error child of a stanza."""
    words = f'<text xmlns="{ERRORS}">{escape(clean(text))}</text>' if text else ""
    return element("error", {"type": kind}, f'<{condition} xmlns="{ERRORS}"/>', words)


def room_of(context):
    """Returns the room of a context, or None if no room name can stand for it: XMPP folds the case of names, for example."""
    name = context.removeprefix("#")
    try:
        fits = context.startswith("#") and JID(f"{name}@room.invalid").node == name and name != ""
    except (InvalidJID, UnicodeError):
        return None
    return name if fits else None


def nick_of(text):
    """Returns a nick made of what another server wrote, or None if nothing is left of it."""
    if not isinstance(text, str):
        return None
    try:
        return JID(f"room@room.invalid/{clean(text).strip()[:200]}").resource or None
    except (InvalidJID, UnicodeError):
        return None
