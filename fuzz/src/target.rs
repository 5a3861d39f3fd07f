//! One binary for all targets: `FUZZ_TARGET` names the one that runs.

#![no_main]

use std::sync::OnceLock;

use fernpost::fuzz_targets::{FuzzTarget, TARGETS};
use libfuzzer_sys::fuzz_target;

fn named() -> FuzzTarget {
    static NAMED: OnceLock<FuzzTarget> = OnceLock::new();
    *NAMED.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let found = TARGETS.iter().find(|(target, _)| *target == name);
        found.unwrap_or_else(|| panic!("there is no target {name}; see src/fuzz_targets.rs")).1
    })
}

fuzz_target!(|data: &[u8]| named()(data));
