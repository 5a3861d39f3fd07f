// The messages of a context as a graph, and what is known about who has them. No element of the page is touched here.

/** Messages that a context keeps; the oldest leave first. */
const KEPT_MAX = 300;

/** States of a delivery that end it. */
const ENDS = new Set(['acknowledged', 'delivered', 'rejected', 'refused', 'parked', 'expired']);
/** States that say that the other gateway has it on disk. */
const HAVE = new Set(['acknowledged', 'delivered']);

const idOf = ([origin, pdu]) => `${origin}/${pdu}`;

/** Reads a message from an event or from the history, which have the same form. */
function read(event) {
  const content = event.content ?? {};
  const isText = typeof content === 'object' && typeof content.body === 'string';
  return {
    id: idOf([event.origin, event.pdu_id]),
    origin: event.origin,
    text: isText ? content.body : `(${event.type})`,
    submission: isText && typeof content.submission === 'string' ? content.submission : null,
    prev: event.prev.map(idOf),
    depth: event.depth,
    ts: event.ts,
    gap: (event.gap ?? []).map(idOf),
    late: event.late === true,
    arrived: event.time ? Date.parse(event.time) : null,
  };
}

export class ContextModel {
  constructor(name, us) {
    this.name = name;
    this.us = us;
    this.messages = new Map();
    this.order = [];
    this.status = { participants: [], heads: [], wanted: [], gaps: [], held: 0 };
    this.traces = new Map();
    this.unread = 0;
  }

  /** Takes an event of the feed; returns the message if it is new. */
  takeEvent(event) {
    const message = read(event);
    const known = this.messages.get(message.id);
    if (known) {
      known.arrived ??= message.arrived;
      return null;
    }
    message.seen = performance.now();
    this.messages.set(message.id, message);
    this.order.push(message.id);
    this.trim();
    return message;
  }

  /** Takes the newest page of the history, which was asked for at `asked`. Its order is that of this server. */
  takeHistory(page, asked) {
    const listed = page.toReversed().map(read);
    const ids = new Set(listed.map((message) => message.id));
    for (const message of listed) {
      const known = this.messages.get(message.id);
      message.arrived = known?.arrived ?? null;
      message.seen = known?.seen ?? performance.now();
      this.messages.set(message.id, message);
    }
    const others = this.order.filter((id) => !ids.has(id));
    const isNewer = (id) => this.messages.get(id).seen >= asked;
    this.order = [...others.filter((id) => !isNewer(id)), ...ids, ...others.filter(isNewer)];
    this.trim();
  }

  trim() {
    for (const id of this.order.splice(0, Math.max(0, this.order.length - KEPT_MAX))) {
      this.messages.delete(id);
      this.traces.delete(id);
    }
  }

  /** Takes the status of the context; returns whether a message is missing here that the store has. */
  takeStatus(status) {
    this.status = status;
    return status.heads.some((head) => !this.messages.has(idOf(head)));
  }

  list() {
    return this.order.map((id) => this.messages.get(id));
  }

  newest() {
    return this.messages.get(this.order.at(-1)) ?? null;
  }

  /** Own messages whose delivery has not ended, oldest first. */
  unsettled() {
    return this.list().filter((message) => message.submission && message.origin === this.us && !this.isSettled(message));
  }

  isSettled(message) {
    const trace = this.traces.get(message.id);
    return trace !== undefined && Object.values(trace.peers).every((peer) => ENDS.has(peer.state));
  }

  takeTrace(message, trace) {
    this.traces.set(message.id, trace);
  }

  /** Whether some server is known not to have an own message yet. */
  isPending(message) {
    const trace = this.traces.get(message.id);
    return trace !== undefined && Object.values(trace.peers).some((peer) => !HAVE.has(peer.state));
  }

  /**
   * What this server knows about who has a message: `author`, `here`, a state of the delivery, `built_on` (a message of
   * that server follows it, so it must have it), or `unknown`.
   */
  holders(message) {
    const trace = message.origin === this.us ? this.traces.get(message.id) : undefined;
    return this.status.participants.toSorted(byName).map((server) => {
      if (server === message.origin) return { server, state: 'author' };
      if (server === this.us) return { server, state: 'here' };
      const peer = trace?.peers[server];
      if (peer) return { server, has: HAVE.has(peer.state), ...peer };
      return { server, state: this.followers(server).has(message.id) ? 'built_on' : 'unknown' };
    });
  }

  /** Everything that precedes a message of this server. */
  followers(server) {
    const found = new Set();
    const open = this.list().filter((message) => message.origin === server).flatMap((message) => message.prev);
    while (open.length > 0) {
      const id = open.pop();
      if (found.has(id)) continue;
      found.add(id);
      open.push(...(this.messages.get(id)?.prev ?? []));
    }
    return found;
  }

  /** Missing messages: those that are waited for, and those that were given up, with the messages that follow them. */
  missing() {
    const wanted = this.status.wanted.map((pair) => ({ id: idOf(pair), origin: pair[0], isWanted: true, children: [] }));
    const gaps = this.status.gaps.map(({ missing, children }) => {
      return { id: idOf(missing), origin: missing[0], isWanted: false, children: children.map(idOf) };
    });
    return [...wanted, ...gaps].filter(({ id }) => !this.messages.has(id));
  }
}

/** The order of the demo's servers in all lists. */
export const SERVERS = [];

export const byName = (a, b) => rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0);

function rank(name) {
  const place = SERVERS.indexOf(name);
  return place < 0 ? SERVERS.length : place;
}
