//! `fernpost config`: prints the manual.

use crate::cli::{print, print_json};
use crate::settings::Settings;
use crate::terminal::exit_code::FINE;

/// Prints the manual, or its values.
pub(super) fn defaults(json: bool) -> u8 {
    let manual = Settings::defaults_toml();
    if !json {
        return print(manual, FINE);
    }
    let values: toml::Table = toml::from_str(manual).expect("the manual is TOML, as a test proves");
    print_json(&serde_json::to_string(&values).expect("tables always serialize"), FINE)
}
