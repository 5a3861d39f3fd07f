//! A monitor that an actor owns: its drop reports the exit of the actor, whatever its cause.

/// Calls a function once when it is dropped, and tells it whether a panic is unwinding.
pub struct ExitMonitor {
    gone: Option<Box<dyn FnOnce(bool) + Send>>,
}

impl ExitMonitor {
    /// Returns a monitor that reports to `gone`.
    pub fn new(gone: impl FnOnce(bool) + Send + 'static) -> Self {
        Self { gone: Some(Box::new(gone)) }
    }
}

impl Drop for ExitMonitor {
    fn drop(&mut self) {
        if let Some(gone) = self.gone.take() {
            gone(std::thread::panicking());
        }
    }
}
