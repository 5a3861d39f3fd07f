//! The view of a server from outside: it is looked up by its name alone, and each address that the name leads to is called.
//!
//! Nothing of the configuration leads to it: no address, no pin, no certificate of ours and no signature. The address filter applies
//! as to every name, so that a name leads into private networks only where `network.allow` has their ranges.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actors::model::{PushFailure, ServerName, UnreachedReason};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout, timeout_at};

use super::{PeerProbe, ProbeAnswer, read};
use crate::egress::address_book::{PeerRoute, PeerService};
use crate::egress::connection::{ConnectCall, ConnectPlace, OfferedProtocols, StepRecord, StepTrace};
use crate::egress::error_words::in_words;
use crate::egress::http_connection::HttpConnection;
use crate::egress::request_writer::written_target;
use crate::egress::{EgressAnswer, EgressRequest};
use crate::identity::key_directory::KEY_DIRECTORY_PATH;
use crate::tls::certificate::PresentedCertificate;

/// Maximum number of hosts that are looked up: one view is for an operator to read.
const HOSTS_MAX: usize = 4;

/// Maximum number of addresses that are called: both families of each host.
const PLACES_MAX: usize = 8;

/// The times of one view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ViewTimes {
    /// Maximum time of all lookups.
    pub(crate) lookup: Duration,
    /// Maximum time to connect to one address, with TLS.
    pub(crate) connect: Duration,
    /// Maximum time of the request on a connection.
    pub(crate) answer: Duration,
}

/// The view of a server.
pub(crate) struct OutsideView {
    /// Steps of the lookup.
    pub(crate) lookup: Vec<StepRecord>,
    /// Reason for which the lookup led nowhere, if no step has it.
    pub(crate) unfound: Option<UnreachedReason>,
    /// Addresses that were called, in the order in which they would be tried.
    pub(crate) places: Vec<ViewedPlace>,
    /// Number of addresses beyond the maximum, which were not called.
    pub(crate) uncalled: usize,
}

/// One address as it was seen.
pub(crate) struct ViewedPlace {
    /// Host and port that the name led to.
    pub(crate) host: String,
    /// Address and port.
    pub(crate) address: SocketAddr,
    /// Steps of the connection.
    pub(crate) steps: Vec<StepRecord>,
    /// Certificate that was presented, accepted or not.
    pub(crate) certificate: Option<PresentedCertificate>,
    /// Time that the request took.
    pub(crate) took: Duration,
    /// Answer to the request for the key directory; `None`: there was no connection.
    pub(crate) answer: Option<Result<ProbeAnswer, PushFailure>>,
}

impl ViewTimes {
    /// The times of a view that nothing shortens.
    pub(crate) const USUAL: Self =
        Self { lookup: Duration::from_secs(8), connect: Duration::from_secs(5), answer: Duration::from_secs(5) };

    /// Returns the usual times, shortened so that all together end within this time.
    pub(crate) fn within(time: Duration) -> Self {
        let Self { lookup, connect, answer } = Self::USUAL;
        let whole = lookup + connect + answer;
        if time >= whole {
            return Self::USUAL;
        }
        let share = time.as_secs_f64() / whole.as_secs_f64();
        Self { lookup: lookup.mul_f64(share), connect: connect.mul_f64(share), answer: answer.mul_f64(share) }
    }
}

impl PeerProbe {
    /// Looks a server up by its name and calls each address that it leads to, all at once.
    pub(crate) async fn outside_view(
        &self,
        server: &ServerName,
        service: PeerService,
        times: ViewTimes,
    ) -> OutsideView {
        let route = Arc::new(PeerRoute::new(Vec::new(), service));
        let trace = StepTrace::recording();
        let (prefer, protocols) = (None, OfferedProtocols::Both);
        let call = ConnectCall { server, route: &route, prefer, protocols, within: times.connect, trace: &trace };
        let found = timeout(times.lookup, self.connector.places(call, HOSTS_MAX)).await;
        let lookup = trace.take();
        let (mut places, unfound) = match found {
            Ok(Ok(places)) => (places, None),
            Ok(Err(reason)) => (vec![], Some(reason)),
            Err(_elapsed) => (vec![], Some("the name servers did not answer in time".into())),
        };
        let unfound = unfound.filter(|_| lookup.last().is_none_or(|step| step.failure.is_none()));
        let uncalled = places.len().saturating_sub(PLACES_MAX);
        places.truncate(PLACES_MAX);
        let places = join_all(places.iter().map(|place| self.viewed(server, place, &route, times))).await;
        OutsideView { lookup, unfound, places, uncalled }
    }

    async fn viewed(
        &self,
        server: &ServerName,
        place: &ConnectPlace,
        route: &Arc<PeerRoute>,
        times: ViewTimes,
    ) -> ViewedPlace {
        let trace = StepTrace::recording();
        let (prefer, protocols) = (None, OfferedProtocols::Both);
        let call = ConnectCall { server, route, prefer, protocols, within: times.connect, trace: &trace };
        let connection = self.connector.connect_at(place, call).await;
        let began = Instant::now();
        let deadline = began + times.answer;
        let asked = async {
            let begun = HttpConnection::begin(connection.ok()?, Arc::clone(route)).await;
            Some(match begun {
                Ok(connection) => self.asked_for_keys(server, connection, deadline).await,
                Err(error) => Err(PushFailure::Broken(in_words(&error))),
            })
        };
        let answer = timeout_at(deadline, asked).await.unwrap_or(Some(Err(PushFailure::TimedOut)));
        let (steps, certificate) = (trace.take(), trace.certificate());
        ViewedPlace { host: place.host(), address: place.address, steps, certificate, took: began.elapsed(), answer }
    }

    /// Asks for what anybody may read.
    async fn asked_for_keys(
        &self,
        server: &ServerName,
        mut connection: HttpConnection,
        deadline: Instant,
    ) -> Result<ProbeAnswer, PushFailure> {
        let request = EgressRequest::get(KEY_DIRECTORY_PATH, EgressAnswer::Needed);
        let target = written_target(&request.path).expect("the path is plain ASCII");
        let _in_use = connection.in_use();
        let sent = connection.send(self.writer.written(server, target, &request)).await;
        let response = sent.map_err(|failed| PushFailure::Broken(in_words(&failed.error)))?;
        read(response, deadline).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_time_is_shared_out() {
        assert_eq!(ViewTimes::within(Duration::from_secs(60)), ViewTimes::USUAL);
        let ViewTimes { lookup, connect, answer } = ViewTimes::within(Duration::from_secs(9));
        assert_eq!([lookup, connect, answer].map(|time| time.as_millis()), [4_000, 2_500, 2_500]);
        let none = ViewTimes::within(Duration::ZERO);
        assert_eq!(none.lookup + none.connect + none.answer, Duration::ZERO);
    }
}
