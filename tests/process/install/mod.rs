//! First steps of an operator: the version, the package's files, the first configuration, and the connection of two servers.

mod build_facts;
mod container;
mod first_configuration;
mod join;
mod service;
mod shells;
