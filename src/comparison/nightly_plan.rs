//! When the nightly run begins, pauses and ends: the state machine of the schedule.
//!
//! ```text
//!   off ---> waiting ---> running ---> waiting (for the next night)
//!    ^__________|____________|   the configuration turns it off
//! ```

use std::time::Duration;

use actors::limits::verify::NightlyRules;
use actors::model::Millis;

use crate::comparison::verify_report::ComparisonVerdict;

/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// The step that the schedule wants now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NightlyStep {
    /// Look again later.
    Wait,
    /// Verify the next context; in this night, counted from 1970.
    Verify(u64),
    /// The run of a night has ended with these counts.
    End(NightlyCounts),
}

/// The counts of one night.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NightlyCounts {
    /// Number of contexts that were verified, or could not be.
    pub contexts: u32,
    /// Number of contexts that differed.
    pub differing: u32,
    /// Number of contexts without a result.
    pub failed: u32,
}

/// The state of the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum NightState {
    /// It is turned off.
    #[default]
    Off,
    /// The next run begins at this time, which followed from these values.
    Waiting { begin: Millis, at: Duration, jitter: Duration },
    /// A run is under way.
    Running { night: u64, end: Millis, is_over: bool, counts: NightlyCounts },
}

/// The schedule of the nightly runs.
#[derive(Debug, Default)]
pub struct NightlyPlan {
    state: NightState,
}

impl NightlyPlan {
    /// Decides what to do now. `chance` is a random share from 0 to 1; `is_busy` makes a run pause.
    pub fn next(&mut self, now: Millis, rules: &NightlyRules, chance: f64, is_busy: bool) -> NightlyStep {
        match self.state {
            _ if !rules.is_on => match std::mem::take(&mut self.state) {
                NightState::Running { counts, .. } => NightlyStep::End(counts),
                NightState::Off | NightState::Waiting { .. } => NightlyStep::Wait,
            },
            NightState::Off => self.wait(now, rules, chance),
            // The rules have changed, or the clock was set back.
            NightState::Waiting { begin, at, jitter }
                if (at, jitter) != (rules.at, rules.jitter)
                    || begin > now.after(jitter + Duration::from_millis(DAY)) =>
            {
                self.wait(now, rules, chance)
            }
            NightState::Waiting { begin, .. } if now < begin => NightlyStep::Wait,
            NightState::Waiting { begin, .. } => {
                let night = begin.0 / DAY;
                let end = now.after(rules.length);
                self.state = NightState::Running { night, end, is_over: false, counts: NightlyCounts::default() };
                if is_busy { NightlyStep::Wait } else { NightlyStep::Verify(night) }
            }
            NightState::Running { end, is_over, counts, .. }
                if is_over || now >= end || counts.contexts >= rules.contexts_max =>
            {
                self.wait(now, rules, chance);
                NightlyStep::End(counts)
            }
            NightState::Running { night, .. } => {
                if is_busy {
                    NightlyStep::Wait
                } else {
                    NightlyStep::Verify(night)
                }
            }
        }
    }

    /// Waits for the next night.
    fn wait(&mut self, now: Millis, rules: &NightlyRules, chance: f64) -> NightlyStep {
        let today = Millis(now.0 / DAY * DAY).after(rules.at);
        let base = if today > now { today } else { today.after(Duration::from_millis(DAY)) };
        let begin = base.after(rules.jitter.mul_f64(chance.clamp(0.0, 1.0)));
        self.state = NightState::Waiting { begin, at: rules.at, jitter: rules.jitter };
        NightlyStep::Wait
    }

    /// Counts the verification of a context.
    pub fn verified(&mut self, result: ComparisonVerdict) {
        if let NightState::Running { counts, .. } = &mut self.state {
            counts.contexts += 1;
            counts.differing += u32::from(result == ComparisonVerdict::Differs);
            counts.failed += u32::from(result == ComparisonVerdict::Failed);
        }
    }

    /// Ends the run of this night, because the last context was verified.
    pub fn end_night(&mut self) {
        if let NightState::Running { is_over, .. } = &mut self.state {
            *is_over = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 60 * 60 * 1000;

    fn rules() -> NightlyRules {
        let hours = |count: u64| Duration::from_secs(count * 3600);
        NightlyRules { is_on: true, at: hours(3), jitter: hours(1), length: hours(2), contexts_max: 3 }
    }

    /// Returns what the schedule wants at each of these hours.
    fn trace(plan: &mut NightlyPlan, rules: &NightlyRules, hours: &[f64]) -> Vec<String> {
        let at = |hour: f64| Millis((hour * HOUR as f64) as u64);
        let word = |step| match step {
            NightlyStep::Wait => "wait".to_owned(),
            NightlyStep::Verify(night) => format!("verify {night}"),
            NightlyStep::End(counts) => format!("end after {}", counts.contexts),
        };
        hours.iter().map(|hour| word(plan.next(at(*hour), rules, 0.5, false))).collect()
    }

    #[test]
    fn run_begins_with_jitter() {
        let mut plan = NightlyPlan::default();
        assert_eq!(trace(&mut plan, &rules(), &[1.0, 3.4, 3.5]), ["wait", "wait", "verify 0"]);
        plan.verified(ComparisonVerdict::Equal);
        assert_eq!(trace(&mut plan, &rules(), &[5.4, 5.5, 5.6]), ["verify 0", "end after 1", "wait"]);
        assert_eq!(trace(&mut plan, &rules(), &[27.4, 27.5]), ["wait", "verify 1"], "the next night");
    }

    #[test]
    fn contexts_of_night_are_bounded() {
        let mut plan = NightlyPlan::default();
        trace(&mut plan, &rules(), &[1.0, 3.5]);
        for result in [ComparisonVerdict::Equal, ComparisonVerdict::Differs, ComparisonVerdict::Failed] {
            plan.verified(result);
        }
        let counts = NightlyCounts { contexts: 3, differing: 1, failed: 1 };
        assert_eq!(plan.next(Millis(4 * HOUR), &rules(), 0.5, false), NightlyStep::End(counts));
    }

    #[test]
    fn run_ends_after_last_context() {
        let mut plan = NightlyPlan::default();
        trace(&mut plan, &rules(), &[1.0, 3.5]);
        plan.end_night();
        assert_eq!(trace(&mut plan, &rules(), &[3.6, 3.7]), ["end after 0", "wait"], "not again in this night");
    }

    #[test]
    fn busy_gateway_makes_run_pause() {
        let mut plan = NightlyPlan::default();
        trace(&mut plan, &rules(), &[1.0]);
        for hour in [4, 5] {
            assert_eq!(plan.next(Millis(hour * HOUR), &rules(), 0.5, true), NightlyStep::Wait);
        }
        assert_eq!(plan.next(Millis(5 * HOUR), &rules(), 0.5, false), NightlyStep::Verify(0));
    }

    #[test]
    fn changed_rules_apply_at_once() {
        let mut plan = NightlyPlan::default();
        trace(&mut plan, &rules(), &[1.0]);
        let earlier = NightlyRules { at: Duration::from_secs(2 * 3600), ..rules() };
        assert_eq!(trace(&mut plan, &earlier, &[1.5, 2.5]), ["wait", "verify 0"]);
        let off = NightlyRules { is_on: false, ..rules() };
        assert_eq!(trace(&mut plan, &off, &[2.6, 2.7, 3.5]), ["end after 0", "wait", "wait"]);
    }

    #[test]
    fn start_at_night_waits() {
        let mut plan = NightlyPlan::default();
        assert_eq!(trace(&mut plan, &rules(), &[3.1, 3.6, 26.0, 27.5]), ["wait", "wait", "wait", "verify 1"]);
        trace(&mut plan, &rules(), &[60.0]);
        assert_eq!(trace(&mut plan, &rules(), &[1.0, 3.5]), ["wait", "verify 0"], "the clock was set back");
    }
}
