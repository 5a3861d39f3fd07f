//! The times at which a certificate is ordered: pure, so that tests move the clock.

use std::time::Duration;

use actors::model::Millis;

/// Maximum time between two looks at the clock, because it may be set while a gateway runs.
const LOOK: Duration = Duration::from_secs(86_400);

/// The state of the renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RenewalState {
    /// The certificate is valid for long enough, or the last order failed: nothing happens before this time.
    Waiting { until: Millis },
    /// An order is under way.
    Ordering,
}

/// The reasons for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenewalEvent {
    /// The gateway has started; its certificate is to be renewed at this time.
    Started { due: Millis },
    /// The time of a wake-up has come.
    Woken,
    /// A certificate was issued; it is to be renewed at this time.
    Issued { due: Millis },
    /// The order failed.
    Failed,
}

/// The effect of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenewalEffect {
    /// Order a certificate.
    Order,
    /// Wake the machine after this time.
    WakeAfter(Duration),
}

/// The machine of one certificate.
#[derive(Debug)]
pub(super) struct RenewalMachine {
    state: RenewalState,
    /// Orders that failed since the last one that did not.
    failures: u32,
    retry_min: Duration,
    retry_max: Duration,
}

impl RenewalMachine {
    pub(super) const fn new(retry_min: Duration, retry_max: Duration) -> Self {
        Self { state: RenewalState::Waiting { until: Millis(0) }, failures: 0, retry_min, retry_max }
    }

    /// Takes an event and returns what is to be done, if anything.
    pub(super) fn step(&mut self, now: Millis, event: RenewalEvent) -> Option<RenewalEffect> {
        match (self.state, event) {
            (RenewalState::Waiting { .. }, RenewalEvent::Started { due }) => Some(self.wait(now, due)),
            (RenewalState::Waiting { until }, RenewalEvent::Woken) => Some(self.wait(now, until)),
            (RenewalState::Ordering, RenewalEvent::Issued { due }) => {
                self.failures = 0;
                // A certificate that is due at once would be ordered without end.
                Some(self.wait(now, due.max(now.after(self.retry_min))))
            }
            (RenewalState::Ordering, RenewalEvent::Failed) => {
                let pause = self.retry_min.saturating_mul(1 << self.failures.min(20)).min(self.retry_max);
                self.failures = self.failures.saturating_add(1);
                Some(self.wait(now, now.after(pause)))
            }
            (RenewalState::Ordering, RenewalEvent::Started { .. } | RenewalEvent::Woken)
            | (RenewalState::Waiting { .. }, RenewalEvent::Issued { .. } | RenewalEvent::Failed) => None,
        }
    }

    fn wait(&mut self, now: Millis, until: Millis) -> RenewalEffect {
        if now >= until {
            self.state = RenewalState::Ordering;
            return RenewalEffect::Order;
        }
        self.state = RenewalState::Waiting { until };
        RenewalEffect::WakeAfter(Duration::from_millis(until.0 - now.0).min(LOOK))
    }
}

/// Returns when a certificate is to be renewed: this time before its end, and at the latest at two thirds of its validity, because
/// authorities issue certificates of a few days, too.
pub(super) fn renewal_due((not_before, not_after): (Millis, Millis), renew_before: Duration) -> Millis {
    let third = not_after.0.saturating_sub(not_before.0) / 3;
    let before = u64::try_from(renew_before.as_millis()).unwrap_or(u64::MAX).min(third);
    Millis(not_after.0.saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;
    const MINUTE: Duration = Duration::from_secs(60);

    fn machine() -> RenewalMachine {
        RenewalMachine::new(MINUTE, 5 * MINUTE)
    }

    #[test]
    fn certificate_is_ordered_when_due() {
        let mut machine = machine();
        let due = Millis(3 * DAY);
        let looks = [(0, DAY), (DAY, DAY), (2 * DAY + 1, DAY - 1)];
        let mut event = RenewalEvent::Started { due };
        for (now, pause) in looks {
            let wake = RenewalEffect::WakeAfter(Duration::from_millis(pause));
            assert_eq!(machine.step(Millis(now), event), Some(wake), "at {now}");
            event = RenewalEvent::Woken;
        }
        assert_eq!(machine.step(due, event), Some(RenewalEffect::Order));
        assert_eq!(machine.step(due, event), None, "one order at a time");
        let next = RenewalEvent::Issued { due: Millis(3 * DAY + 1) };
        assert_eq!(machine.step(due, next), Some(RenewalEffect::WakeAfter(MINUTE)), "never without a pause");
    }

    #[test]
    fn failed_orders_back_off() {
        let mut machine = machine();
        let mut now = Millis(7 * DAY);
        assert_eq!(machine.step(now, RenewalEvent::Started { due: Millis(0) }), Some(RenewalEffect::Order));
        for minutes in [1, 2, 4, 5, 5] {
            let pause = minutes * MINUTE;
            assert_eq!(machine.step(now, RenewalEvent::Failed), Some(RenewalEffect::WakeAfter(pause)));
            now = now.after(pause);
            assert_eq!(machine.step(now, RenewalEvent::Woken), Some(RenewalEffect::Order));
        }
        let next = RenewalEvent::Issued { due: now.after(9 * MINUTE) };
        assert_eq!(machine.step(now, next), Some(RenewalEffect::WakeAfter(9 * MINUTE)));
        now = now.after(9 * MINUTE);
        assert_eq!(machine.step(now, RenewalEvent::Woken), Some(RenewalEffect::Order));
        assert_eq!(
            machine.step(now, RenewalEvent::Failed),
            Some(RenewalEffect::WakeAfter(MINUTE)),
            "the count began anew"
        );
    }

    #[test]
    fn short_certificates_are_renewed_sooner() {
        let month = Duration::from_millis(30 * DAY);
        let due = |days: u64| renewal_due((Millis(DAY), Millis((days + 1) * DAY)), month);
        assert_eq!(due(90), Millis(61 * DAY));
        assert_eq!(due(6), Millis(5 * DAY));
    }
}
