// The graph of a context: depth from left to right, one lane a server, parents as edges, missing messages as open circles.

import { byName } from './model.js';

const SVG = 'http://www.w3.org/2000/svg';
const COLUMN = 46;
const MARGIN = 26;
const RADIUS = 8;

/** Creates an element of the picture. */
function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Returns the place of each message and of each missing one: column and lane. */
function layOut(model) {
  const list = model.list();
  const missing = model.missing();
  const origins = [...list, ...missing].map(({ origin }) => origin);
  const lanes = [...new Set([...model.status.participants, ...origins])].sort(byName);
  const depths = [...new Set(list.map(({ depth }) => depth))].sort((a, b) => a - b);
  const column = new Map(depths.map((depth, at) => [depth, at]));
  const places = new Map();
  const taken = new Set();
  const put = (id, at, origin) => {
    const lane = lanes.indexOf(origin);
    // Two messages of one server in one column stand side by side.
    while (taken.has(`${at},${lane}`)) at += 0.5;
    taken.add(`${at},${lane}`);
    places.set(id, { at, lane });
  };
  for (const { id, depth, origin } of list) put(id, column.get(depth), origin);
  for (const { id, origin, children } of missing) {
    const after = children.map((child) => places.get(child)?.at).filter((at) => at !== undefined);
    put(id, after.length > 0 ? Math.max(0, Math.min(...after) - 1) : depths.length, origin);
  }
  const width = Math.max(0, ...[...places.values()].map(({ at }) => at));
  return { list, missing, lanes, places, width };
}

export class Graph {
  /** `select` is called with the id of a message that was chosen. */
  constructor(svg, laneList, select) {
    this.svg = svg;
    this.laneList = laneList;
    this.select = select;
    this.guides = svg.appendChild(shape('g', { class: 'guides' }));
    this.edges = svg.appendChild(shape('g', { class: 'edges' }));
    this.nodes = svg.appendChild(shape('g', { class: 'nodes' }));
    this.shown = { edges: new Map(), nodes: new Map() };
    this.context = null;
    svg.addEventListener('keydown', (event) => this.move(event));
    svg.addEventListener('click', (event) => this.choose(event.target));
  }

  /** Draws the context. `cut` are the servers that cannot be reached from here. */
  draw(model, selected, cut) {
    const isOther = this.context !== model.name;
    if (isOther) {
      this.context = model.name;
      for (const kind of Object.values(this.shown)) {
        for (const made of kind.values()) made.remove();
        kind.clear();
      }
    }
    const scroller = this.svg.parentElement;
    const wasAtEnd = isOther || scroller.scrollWidth - scroller.scrollLeft - scroller.clientWidth < COLUMN * 2;
    const { list, missing, lanes, places, width } = layOut(model);
    const laneHeight = parseFloat(getComputedStyle(this.svg).getPropertyValue('--lane')) || 40;
    const x = ({ at }) => MARGIN + at * COLUMN;
    const y = ({ lane }) => (lane + 0.5) * laneHeight;
    const size = { width: Math.max(width * COLUMN + 2 * MARGIN, scroller.clientWidth), height: lanes.length * laneHeight };
    this.svg.setAttribute('width', size.width);
    this.svg.setAttribute('height', size.height);
    this.drawLanes(lanes, cut, size.width, y);
    const line = (from, to) => {
      const [x1, y1, x2, y2] = [x(from), y(from), x(to), y(to)];
      const bend = Math.min((x2 - x1) / 2, COLUMN * 0.7);
      return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
    };
    const wantedEdges = new Map();
    const wantedNodes = new Map();
    for (const message of list) {
      const place = places.get(message.id);
      for (const parent of message.prev) {
        const from = places.get(parent);
        // Parents that are older than what the page shows end in a short line.
        const d = from ? line(from, place) : `M${x(place) - COLUMN * 0.45} ${y(place)}L${x(place)} ${y(place)}`;
        wantedEdges.set(`${parent} ${message.id}`, { d, kind: from ? 'edge' : 'edge early', server: message.origin });
      }
      const kind = model.isPending(message) ? 'node pending' : 'node';
      wantedNodes.set(message.id, { place, kind, server: message.origin, words: `${message.origin}: ${message.text}` });
    }
    for (const { id, origin, isWanted, children } of missing) {
      const place = places.get(id);
      for (const child of children.filter((child) => places.has(child))) {
        const d = line(place, places.get(child));
        wantedEdges.set(`${id} ${child}`, { d, kind: 'edge lost', server: origin });
      }
      const words = isWanted ? `a message of ${origin} that is waited for` : `a message of ${origin} that is missing`;
      wantedNodes.set(id, { place, kind: isWanted ? 'gap wanted' : 'gap', server: origin, words });
    }
    this.update(this.shown.edges, this.edges, wantedEdges, () => shape('path', { pathLength: 1 }), (made, { d, kind, server }) => {
      made.setAttribute('d', d);
      made.setAttribute('class', kind);
      made.dataset.server = server;
    });
    const focus = selected ?? list.at(-1)?.id;
    this.update(this.shown.nodes, this.nodes, wantedNodes, newNode, (made, wanted, id) => {
      made.setAttribute('class', wanted.kind);
      made.style.transform = `translate(${x(wanted.place)}px, ${y(wanted.place)}px)`;
      made.dataset.server = wanted.server;
      made.dataset.pdu = id;
      made.dataset.at = `${wanted.place.at},${wanted.place.lane}`;
      made.setAttribute('aria-label', wanted.words);
      made.setAttribute('aria-pressed', String(id === selected));
      made.setAttribute('tabindex', id === focus ? '0' : '-1');
      if (made.firstChild.textContent !== wanted.words) made.firstChild.textContent = wanted.words;
    });
    if (wasAtEnd) {
      scroller.scrollTo({ left: size.width, behavior: isOther ? 'instant' : 'smooth' });
    }
  }

  drawLanes(lanes, cut, width, y) {
    const words = lanes.map((name) => `${name} ${cut.has(name)}`).join(' ');
    if (this.laneWords !== words) {
      this.laneWords = words;
      this.laneList.replaceChildren(...lanes.map((name) => {
        const item = document.createElement('li');
        item.textContent = name;
        item.dataset.server = name;
        item.classList.toggle('cut', cut.has(name));
        return item;
      }));
    }
    this.guides.replaceChildren(...lanes.map((name, lane) => {
      const at = y({ lane });
      const guide = shape('line', { x1: 0, x2: width, y1: at, y2: at, class: cut.has(name) ? 'guide cut' : 'guide' });
      guide.dataset.server = name;
      return guide;
    }));
  }

  /** Makes what is new, changes what is there, and removes the rest; elements stay, so that only new ones are animated. */
  update(shown, parent, wanted, make, change) {
    for (const [id, made] of shown) {
      if (!wanted.has(id)) {
        made.remove();
        shown.delete(id);
      }
    }
    for (const [id, what] of wanted) {
      if (!shown.has(id)) shown.set(id, parent.appendChild(make()));
      change(shown.get(id), what, id);
    }
  }

  choose(target) {
    const node = target.closest('[data-pdu]');
    if (node) this.select(node.dataset.pdu);
  }

  /** Arrow keys go to the nearest message in that direction, Enter and the space bar choose one. */
  move(event) {
    const node = event.target.closest('[data-pdu]');
    if (!node) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.choose(node);
      return;
    }
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const place = (of) => of.dataset.at.split(',').map(Number);
    const [at, lane] = place(node);
    const cost = (other) => {
      const [dx, dy] = [place(other)[0] - at, place(other)[1] - lane];
      const along = dx * way[0] + dy * way[1];
      return along > 0 ? along + 2 * Math.abs(dx * way[1] + dy * way[0]) : Infinity;
    };
    const [nearest] = [...this.shown.nodes.values()].sort((a, b) => cost(a) - cost(b));
    if (nearest && cost(nearest) < Infinity) {
      nearest.focus();
      this.choose(nearest);
    }
  }
}

function newNode() {
  const node = shape('g', { role: 'button' });
  node.append(shape('title', {}), shape('circle', { class: 'reach', r: 16 }), shape('circle', { class: 'ring', r: RADIUS + 5 }));
  node.append(shape('circle', { class: 'disc', r: RADIUS }));
  return node;
}
