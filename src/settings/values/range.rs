//! A range of addresses as written: "10.0.0.0/8", or a single address.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::{self, Deserialize, Deserializer};

/// A range; a bare address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressRange(pub(crate) IpNet);

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| one()).map(Self).map_err(|_| {
            let words = "is neither a range of addresses such as \"10.0.0.0/8\" nor an address such as \"10.0.0.2\"";
            de::Error::custom(format_args!("\"{text}\" {words}"))
        })
    }
}
