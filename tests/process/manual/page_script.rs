//! A script of the examples of a page that are marked `sh run`, which checks what each command prints.
//!
//! The comment `# {..}` below a command has the form of its answer: `..` stands for any text, and what follows the last brace is a remark.
//! A command is repeated until its answer has the form, because an event may still be under way. The loopback address of the page is
//! replaced by one that no other test uses, so that the ports can stay.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::fixtures::process::fernpost;

/// Address in the examples.
const WRITTEN: &str = "127.0.0.1";

/// Seconds after which a script is stopped, with everything that it has started.
const SCRIPT_TIMEOUT: &str = "120";

/// Functions of each script. `shows PLACE FORM COMMAND` runs the command until its output has the form.
const BEGIN: &str = r#"set -eu
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
curl() { command curl -sS "$@"; }
shows() {
  for _ in $(seq 100); do
    seen=$(eval "$3" 2>>shown.log) || true
    if [[ $seen == $2 ]]; then return; fi
    sleep 0.1
  done
  echo "$1: \`$3\` prints $seen" >&2
  exit 1
}
"#;

/// A script that is being written.
pub(crate) struct PageScript {
    text: String,
    address: Ipv4Addr,
}

/// Returns a text as one word of the shell.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Returns the pattern of the shell that an answer of this form fits.
fn pattern(form: &str) -> String {
    let literal = |part: &str| -> String {
        part.chars().flat_map(|c| [(!c.is_alphanumeric()).then_some('\\'), Some(c)]).flatten().collect()
    };
    form.split("..").map(literal).collect::<Vec<_>>().join("*")
}

/// Returns the first object of a text, up to its closing brace; `None` if it is not closed yet.
fn object(text: &str) -> Option<&str> {
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_text = !is_text,
            '{' if !is_text => depth += 1,
            '}' if !is_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[..=at]);
        }
    }
    None
}

impl PageScript {
    /// Returns a script without commands, whose servers listen on this address.
    pub(crate) fn at(address: Ipv4Addr) -> Self {
        Self { text: BEGIN.to_owned(), address }
    }

    /// Returns a text with the address of this script.
    pub(crate) fn addressed(&self, text: &str) -> String {
        text.replace(WRITTEN, &self.address.to_string())
    }

    /// Adds commands.
    pub(crate) fn add(&mut self, commands: &str) {
        self.text += &self.addressed(commands);
    }

    /// Adds the marked examples of a page. Returns the number of forms that are checked.
    pub(crate) fn add_page(&mut self, path: &str) -> usize {
        let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a page");
        let blocks = page.split("\n```sh run\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        blocks.map(|block| self.add_block(path, block)).sum()
    }

    fn add_block(&mut self, path: &str, block: &str) -> usize {
        let block = self.addressed(block);
        let mut lines = block.lines().peekable();
        let mut count = 0;
        while let Some(line) = lines.next() {
            if line.starts_with("# ") {
                continue;
            }
            let mut command = line.to_owned();
            while command.ends_with('\\') {
                let more = lines.next().expect("a line goes on");
                command = format!("{command}\n{more}");
            }
            let mut form = String::new();
            while let Some(comment) = lines.peek().and_then(|line| line.strip_prefix("# ")) {
                let is_begun = !form.is_empty() || comment.starts_with('{');
                if !is_begun || object(&form).is_some() {
                    break;
                }
                form += comment.trim_start();
                lines.next();
            }
            assert!(form.is_empty() || object(&form).is_some(), "{path}: the answer has no end: {form}");
            // Writing to a string cannot fail.
            let _ = match object(&form).filter(|_| !form.is_empty()) {
                None => writeln!(self.text, "{command}"),
                Some(form) => {
                    count += 1;
                    writeln!(self.text, "shows {path} {} {}", word(&pattern(form)), word(&command))
                }
            };
        }
        count
    }

    /// Runs the script in a folder, with the program under test as `fernpost`. Returns its output.
    pub(crate) fn run(&self, folder: &Path) -> Output {
        let programs = folder.join("bin");
        std::fs::create_dir(&programs).expect("a writable folder");
        symlink(fernpost().get_program(), programs.join("fernpost")).expect("a new name");
        std::fs::write(folder.join("script.sh"), &self.text).expect("a writable folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut script = Command::new("timeout");
        script.args([SCRIPT_TIMEOUT, "bash", "script.sh"]).current_dir(folder).env_clear();
        script.env("PATH", format!("{}:{path}", programs.display())).env("NO_PROXY", "*");
        script.output().expect("timeout is installed")
    }
}

#[test]
fn answer_forms_become_patterns() {
    let form = "{\"a\":\"}\",..}";
    assert_eq!(object("{\"a\":\"}\",..}   a remark"), Some(form));
    assert_eq!(object("{\"a\":"), None);
    assert_eq!(pattern("{a:..,[b]}"), "\\{a\\:*\\,\\[b\\]\\}");
    let mut script = PageScript::at(Ipv4Addr::new(127, 1, 2, 3));
    let block = "curl 127.0.0.1:1 \\\n  -d 'x'\n# {\"a\":..,\n#   \"b\":1}   yes\n# a remark\ncurl y\n";
    assert_eq!(script.add_block("p.md", block), 1);
    let added = script.text.strip_prefix(BEGIN).expect("the functions");
    assert_eq!(
        added,
        "shows p.md '\\{\\\"a\\\"\\:*\\,\\\"b\\\"\\:1\\}' 'curl 127.1.2.3:1 \\\n  -d '\\''x'\\'''\ncurl y\n"
    );
}
