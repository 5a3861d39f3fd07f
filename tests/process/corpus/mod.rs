//! The corpus: bad inputs by name, each with its verdict. After each area the next good request works, and memory is flat.
//!
//! An area is a table of inputs and the test that sends them to a real process. What is only bytes stands in
//! `tests/process/corpus/tables`; inputs that have to be made, such as certificates, stand beside their test.

mod area;
mod certificates;
mod configurations;
mod handshakes;
mod lookups;
mod requests;
mod signatures;
mod table;

use std::collections::BTreeSet;

/// Least number of inputs in all areas.
const INPUTS_MIN: usize = 300;

#[test]
fn corpus_holds_three_hundred_inputs() {
    let areas = [
        ("updates", requests::names("updates")),
        ("transactions", requests::names("transactions")),
        ("messenger", requests::names("messenger")),
        ("heads", requests::names("heads")),
        ("handshakes", handshakes::names()),
        ("certificates", certificates::names()),
        ("signatures", signatures::names()),
        ("lookups", lookups::names()),
        ("configurations", configurations::names()),
    ];
    let mut all = 0;
    for (area, names) in areas {
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{area}: each input has a name of its own");
        println!("corpus: {area}: {} inputs", names.len());
        all += names.len();
    }
    println!("corpus: {all} inputs in all");
    assert!(all >= INPUTS_MIN, "{all} inputs");
}
