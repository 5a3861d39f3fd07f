//! Listeners with TLS, and callers with client certificates.

mod acme;
pub(crate) mod authority;
mod callers;
mod checks;
mod directories;
pub(crate) mod directory_server;
mod haproxy;
mod limits;
mod listeners;
mod mutual;
mod nginx;
mod outbound;
mod renewal;
mod stock;
mod strangers;
