//! Contexts that are groups for peers without PDUs: what such a peer says becomes a message that we compose, and messages
//! of the others reach it as updates.

pub(super) mod group_composer;
pub(super) mod passed_on;
pub(super) mod plain_copies;
#[cfg(test)]
mod tests;
