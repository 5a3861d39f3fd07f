//! A stop as the doors see it: what is under way is counted and finished; what comes after it is told to come again, for as long as
//! the listeners stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use tokio::sync::Notify;

/// What all doors of a gateway share.
#[derive(Clone, Default)]
pub struct Closing(Arc<Shared>);

#[derive(Default)]
struct Shared {
    closed: AtomicBool,
    under_way: AtomicUsize,
    ended: Notify,
}

/// One door, for [`admit`]: put into the application's data.
#[derive(Clone)]
pub struct Door {
    closing: Closing,
    later: fn(&str) -> Option<HttpResponse>,
}

/// A request under way, until it is dropped.
struct UnderWay(Closing);

impl Closing {
    /// A door on which `later` answers what comes after the close, by its path; `None` lets it in all the same.
    pub fn door(&self, later: fn(&str) -> Option<HttpResponse>) -> Door {
        Door { closing: self.clone(), later }
    }

    /// From here on nothing new is begun.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }

    /// Yields when nothing is under way.
    pub async fn idle(&self) {
        while self.0.under_way.load(Ordering::SeqCst) > 0 {
            self.0.ended.notified().await;
        }
    }

    fn enter(&self) -> UnderWay {
        self.0.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(self.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Kept where nobody waits yet: whoever does looks again.
        if self.0.0.under_way.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.0.ended.notify_one();
        }
    }
}

/// Middleware for a scope. A request counts from its head on: what is told to come again has not been read.
pub async fn admit(
    door: web::Data<Door>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_closed = door.closing.0.closed.load(Ordering::SeqCst);
    if let Some(answer) = is_closed.then(|| (door.later)(request.path())).flatten() {
        return Ok(request.into_response(answer));
    }
    let _under_way = door.closing.enter();
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}
