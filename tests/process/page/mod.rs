//! The pages of `fernpost demo`: their marks and headers, and a conversation with an outage in a real browser.

mod browser;
mod demo;
mod outage;
mod policy;
