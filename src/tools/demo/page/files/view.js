// Elements of the page from the model. All texts become text nodes, so that a message can never become markup.

import { byName } from './model.js';

/** Creates an element; `null` children are left out. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

/** Marks and words of what is known about a server and a message. */
export function wordsOf({ server, state, has }, us) {
  if (state === 'author') return { mark: '✎', words: server === us ? `on ${us}'s disk` : 'wrote it', is: 'has' };
  if (state === 'here') return { mark: '✓', words: 'received', is: 'has' };
  if (state === 'built_on') return { mark: '✓', words: 'has answered after it', is: 'has' };
  if (state === 'unknown') return { mark: '·', words: `${us} cannot know`, is: 'unknown' };
  if (state === 'delivered') return { mark: '✓', words: 'taken by its messenger', is: 'has' };
  if (has) return { mark: '✓', words: `on ${server}'s disk`, is: 'has' };
  if (state === 'queued') return { mark: '…', words: 'not yet', is: 'waits' };
  if (state === 'relayed') return { mark: '…', words: 'on its way by a relay', is: 'waits' };
  return { mark: '✕', words: state, is: 'failed' };
}

/** Creates or updates the list item of a message. */
export function messageItem(item, model, message, selected) {
  const isOwn = message.origin === model.us;
  const holders = model.holders(message).filter(({ server }) => server !== message.origin);
  const pills = isOwn ? holders.map((holder) => [holder, wordsOf(holder, model.us)]) : [];
  const key = JSON.stringify([message, selected, pills.map(([{ server }, words]) => [server, words])]);
  if (item?.dataset.key === key) return item;
  const made = el('li', {
    'data-id': message.id,
    'data-author': message.origin,
    'data-server': message.origin,
    'data-key': key,
    class: [isOwn ? 'own' : 'other', selected ? 'selected' : '', item ? '' : 'new'].join(' '),
  });
  const away = message.arrived && message.arrived - message.ts > 3000 ? Math.round((message.arrived - message.ts) / 1000) : 0;
  const remarks = [
    message.late ? 'arrived after it was given up' : null,
    message.gap.length > 0 ? 'a message before this one is missing' : null,
    away > 0 ? `arrived ${away} s after it was written` : null,
  ].filter((remark) => remark !== null);
  const states = pills.map(([{ server }, { mark, words, is }]) => {
    return el('span', { class: `pill ${is}`, 'data-server': server, 'data-state': is, title: `${server}: ${words}` },
      el('span', { 'aria-hidden': 'true' }, mark), ` ${server}`, el('span', { class: 'unseen' }, `: ${words}`));
  });
  const parts = [
    el('p', { class: 'who' }, el('b', {}, message.origin), ' ', el('time', { datetime: new Date(message.ts).toISOString() }, clock.format(message.ts))),
    el('p', { class: 'text', dir: 'auto' }, message.text),
    remarks.length > 0 ? el('p', { class: 'remark' }, remarks.join('; ')) : null,
    el('button', { type: 'button', class: 'state', 'aria-pressed': String(selected) },
      ...(states.length > 0 ? states : [el('span', { class: 'pill has' }, 'who has it?')])),
  ];
  made.append(...parts.filter((part) => part !== null));
  item?.replaceWith(made);
  return made;
}

/** Shows who has received a message. */
export function drawReceipts(panel, model, message) {
  const title = el('h2', {}, 'Who has it');
  if (!message) {
    panel.replaceChildren(title, el('p', { class: 'quiet' }, 'Nothing has been written here yet.'));
    return;
  }
  const rows = model.holders(message).map((holder) => {
    const { mark, words, is } = wordsOf(holder, model.us);
    return el('li', { 'data-server': holder.server, 'data-state': holder.state, class: is },
      el('span', { class: 'mark', 'aria-hidden': 'true' }, mark),
      el('b', {}, holder.server),
      el('span', { class: 'words' }, words),
      holder.reason ? el('small', {}, holder.reason) : null);
  });
  panel.replaceChildren(title, el('blockquote', { dir: 'auto', 'data-server': message.origin }, message.text), el('ul', {}, ...rows));
}

/** Shows the state of the link to each peer, as the messenger API reports it. */
export function drawLinks(panel, peers, cut, us) {
  const now = Date.now();
  const rows = peers.toSorted((a, b) => byName(a.server, b.server)).map((peer) => {
    const next = peer.next_attempt ? Math.max(0, Date.parse(peer.next_attempt) - now) : null;
    const isWaiting = peer.state === 'backing_off' || peer.state === 'waiting';
    const words = {
      idle: 'connected',
      sending: 'sending',
      waiting: 'asked us to wait',
      backing_off: 'does not answer',
      suspended: 'suspended',
    }[peer.state] ?? peer.state;
    const backlog = peer.backlog === 1 ? '1 message waits' : `${peer.backlog} messages wait`;
    const again = isWaiting && next !== null ? `next try in ${(next / 1000).toFixed(1)} s` : null;
    const isCut = cut.has(peer.server) && peer.state === 'idle';
    return el('li', { 'data-server': peer.server, 'data-state': peer.state, class: isWaiting || isCut ? 'waits' : 'has' },
      el('b', {}, peer.server),
      el('span', { class: 'words' }, isCut ? 'nothing to send' : words),
      peer.backlog > 0 ? el('small', {}, [backlog, again].filter(Boolean).join(', ')) : null);
  });
  panel.replaceChildren(el('h2', {}, `Links of ${us}`), el('ul', {}, ...rows));
}

/** Shows the contexts with their unread messages. */
export function drawContexts(list, models, open, choose) {
  const items = [...models.values()].map((model) => {
    const isOpen = model.name === open;
    const button = el('button', { type: 'button', 'aria-current': isOpen ? 'true' : null },
      el('span', {}, model.name),
      model.unread > 0 ? el('span', { class: 'unread' }, String(model.unread), el('span', { class: 'unseen' }, ' unread')) : null);
    button.addEventListener('click', () => choose(model.name));
    return el('li', { 'data-context': model.name }, button);
  });
  const focused = list.contains(document.activeElement) ? document.activeElement.closest('li').dataset.context : null;
  list.replaceChildren(...items);
  if (focused) list.querySelector(`[data-context="${CSS.escape(focused)}"] button`)?.focus();
}

/** Shows the servers of the demo, with links to their pages. */
export function drawServers(list, servers, us, cut) {
  list.replaceChildren(...servers.map(({ name, page }) => {
    const isCut = cut.has(name);
    const link = el('a', { href: page, 'aria-current': name === us ? 'page' : null, target: name === us ? null : `fernpost-${name}` },
      name, isCut ? el('small', {}, ' cut off') : null);
    return el('li', { 'data-server': name, class: isCut ? 'cut' : null }, link);
  }));
}
