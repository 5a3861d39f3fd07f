//! The fates of items: counted for `/metrics`, and if it is on, written to the log of deliveries.
//!
//! The facts are taken where they pass by: the changes that actors submit to the journal (`observed_journal`), and the requests to
//! peers with their answers (`observed_transport`). Both know the [`DeliveryObserver`], which counts (`delivery_metrics`) and passes
//! what happened on to the log (`delivery_log`), which writes records (`record`) by a thread of its own (`record_file`).

mod delivery_log;
mod delivery_metrics;
mod delivery_observer;
mod observed_journal;
mod observed_transport;
mod record;
mod record_file;
#[cfg(test)]
mod tests;

pub use delivery_log::{DeliveryLog, DeliveryLogOutput};
pub use delivery_metrics::DeliveryMetrics;
pub use delivery_observer::DeliveryObserver;
pub use observed_journal::ObservedJournal;
pub use observed_transport::ObservedTransport;
