//! The options of `fernpost init`.

use std::net::SocketAddr;
use std::path::PathBuf;

use actors::model::ServerName;
use clap::Args;

use crate::cli::init::answers::{CertificateAnswer, PublicAddress, UrlAnswer};

/// Arguments of `init`. The first four are questions that are asked on the terminal if they are left out.
#[derive(Debug, Args)]
pub(in crate::cli) struct InitOptions {
    /// Name of this server, as peers know it, such as red.example.
    #[arg(long)]
    pub(super) name: Option<ServerName>,
    /// Host and port at which peers reach it; the port is 9880 unless it is given.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) reached_at: Option<PublicAddress>,
    /// PEM file with the certificate of that name and those between it and a root; "none" behind a reverse proxy.
    #[arg(long, value_name = "FILE")]
    pub(super) certificate: Option<CertificateAnswer>,
    /// URL that events are pushed to; "none" if the messenger reads them.
    #[arg(long, value_name = "URL")]
    pub(super) push: Option<UrlAnswer>,
    /// Take the suggested answer of each question that is not answered by an option.
    #[arg(long)]
    pub(super) yes: bool,
    /// Folder of the configuration.
    #[arg(long, default_value = ".")]
    pub(super) dir: PathBuf,
    /// Folder of the store and the signing keys: "data" in the folder of the configuration, and /var/lib/fernpost for one in /etc.
    #[arg(long)]
    pub(super) data_dir: Option<PathBuf>,
    /// PEM file with the private key of the certificate; without it, privkey.pem, key.pem or NAME.key beside the certificate.
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// Address and port of the listener for peers, if they differ from those of --reached-at.
    #[arg(long, value_name = "IP:PORT")]
    pub(super) listen: Option<SocketAddr>,
    /// Address and port of the listener for the messenger.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9881")]
    pub(super) messenger: SocketAddr,
    /// Address and port of the listener for operators.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9882")]
    pub(super) admin: SocketAddr,
    /// Print the files, the DNS records and the next commands as JSON; nothing is asked.
    #[arg(long)]
    pub(super) json: bool,
}
