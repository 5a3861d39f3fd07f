//! Signed PDUs between gateways: which are signed, who takes them from a third server, and whose come back.

mod own;
mod relayed;
mod signing;
