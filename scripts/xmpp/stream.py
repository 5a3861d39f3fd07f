"""The stream of an external component (XEP-0114), which connects again for as long as it runs."""

import asyncio
import logging

from slixmpp.componentxmpp import ComponentXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

log = logging.getLogger("connector.stream")

DELAY_MIN, DELAY_MAX = 0.25, 5.0  # seconds between attempts


class ComponentStream:
    """`receive` gets each stanza as an XML element, in order; `on_session` is called when stanzas can be written."""

    def __init__(self, domain, secret, address, receive, on_session):
        host, _, port = address.rpartition(":")
        self.domain, self.address = domain, (host.strip("[]"), int(port))
        self.on_session = on_session
        self.is_up = False
        self.lost = None  # a future: the end of this connection
        self.xmpp = xmpp = ComponentXMPP(domain, secret, *self.address)
        xmpp.enable_direct_tls = False
        for name in ("IM", "IMError", "Presence"):
            xmpp.remove_handler(name)  # they keep rosters
        for name in ("message", "presence", "iq"):
            matcher = MatchXPath(f"{{{xmpp.default_ns}}}{name}")
            xmpp.register_handler(Callback(f"All {name}", matcher, lambda stanza: receive(stanza.xml)))
        xmpp.add_event_handler("session_start", self.on_start)
        xmpp.add_event_handler("disconnected", self.on_loss)
        xmpp.add_event_handler("connection_failed", self.on_loss)
        xmpp.add_event_handler("stream_error", self.on_error)

    async def run(self):
        delay = DELAY_MIN
        while True:
            self.lost = asyncio.get_running_loop().create_future()
            self.xmpp.connect(*self.address)
            reason = await self.lost
            self.xmpp.cancel_connection_attempt()  # slixmpp would double its delays up to five minutes
            log.warning("no connection to the XMPP server at %s:%d: %s", *self.address, reason or "closed")
            delay = DELAY_MIN if self.is_up else min(delay * 2, DELAY_MAX)
            self.is_up = False
            await asyncio.sleep(delay)

    def on_start(self, _):
        log.info("connected to %s:%d as %s", *self.address, self.domain)
        self.is_up = True
        self.on_session()

    def on_loss(self, reason):
        if not self.lost.done():
            self.lost.set_result(reason)

    def on_error(self, fault):
        log.error("the XMPP server says %s: %s", fault["condition"], fault["text"])

    def write(self, text):
        """Writes a stanza. Without a session it is lost, as it is with a session that ends before the server has read it."""
        if self.is_up and self.xmpp.transport:
            self.xmpp.send_raw(text)

    def unsent(self):
        transport = self.xmpp.transport
        return transport.get_write_buffer_size() if transport else 0

    async def unless_lost(self, future, patience):
        """Waits for a future; raises OSError if the connection is lost before."""
        lost = self.lost
        await asyncio.wait({future, lost}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise asyncio.TimeoutError if not lost.done() else ConnectionError("the connection was lost")

    def drop(self):
        """Ends a connection that does not work."""
        if self.xmpp.transport:
            self.xmpp.abort()
