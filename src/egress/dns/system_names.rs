//! The system's files for names: `/etc/hosts`, and the name servers of `/etc/resolv.conf`.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use parking_lot::Mutex;

use super::dns_answer::DnsFailure;
use super::name_servers::NameServers;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;

/// The names of the system. A file that changes is read again before the next question.
pub(super) struct SystemNames {
    timeout: Duration,
    hosts: PathBuf,
    read: Mutex<Option<SystemFiles>>,
}

/// The content of both files, as they were at these times.
struct SystemFiles {
    changed: [Option<SystemTime>; 2],
    hosts: Arc<Hosts>,
    servers: Result<Arc<NameServers>, DnsFailure>,
}

impl SystemNames {
    /// Returns the names of the system; a question to its name servers may take this long.
    pub(super) fn new(timeout: Duration) -> Self {
        Self::with_hosts(timeout, HOSTS)
    }

    fn with_hosts(timeout: Duration, hosts: impl Into<PathBuf>) -> Self {
        Self { timeout, hosts: hosts.into(), read: Mutex::default() }
    }

    /// Returns the addresses of a host in `/etc/hosts`.
    pub(super) fn in_hosts(&self, name: &str) -> Vec<IpAddr> {
        let Ok(name) = Name::from_ascii(name) else { return Vec::new() };
        let hosts = self.with_files(|files| Arc::clone(&files.hosts));
        let of_kind = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found = [RecordType::AAAA, RecordType::A].into_iter().filter_map(of_kind);
        found
            .flat_map(|lookup| lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
            .collect()
    }

    /// Returns the name servers of `/etc/resolv.conf`.
    pub(super) fn servers(&self) -> Result<Arc<NameServers>, DnsFailure> {
        self.with_files(|files| files.servers.clone())
    }

    fn with_files<T>(&self, of: impl FnOnce(&SystemFiles) -> T) -> T {
        let changed = [&*self.hosts, Path::new(RESOLV_CONF)].map(changed_at);
        let mut read = self.read.lock();
        let files = match read.take().filter(|files| files.changed == changed) {
            Some(files) => files,
            None => SystemFiles {
                changed,
                hosts: Arc::new(read_hosts(&self.hosts)),
                servers: NameServers::new(&system_servers(), self.timeout).map(Arc::new),
            },
        };
        of(read.insert(files))
    }
}

/// Returns the hosts of a file; lines that are none, and a file that cannot be read, have none.
fn read_hosts(path: &Path) -> Hosts {
    let mut hosts = Hosts::default();
    if let Ok(file) = File::open(path) {
        let _ = hosts.read_hosts_conf(file);
    }
    hosts
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|state| state.modified()).ok()
}

/// Returns the addresses of the system's name servers; without a usable file that of this machine, as the C library does.
fn system_servers() -> Vec<SocketAddr> {
    let listed = read_system_conf().map(|(config, _)| config.name_servers().iter().map(|server| server.ip).collect());
    let listed: Vec<IpAddr> = listed.unwrap_or_else(|_| vec![Ipv4Addr::LOCALHOST.into()]);
    listed.into_iter().map(|ip| SocketAddr::new(ip, DNS_PORT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_hosts_file_is_read_again() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("hosts");
        let names = SystemNames::with_hosts(Duration::from_secs(1), &path);
        assert_eq!(names.in_hosts("blue.example"), [] as [IpAddr; 0]);
        for (n, text) in ["192.0.2.1 blue.example # a note\n2001:db8::1 Blue.Example\n", "192.0.2.2 blue.example\n"]
            .iter()
            .enumerate()
        {
            std::fs::write(&path, text).expect("a writable folder");
            let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(n as u64);
            File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_modified(changed))
                .expect("the file is there");
            let found: Vec<String> = names.in_hosts("blue.example").iter().map(ToString::to_string).collect();
            assert_eq!(found, [&["2001:db8::1", "192.0.2.1"][..], &["192.0.2.2"]][n]);
        }
        assert_eq!(names.in_hosts("green.example"), [] as [IpAddr; 0]);
    }
}
