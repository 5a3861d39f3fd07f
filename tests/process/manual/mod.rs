//! The manual: what `fernpost manual` prints, the pages of a running gateway, and the examples that are marked `sh run`.

mod examples;
mod page_script;
mod printed;
mod served;
