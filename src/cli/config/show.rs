//! `fernpost config show`: the effective values, and the place of each.

use actors::model::ServerName;
use clap::Args;

use crate::api::configuration::{ConfigurationValues, ValueRow};
use crate::cli::failure::CommandFailure;
use crate::cli::{ConfigSource, print, print_json};
use crate::settings::ShownValue;
use crate::terminal::exit_code::FINE;
use crate::terminal::table::ColumnAlign::Left;
use crate::terminal::table::TextTable;

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigShow {
    /// Show the values of this peer, with those that it inherits.
    #[arg(long, value_name = "NAME")]
    peer: Option<ServerName>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// Prints the values.
pub(super) fn run(options: &ConfigShow) -> u8 {
    let json = options.json;
    match values(options) {
        Ok(values) => tell(values, json),
        Err(failure) => failure.tell(json),
    }
}

fn values(options: &ConfigShow) -> Result<Vec<ShownValue>, CommandFailure> {
    let sources = options.source.sources();
    let Some(server) = &options.peer else {
        return ShownValue::all(&sources).map_err(|problems| CommandFailure::from(&problems));
    };
    let found = ShownValue::of_peer(&sources, server).map_err(|problems| CommandFailure::from(&problems))?;
    let words = || format!("{server} is not listed under peers.server in {}", options.source.config.display());
    found.ok_or_else(|| CommandFailure::Wrong { code: "NOT_LISTED", words: words() })
}

fn tell(values: Vec<ShownValue>, json: bool) -> u8 {
    if json {
        let row = |ShownValue { key, value, from }| ValueRow { key, value, from };
        let values = ConfigurationValues { values: values.into_iter().map(row).collect() };
        return print_json(&serde_json::to_string(&values).expect("JSON always serializes"), FINE);
    }
    let mut table = TextTable::new([("KEY", Left), ("VALUE", Left), ("FROM", Left)]);
    for ShownValue { key, value, from } in values {
        let value = if value.is_null() { "-".to_owned() } else { value.to_string() };
        table.row(vec![key, value, from]);
    }
    print(&table.text(), FINE)
}
