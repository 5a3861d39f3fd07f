//! A monitor: something an actor owns, whose drop tells that the actor is gone, however it went.

/// Calls back once, when dropped, saying whether a panic is unwinding.
pub struct LifeLine {
    gone: Option<Box<dyn FnOnce(bool) + Send>>,
}

impl LifeLine {
    /// A life line that reports to `gone`.
    pub fn new(gone: impl FnOnce(bool) + Send + 'static) -> Self {
        Self { gone: Some(Box::new(gone)) }
    }
}

impl Drop for LifeLine {
    fn drop(&mut self) {
        if let Some(gone) = self.gone.take() {
            gone(std::thread::panicking());
        }
    }
}
