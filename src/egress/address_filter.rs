//! Addresses that a name must not resolve to unless the operator allows them: everything that is not the public
//! internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

const SPECIAL_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 8),       // this network, unspecified
    v4(10, 0, 0, 8),      // private
    v4(100, 64, 0, 10),   // carrier-grade NAT
    v4(127, 0, 0, 8),     // loopback
    v4(169, 254, 0, 16),  // link-local, and the clouds' metadata services
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 24),    // documentation
    v4(192, 88, 99, 24),  // 6to4 relays
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarking
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 4),     // multicast
    v4(240, 0, 0, 4),     // reserved, broadcast
];

const SPECIAL_V6: [Ipv6Net; 14] = [
    v6(0, 0, 0, 96),          // unspecified, loopback, IPv4-compatible
    v6(0x64, 0xff9b, 0, 96),  // NAT64: any IPv4 address behind a translator
    v6(0x64, 0xff9b, 1, 48),  // NAT64, local use
    v6(0x100, 0, 0, 64),      // discard
    v6(0x100, 0, 0, 48),      // dummy, and room for more of its kind
    v6(0x2001, 0, 0, 23),     // protocol assignments, Teredo
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16),     // 6to4: any IPv4 address behind a relay
    v6(0x3fff, 0, 0, 20),     // documentation
    v6(0x5f00, 0, 0, 16),     // segment routing
    v6(0xfc00, 0, 0, 7),      // private
    v6(0xfe80, 0, 0, 10),     // link-local
    v6(0xfec0, 0, 0, 10),     // site-local, retired
    v6(0xff00, 0, 0, 8),      // multicast
];

/// Returns whether a connection to an address that a name leads to is permitted: it is public, or `allows` says that the
/// operator has allowed its range.
///
/// An IPv6 address that contains an IPv4 address (mapped, compatible, NAT64, 6to4) is permitted only if both are: the IPv4
/// address, because a connection may end there, and the IPv6 address as the form that it is, which no public name needs.
pub(super) fn is_permitted(address: IpAddr, allows: impl Fn(IpAddr) -> bool) -> bool {
    match address {
        IpAddr::V4(v4) => !SPECIAL_V4.iter().any(|net| net.contains(&v4)) || allows(address),
        IpAddr::V6(v6) => match contained_v4(v6) {
            Some(v4) => allows(address) && is_permitted(v4.into(), allows),
            None => !SPECIAL_V6.iter().any(|net| net.contains(&v6)) || allows(address),
        },
    }
}

/// Returns the IPv4 address in an IPv6 address of one of the forms that contain one.
fn contained_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let last = (u32::from(g) << 16 | u32::from(h)).into();
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(last),
        // `::` and `::1` are not IPv4-compatible.
        [0, 0, 0, 0, 0, 0] => (g != 0 || h > 1).then_some(last),
        [0x2002, high, low, ..] => Some((u32::from(high) << 16 | u32::from(low)).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    fn permitted(address: &str, allowed: &[&str]) -> bool {
        let ranges: Vec<IpNet> = allowed.iter().map(|range| range.parse().expect("a range")).collect();
        is_permitted(address.parse().expect("an address"), |address| ranges.iter().any(|net| net.contains(&address)))
    }

    #[test]
    fn only_public_addresses_are_permitted() {
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permitted(special, &[]), "{special}");
            let range = if special.contains(':') { format!("{special}/128") } else { format!("{special}/32") };
            let contains_v4 = contained_v4(special.parse().unwrap_or(Ipv6Addr::LOCALHOST)).is_some();
            assert_eq!(permitted(special, &[&range]), !contains_v4, "{special}: its range is allowed");
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860::8888",
        ] {
            assert!(permitted(public, &[]), "{public}");
        }
    }

    #[test]
    fn embedded_address_and_form_count() {
        for (address, form) in [
            ("::ffff:10.0.0.1", "::ffff:0:0/96"),
            ("::10.0.0.1", "::/96"),
            ("64:ff9b::a00:1", "64:ff9b::/96"),
            ("2002:a00:1::5", "2002::/16"),
        ] {
            assert!(!permitted(address, &[]), "{address}");
            assert!(!permitted(address, &[form]), "{address}: the IPv4 address is private");
            assert!(!permitted(address, &["10.0.0.0/8"]), "{address}: the form is not allowed");
            assert!(permitted(address, &[form, "10.0.0.0/8"]), "{address}");
        }
        assert!(!permitted("64:ff9b::101:101", &[]), "a public address in a form that is not allowed");
        assert!(permitted("64:ff9b::101:101", &["64:ff9b::/96"]));
        assert!(permitted("2002:101:101::1", &["2002::/16"]));
    }
}
