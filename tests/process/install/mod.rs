//! What an operator meets first: the version, the package's files, the first configuration, and the connection of two servers.

mod build_facts;
mod first_configuration;
mod join;
mod service;
mod shells;
