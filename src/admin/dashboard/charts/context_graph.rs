//! The graph of a context: messages from left to right, one row for each server, links to parents, and missing parents as gaps.

use std::collections::HashMap;

use askama::Template;

/// Distance of two columns, and of two rows.
const COLUMN: usize = 34;
const ROW: usize = 36;

/// Distance of the first and the last column from the margin.
const MARGIN: usize = 28;

/// Maximum number of rows; the servers beyond it share the last one.
const ROWS_MAX: usize = 10;

/// Number of colours of rows.
const COLOURS: usize = 6;

/// Maximum number of gaps that are drawn for one message.
const GAPS_EACH: usize = 4;

/// A message of the graph.
#[derive(Debug, Clone)]
pub(in crate::admin::dashboard) struct GraphMessage {
    /// Server that created it.
    pub(in crate::admin::dashboard) origin: String,
    /// Its id, as in the ids of events.
    pub(in crate::admin::dashboard) id: String,
    /// Ids of its parents; each as both names that it may have, because the elements of a pair come in either order.
    pub(in crate::admin::dashboard) parents: Vec<[String; 2]>,
    /// Parents that are missing: origin and id.
    pub(in crate::admin::dashboard) missing: Vec<(String, String)>,
    /// Text of the message for people.
    pub(in crate::admin::dashboard) title: String,
    /// Path of the page about it.
    pub(in crate::admin::dashboard) href: String,
    /// True if the message is a head: nothing follows it.
    pub(in crate::admin::dashboard) is_head: bool,
}

/// The graph as shapes.
#[derive(Debug, Template)]
#[template(path = "context_graph.html", config = "src/admin/dashboard/pages/askama.toml")]
pub(in crate::admin::dashboard) struct GraphDrawing {
    width: usize,
    height: usize,
    rows: Vec<GraphRow>,
    links: Vec<GraphLink>,
    nodes: Vec<GraphNode>,
}

/// The row of a server.
#[derive(Debug)]
struct GraphRow {
    name: String,
    y: usize,
    colour: usize,
}

/// A link from a message to a parent.
#[derive(Debug)]
struct GraphLink {
    path: String,
    /// `known`, `gap`, or `early` for a parent before the page.
    class: &'static str,
    colour: usize,
}

/// A message, or a gap.
#[derive(Debug)]
struct GraphNode {
    x: usize,
    y: usize,
    colour: usize,
    title: String,
    /// Path of the page about it; empty for a gap.
    href: String,
    is_gap: bool,
    is_head: bool,
}

/// Places of what was drawn.
#[derive(Default)]
struct DrawnPlaces {
    /// Row of each server by its name.
    rows: HashMap<String, usize>,
    /// Place of each message and each gap by its id.
    nodes: HashMap<String, (usize, usize)>,
}

impl GraphDrawing {
    /// Draws messages, oldest first. `servers` are the participants, whose rows come first.
    pub(in crate::admin::dashboard) fn of(servers: &[String], messages: &[GraphMessage]) -> Self {
        let mut graph = Self { width: 0, height: 0, rows: Vec::new(), links: Vec::new(), nodes: Vec::new() };
        let mut places = DrawnPlaces::default();
        for server in servers.iter().take(ROWS_MAX - 1) {
            graph.row(&mut places, server);
        }
        let mut column = 0;
        for message in messages {
            for (origin, id) in message.missing.iter().take(GAPS_EACH) {
                if !places.nodes.contains_key(id) {
                    graph.gap(&mut places, column, origin, id);
                    column += 1;
                }
            }
            graph.message(&mut places, column, message);
            column += 1;
        }
        graph.width = 2 * MARGIN + column.saturating_sub(1) * COLUMN;
        graph.height = graph.rows.len() * ROW;
        graph
    }

    /// Returns the row of a server.
    fn row(&mut self, places: &mut DrawnPlaces, server: &str) -> usize {
        if let Some(row) = places.rows.get(server) {
            return *row;
        }
        let row = self.rows.len().min(ROWS_MAX - 1);
        if self.rows.len() < ROWS_MAX {
            let name = if row == ROWS_MAX - 1 { "others".to_owned() } else { server.to_owned() };
            self.rows.push(GraphRow { name, y: row * ROW + ROW / 2, colour: row % COLOURS });
        }
        places.rows.insert(server.to_owned(), row);
        row
    }

    fn place(&mut self, places: &mut DrawnPlaces, column: usize, origin: &str, id: &str) -> (usize, usize, usize) {
        let row = self.row(places, origin);
        let (x, y) = (MARGIN + column * COLUMN, row * ROW + ROW / 2);
        places.nodes.insert(id.to_owned(), (x, y));
        (x, y, row % COLOURS)
    }

    fn gap(&mut self, places: &mut DrawnPlaces, column: usize, origin: &str, id: &str) {
        let (x, y, colour) = self.place(places, column, origin, id);
        let (title, href) = (format!("{id} is missing"), String::new());
        self.nodes.push(GraphNode { x, y, colour, title, href, is_gap: true, is_head: false });
    }

    fn message(&mut self, places: &mut DrawnPlaces, column: usize, message: &GraphMessage) {
        let (x, y, colour) = self.place(places, column, &message.origin, &message.id);
        let mut has_early = false;
        for names in &message.parents {
            let found = names.iter().find_map(|name| Some((name, *places.nodes.get(name)?)));
            match found {
                Some((name, from)) => {
                    let is_gap = message.missing.iter().any(|(_, id)| id == name);
                    let class = if is_gap { "gap" } else { "known" };
                    self.links.push(GraphLink { path: curve(from, (x, y)), class, colour });
                }
                // Older messages are on another page; one stub stands for all of them.
                None if !has_early => {
                    has_early = true;
                    let from = (x.saturating_sub(COLUMN), y);
                    self.links.push(GraphLink { path: curve(from, (x, y)), class: "early", colour });
                }
                None => {}
            }
        }
        let GraphMessage { title, href, is_head, .. } = message.clone();
        self.nodes.push(GraphNode { x, y, colour, title, href, is_gap: false, is_head });
    }
}

/// Returns a curve that leaves and enters horizontally.
fn curve((x1, y1): (usize, usize), (x2, y2): (usize, usize)) -> String {
    let middle = (x1 + x2) / 2;
    format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, parents: &[&str]) -> GraphMessage {
        let pair = |id: &&str| {
            let (origin, name) = id.split_once('/').expect("an origin");
            [format!("{name}/{origin}"), (*id).to_owned()]
        };
        GraphMessage {
            origin: id.split_once('/').expect("an origin").0.to_owned(),
            id: id.to_owned(),
            parents: parents.iter().map(pair).collect(),
            missing: vec![],
            title: id.to_owned(),
            href: format!("/trace?id={id}"),
            is_head: false,
        }
    }

    #[test]
    fn graph_links_parents_and_gaps() {
        let servers = ["red".to_owned(), "blue".to_owned()];
        let mut child = message("red/3", &["blue/2", "green/lost"]);
        child.missing.push(("green".to_owned(), "green/lost".to_owned()));
        let graph = GraphDrawing::of(&servers, &[message("red/1", &["red/0"]), message("blue/2", &["red/1"]), child]);
        let rows: Vec<&str> = graph.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(rows, ["red", "blue", "green"]);
        let nodes: Vec<_> = graph.nodes.iter().map(|node| (node.x, node.y, node.is_gap)).collect();
        assert_eq!(nodes, [(28, 18, false), (62, 54, false), (96, 90, true), (130, 18, false)]);
        let links: Vec<_> = graph.links.iter().map(|link| (link.class, link.path.as_str())).collect();
        assert_eq!(
            links,
            [
                ("early", "M0 18C14 18 14 18 28 18"),
                ("known", "M28 18C45 18 45 54 62 54"),
                ("known", "M62 54C96 54 96 18 130 18"),
                ("gap", "M96 90C113 90 113 18 130 18"),
            ]
        );
        assert_eq!((graph.width, graph.height), (158, 108));
    }

    #[test]
    fn graph_bounds_its_rows() {
        let messages: Vec<GraphMessage> = (0..40).map(|at| message(&format!("s{at}/1"), &[])).collect();
        let graph = GraphDrawing::of(&[], &messages);
        assert_eq!((graph.rows.len(), graph.rows[ROWS_MAX - 1].name.as_str()), (ROWS_MAX, "others"));
        assert_eq!(graph.nodes[39].y, graph.nodes[ROWS_MAX - 1].y);
    }

    #[test]
    fn graph_escapes_hostile_texts() {
        let mut hostile = message("red/1", &[]);
        hostile.title = "</title><script>alert(1)</script>".to_owned();
        let drawn = GraphDrawing::of(&["<b>".to_owned()], &[hostile]).render().expect("a graph");
        assert!(!drawn.contains("<script") && !drawn.contains("<b>"), "{drawn}");
    }
}
