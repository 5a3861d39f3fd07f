//! Pages in a real browser: those of `fernpost demo` with a conversation and an outage, and the dashboard.

mod browser;
mod dashboard;
mod demo;
mod outage;
mod policy;
