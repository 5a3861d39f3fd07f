//! A running `fernpost demo` with its pages.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::fixtures::process::fernpost;

/// A demo that runs until this is dropped.
pub(super) struct RunningDemo {
    child: Child,
    servers: Value,
}

impl RunningDemo {
    /// Starts it, and reads its addresses.
    pub(super) fn start() -> Self {
        let mut demo = fernpost();
        let demo = demo.args(["demo", "--json"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = demo.spawn().expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        let mut addresses: Value = serde_json::from_str(&line).expect("one line of JSON");
        Self { child, servers: addresses["servers"].take() }
    }

    /// Returns an address of a server: its `page`, `messenger`, `admin` or `federation`.
    pub(super) fn address(&self, server: &str, listener: &str) -> String {
        let servers = self.servers.as_array().expect("a list");
        let found = servers.iter().find(|entry| entry["name"] == server).expect("a server of the demo");
        found[listener].as_str().expect("a URL").to_owned()
    }
}

impl Drop for RunningDemo {
    fn drop(&mut self) {
        // TERM, so that it deletes its data. Both fail only if the process has ended.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
