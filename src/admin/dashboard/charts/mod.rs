//! Charts and graphs as SVG: shapes that a template writes into the page. All numbers are computed here; the colours are of the style.

pub(super) mod context_graph;
pub(super) mod flow_chart;
