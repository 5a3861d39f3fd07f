//! `fernpost --version`, and the build script that gives it its facts.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::fixtures::process::fernpost;
use crate::fixtures::tools::repository_file;

#[test]
fn version_states_commit_and_features() {
    let printed = |argument: &str| {
        let output = fernpost().arg(argument).output().expect("the binary starts");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let long = printed("--version");
    let lines: Vec<&str> = long.lines().collect();
    let version = format!("fernpost {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(lines[0], version);
    for (line, head) in lines[1..].iter().zip(["commit: ", "built: ", "features: ", "target: "]) {
        let value = line.strip_prefix(head).unwrap_or_else(|| panic!("{head}: {long}"));
        assert!(!value.is_empty(), "{long}");
    }
    assert_eq!(lines.len(), 5, "{long}");
    assert_eq!(printed("-V").trim_end(), version);
}

/// The options of the allocator are in the program, whatever built it: cargo reads them from `.cargo/config.toml`.
#[test]
fn allocator_has_its_options() {
    let output =
        fernpost().arg("-V").env("_RJEM_MALLOC_CONF", "confirm_conf:true").output().expect("the binary starts");
    let said = String::from_utf8(output.stderr).expect("text");
    for option in ["background_thread:true", "dirty_decay_ms:1000"] {
        assert!(said.contains(&format!("Set conf value: {option}\n")), "{said}");
    }
}

/// The build script as a program of its own, and a folder of sources for it.
struct BuildScript {
    folder: TempDir,
    program: PathBuf,
}

impl BuildScript {
    /// Compiles the build script, with a text of it replaced.
    fn compile(from: &str, to: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = std::fs::read_to_string(repository_file("build.rs")).expect("it is there").replace(from, to);
        let (source, program) = (folder.path().join("build.rs"), folder.path().join("build-script"));
        std::fs::write(&source, text).expect("written");
        let mut rustc = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
        let status = rustc.args(["--edition=2024", "-o"]).arg(&program).arg(&source).status();
        assert!(status.expect("rustc starts").success());
        Self { folder, program }
    }

    /// Returns a folder of sources inside of the folder.
    fn sources(&self, name: &str) -> PathBuf {
        let sources = self.folder.path().join(name);
        std::fs::create_dir_all(&sources).expect("made");
        sources
    }

    /// Runs it for these sources, as cargo would, and returns a fact.
    fn fact(&self, sources: &Path, name: &str, environment: &[(&str, &str)]) -> String {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("CARGO_MANIFEST_DIR", sources).env("PROFILE", "release").env("TARGET", "x86_64-unknown-linux-gnu");
        let output = command.envs(environment.iter().copied()).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).expect("text");
        let head = format!("cargo::rustc-env=FERNPOST_BUILD_{name}=");
        printed.lines().find_map(|line| line.strip_prefix(&head)).unwrap_or_else(|| panic!("{printed}")).to_owned()
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=a", "-c", "user.email=a@a.example"]).args(arguments);
    let output = command.output().expect("git starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn build_states_commit_of_tree() {
    let script = BuildScript::compile("", "");
    let sources = script.sources("tree");
    assert_eq!(script.fact(&sources, "COMMIT", &[]), "unknown", "no git at all");
    git(&sources, &["init", "--quiet"]);
    std::fs::write(sources.join("a"), "1").expect("written");
    git(&sources, &["add", "a"]);
    git(&sources, &["commit", "--quiet", "--message", "one"]);
    let commit = git(&sources, &["rev-parse", "HEAD"]);
    assert_eq!(script.fact(&sources, "COMMIT", &[]), commit);
    std::fs::write(sources.join("a"), "2").expect("written");
    assert_eq!(script.fact(&sources, "COMMIT", &[]), format!("{commit}-modified"));
    assert_eq!(script.fact(&sources, "COMMIT", &[("FERNPOST_COMMIT", "abc")]), "abc", "the variable decides");
    let inner = script.sources("tree/unpacked");
    assert_eq!(script.fact(&inner, "COMMIT", &[]), "unknown", "the commit of another repository is not ours");
    assert_eq!(script.fact(&sources, "COMMIT", &[("PROFILE", "debug")]), "unknown", "a debug build follows no commit");
}

#[test]
fn archive_states_its_commit() {
    let script = BuildScript::compile("$Format:%H$", "0123456789abcdef0123456789abcdef01234567");
    let sources = script.sources("unpacked");
    assert_eq!(script.fact(&sources, "COMMIT", &[]), "0123456789abcdef0123456789abcdef01234567");
    let attributes = std::fs::read_to_string(repository_file(".gitattributes")).expect("it is there");
    assert!(attributes.contains("build.rs export-subst"), "git archive replaces the placeholder");
}

#[test]
fn build_respects_source_date() {
    let script = BuildScript::compile("", "");
    let sources = script.sources("tree");
    let epoch = [("SOURCE_DATE_EPOCH", "1793000000")];
    assert_eq!(script.fact(&sources, "BUILT", &epoch), "1793000000");
    assert!(script.fact(&sources, "BUILT", &[]).parse::<u64>().is_ok_and(|now| now > 1_700_000_000));
    let features = [("CARGO_FEATURE_OTLP", "1"), ("CARGO_FEATURE_ALL_PARTS", "1"), ("CARGO_FEATURE_DEFAULT", "1")];
    assert_eq!(script.fact(&sources, "FEATURES", &features), "all-parts,otlp");
    assert_eq!(script.fact(&sources, "FEATURES", &[]), "none");
}
