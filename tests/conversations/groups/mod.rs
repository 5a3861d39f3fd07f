//! Contexts that are groups for a server without PDUs.

mod bridged;
mod crashes;
mod server_of_2016;
