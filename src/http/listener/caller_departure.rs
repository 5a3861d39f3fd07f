//! The end of a caller during its request: work that only the caller wanted is then given up.

use std::future::pending;
use std::sync::Arc;

use actix_web::HttpRequest;

use crate::http::listener::client_stream::ConnectionFacts;

/// Runs `work` until it ends or the caller closes its connection; `None`: the caller has left, and the work was dropped.
pub(crate) async fn unless_caller_leaves<T>(request: &HttpRequest, work: impl Future<Output = T>) -> Option<T> {
    let progress = request.conn_data::<ConnectionFacts>().map(|facts| Arc::clone(&facts.progress));
    let left = async {
        match progress {
            Some(progress) => progress.caller_left().await,
            // A request without a connection comes from a test.
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = left => None,
    }
}
