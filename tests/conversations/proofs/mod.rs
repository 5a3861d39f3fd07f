//! Signed PDUs between gateways: which are signed, who takes them from a third server, and whose come back.

mod kept_forwards;
mod own;
mod relayed;
mod signing;
