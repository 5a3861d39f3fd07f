// The page of one server: connects the stream, the model, and the elements.

import * as calls from './calls.js';
import { Graph } from './graph.js';
import { ContextModel, SERVERS, byName } from './model.js';
import { drawContexts, drawLinks, drawReceipts, drawServers, messageItem } from './view.js';

const $ = (id) => document.getElementById(id);

/** Interval at which deliveries that have not ended are read. */
const RECEIPTS_EVERY = 300;
/** Deliveries of one such read. */
const RECEIPTS_MAX = 50;
/** A typing notification is renewed at most this often, and shown at most this long. */
const TYPING_EVERY = 2500;
const TYPING_SHOWN = 8000;

const models = new Map();
const typists = new Map();
const refreshing = new Map();
let us = '';
let servers = [];
let peers = [];
let cuts = new Set();
let open = '';
let selected = null;
let isStreaming = false;
let outage = null;

const { server, servers: all, contexts } = await calls.start();
us = server;
servers = all;
SERVERS.push(...servers.map(({ name }) => name));
for (const name of contexts) models.set(name, new ContextModel(name, us));
open = contexts[0];
document.documentElement.dataset.server = us;
document.title = `${us} · Fernpost demo`;
$('text').placeholder = `Write as ${us}`;
$('cut').querySelector('.name').textContent = `${us} `;

const graph = new Graph($('graph'), $('lanes'), select);
calls.follow(take, streamOpened, () => {
  isStreaming = false;
  drawNetwork();
});

function streamOpened() {
  isStreaming = true;
  for (const name of models.keys()) refresh(name);
  drawNetwork();
}

/** Reads the newest history of a context; calls during a read cause one more. */
async function refresh(name) {
  if (refreshing.has(name)) {
    refreshing.set(name, true);
    return;
  }
  refreshing.set(name, false);
  try {
    const asked = performance.now();
    const page = await calls.history(name);
    models.get(name).takeHistory(page.history, asked);
    draw(name);
  } catch {
    // The gateway may be stopping; the stream opens again then, and everything is read again.
  }
  const isAgain = refreshing.get(name);
  refreshing.delete(name);
  if (isAgain) await refresh(name);
}

/** Takes an event of the stream. */
function take(kind, event) {
  switch (kind) {
    case 'message':
    case 'state':
      return takeMessage(event);
    case 'ephemeral':
      return takeTyping(event);
    case 'network':
      return takeNetwork(event);
    case 'peers':
      peers = event.peers;
      return drawLinks($('links'), peers, cuts, us);
    case 'context': {
      const model = models.get(event.context);
      if (model?.takeStatus(event)) refresh(event.context);
      return draw(event.context);
    }
    default:
      for (const name of models.keys()) refresh(name);
  }
}

function takeMessage(event) {
  if (!models.has(event.context)) models.set(event.context, new ContextModel(event.context, us));
  const model = models.get(event.context);
  const message = model.takeEvent(event);
  if (!message) return;
  typists.delete(`${model.name} ${message.origin}`);
  if (outage) outage.received += 1;
  if (model.name !== open || document.hidden) model.unread += 1;
  draw(model.name);
  drawTyping();
}

function takeTyping(event) {
  const { update } = event;
  const about = update ?? event.content;
  if ((update ? update.update : event.type) !== 'typing') return;
  const key = `${about.room_id} ${about.user_id}`;
  if (event.ended || about.typing === false) {
    typists.delete(key);
  } else {
    typists.set(key, { context: about.room_id, who: String(about.user_id), until: performance.now() + TYPING_SHOWN });
  }
  drawTyping();
}

function takeNetwork({ cut }) {
  const before = cuts;
  cuts = new Set(cut);
  if (cuts.has(us)) outage ??= { since: Date.now(), received: 0, waiting: null };
  if (before.has(us) && !cuts.has(us) && outage) {
    outage.received = 0;
    outage.waiting = [...models.values()].reduce((sum, model) => sum + model.unsettled().length, 0);
    outage.healed = performance.now();
  }
  drawNetwork();
  draw(open);
}

/** Servers that this one cannot reach. */
function unreachable() {
  return cuts.has(us) ? new Set(SERVERS.filter((name) => name !== us)) : cuts;
}

function select(id) {
  const model = models.get(open);
  if (!model.messages.has(id)) return;
  selected = id;
  draw(open);
  $('messages').querySelector(`[data-id="${CSS.escape(id)}"]`)?.scrollIntoView({ block: 'nearest' });
}

function choose(name) {
  open = name;
  selected = null;
  models.get(name).unread = 0;
  draw(name);
  drawTyping();
  $('messages').scrollTop = $('messages').scrollHeight;
}

function draw(name) {
  drawContexts($('contexts'), models, open, choose);
  const unread = [...models.values()].reduce((sum, model) => sum + model.unread, 0);
  document.title = `${unread > 0 ? `(${unread}) ` : ''}${us} · Fernpost demo`;
  if (name !== open) return;
  const model = models.get(open);
  $('title').textContent = model.name;
  $('participants').textContent = model.status.participants.toSorted(byName).join(', ');
  drawMessages(model);
  graph.draw(model, selected, unreachable());
  $('summary').textContent = summary(model);
  drawReceipts($('receipts'), model, model.messages.get(selected) ?? model.newest());
}

/** The graph in words. */
function summary(model) {
  const counted = (count, one, more) => `${count} ${count === 1 ? one : more}`;
  const words = [counted(model.order.length, 'message', 'messages')];
  const branches = model.status.heads.length;
  if (branches > 1) words.push(`${branches} open branches`);
  const missing = model.missing();
  const wanted = missing.filter(({ isWanted }) => isWanted).length;
  if (wanted > 0) words.push(`${wanted} waited for, ${counted(model.status.held, 'message waits', 'messages wait')} behind`);
  if (missing.length > wanted) words.push(counted(missing.length - wanted, 'gap', 'gaps'));
  return words.join(' · ');
}

function drawMessages(model) {
  const list = $('messages');
  if (list.dataset.context !== model.name) list.replaceChildren();
  list.dataset.context = model.name;
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const shown = new Map([...list.children].map((item) => [item.dataset.id, item]));
  let last = null;
  for (const message of model.list()) {
    const item = messageItem(shown.get(message.id), model, message, message.id === selected);
    shown.delete(message.id);
    const place = last ? last.nextElementSibling : list.firstElementChild;
    if (place !== item) list.insertBefore(item, place);
    last = item;
  }
  for (const item of shown.values()) item.remove();
  list.classList.toggle('empty', model.order.length === 0);
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

function drawTyping() {
  const now = performance.now();
  for (const [key, { until }] of typists) if (until < now) typists.delete(key);
  const names = [...typists.values()].filter(({ context }) => context === open).map(({ who }) => who).sort(byName);
  const words = names.length === 0 ? '' : `${names.join(' and ')} ${names.length === 1 ? 'is' : 'are'} typing`;
  if ($('typing').textContent !== words) $('typing').textContent = words;
}

function drawNetwork() {
  const isCut = cuts.has(us);
  document.documentElement.classList.toggle('is-cut', isCut);
  $('network').textContent = !isStreaming ? 'page disconnected' : isCut ? 'cut off' : 'connected';
  $('cut').setAttribute('aria-pressed', String(isCut));
  drawServers($('servers'), servers, us, cuts);
  drawLinks($('links'), peers, unreachable(), us);
  drawBanner();
}

/** Tells what an outage does to the messages, and when everything has arrived. */
function drawBanner() {
  const banner = $('banner');
  let words = '';
  if (cuts.has(us)) {
    words = `${us} is cut off. What you write stays on its disk until the network is back.`;
  } else if (outage && outage.waiting !== null) {
    const waits = [...models.values()].reduce((sum, model) => sum + model.unsettled().length + model.status.held, 0);
    const isQuiet = performance.now() - outage.healed > 3500;
    if (waits > 0 || !isQuiet) {
      words = `The network is back. ${waits > 0 ? `${waits} to go.` : 'Catching up.'}`;
    } else if (performance.now() - outage.healed < 12000) {
      const parts = [[outage.waiting, 'sent'], [outage.received, 'received']].filter(([count]) => count > 0);
      const counts = parts.map(([count, word]) => `${count} ${word}`).join(' and ');
      words = counts ? `Everything has arrived: ${counts} after the cut.` : 'The network is back. Nothing was missed.';
    } else {
      outage = null;
    }
  } else if (cuts.size > 0) {
    const names = [...cuts].sort(byName).join(' and ');
    words = `${names} ${cuts.size === 1 ? 'is' : 'are'} cut off. Messages wait here, and arrive later.`;
  }
  if (banner.textContent !== words) banner.textContent = words;
  banner.hidden = words === '';
  banner.classList.toggle('good', !cuts.has(us) && outage !== null);
}

/** Reads the deliveries that have not ended, one read at a time. */
async function readReceipts() {
  const waiting = [...models.values()].flatMap((model) => model.unsettled().map((message) => ({ model, message })));
  const asked = waiting.slice(0, RECEIPTS_MAX);
  if (asked.length > 0) {
    try {
      const { traces } = await calls.receipts(asked.map(({ message }) => message.submission));
      for (const { model, message } of asked) {
        const trace = traces[message.submission];
        // A submission that the gateway no longer knows has ended.
        model.takeTrace(message, trace ?? { peers: {} });
      }
      draw(open);
    } catch {
      // The next read may succeed.
    }
  }
  setTimeout(readReceipts, RECEIPTS_EVERY);
}

/** Time of the last typing notification; `null` if none is in effect. */
let typed = null;

function tellTyping() {
  const now = performance.now();
  if ($('text').value === '' || (typed !== null && now - typed < TYPING_EVERY)) return;
  typed = now;
  calls.typing(open, true).catch(() => {});
}

function tellStopped() {
  if (typed === null) return;
  typed = null;
  calls.typing(open, false).catch(() => {});
}

function note(words) {
  $('note').textContent = words;
  $('note').hidden = words === '';
}

async function say(event) {
  event.preventDefault();
  const field = $('text');
  const text = field.value.trim();
  if (text === '') return;
  const context = open;
  field.value = '';
  tellStopped();
  try {
    await calls.say(`page-${crypto.randomUUID()}`, context, text);
    note('');
    selected = null;
    $('messages').scrollTop = $('messages').scrollHeight;
    await refresh(context);
  } catch (error) {
    if (field.value === '') field.value = text;
    note(`Not sent: ${error.message}`);
  }
}

async function switchNetwork() {
  try {
    await calls.cut($('cut').getAttribute('aria-pressed') !== 'true');
  } catch (error) {
    note(error.message);
  }
}

$('say').addEventListener('submit', say);
$('text').addEventListener('input', () => ($('text').value === '' ? tellStopped() : tellTyping()));
$('cut').addEventListener('click', switchNetwork);
$('messages').addEventListener('click', (event) => {
  const item = event.target.closest('[data-id]');
  if (item && getSelection().isCollapsed) select(item.dataset.id);
});
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  models.get(open).unread = 0;
  draw(open);
});
addEventListener('resize', () => draw(open));
setInterval(() => {
  drawTyping();
  drawBanner();
  if (peers.some(({ next_attempt }) => next_attempt)) drawLinks($('links'), peers, unreachable(), us);
}, 500);

choose(open);
readReceipts();
