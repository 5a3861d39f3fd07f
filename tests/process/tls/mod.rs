//! Listeners with TLS, and callers with client certificates.

mod authority;
mod callers;
mod limits;
mod listeners;
mod mutual;
mod nginx;
mod outbound;
