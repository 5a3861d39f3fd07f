//! The topics of the manual: one page of `docs/` each, in the order of a first reading.

/// One page of the manual.
#[derive(Debug, PartialEq, Eq)]
pub struct ManualTopic {
    /// Name, which is that of its file in `docs/`.
    pub name: &'static str,
    /// Its content in one sentence.
    pub summary: &'static str,
    /// Its text, in Markdown.
    pub text: &'static str,
}

macro_rules! topics {
    ($($name:literal: $summary:literal,)*) => {
        &[$(ManualTopic {
            name: $name,
            summary: $summary,
            text: include_str!(concat!("../../../docs/", $name, ".md")),
        },)*]
    };
}

/// All topics. Those up to `upgrading` are for every operator, the others for special questions.
pub const TOPICS: &[ManualTopic] = topics! {
    "concepts": "The words: servers, peers, contexts, messages, the feed, and what \"accepted\" and \"acknowledged\" mean.",
    "start": "Two gateways on one machine, a first message, and an outage to watch, in five minutes.",
    "install": "Package, container, and the first configuration by fernpost init.",
    "connecting": "Two servers over the internet: names, certificates, join tokens, and fernpost peer explain.",
    "messenger": "The API of the messenger: every call, every event and every code, with examples.",
    "configuration": "Every key: its default, its form, and whether a reload applies it; where keys are set.",
    "operating": "Commands, exit codes, reload, checks, logs, metrics, data and backups.",
    "trouble": "Symptoms: what you see, why, the command that shows more, and what to do.",
    "security": "What protects the gateway, and a list to go through before strangers can reach it.",
    "upgrading": "How a new version is installed, and how one goes back.",
    "guarantees": "What is guaranteed, and the exceptions.",
    "protocol": "What is sent to peers and accepted from them, with every code.",
    "xmpp": "How an XMPP server is put behind a gateway.",
    "attacks": "Who could try what, what stops it, and the test that shows it.",
    "performance": "How speed and memory are measured.",
    "architecture": "The parts and the invariants, for readers of the code.",
    "life-of-a-pdu": "The steps of a message through the code, for readers of the code.",
};

impl ManualTopic {
    /// Returns the topic of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TOPICS.iter().find(|topic| topic.name == name)
    }

    /// Returns the title, which is the first heading.
    pub fn title(&self) -> &'static str {
        let first = self.text.lines().find_map(|line| line.strip_prefix("# "));
        first.unwrap_or(self.name)
    }
}
