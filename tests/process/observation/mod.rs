//! The eyes of an operator on a running gateway: its log, its log of deliveries, its metrics.

mod deliveries;
mod log_level;
mod prometheus;

use std::process::Output;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;

/// Runs a command with the configuration of a gateway.
async fn operate(gateway: &GatewayProcess, words: &[&str]) -> Output {
    let mut command = fernpost();
    command.args(words).arg("--config").arg(gateway.configured());
    tokio::task::spawn_blocking(move || command.output().expect("the binary starts")).await.expect("it ran")
}

/// Runs a command that has to succeed, and returns its output.
async fn works(gateway: &GatewayProcess, words: &[&str]) -> String {
    let output = operate(gateway, words).await;
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
