//! The faults of a seed, and the weight of each.

use fastrand::Rng;

/// The weights of the faults among all deeds; most seeds leave some of them out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) cut: u32,
    pub(crate) hold: u32,
    pub(crate) weather: u32,
    pub(crate) crash: u32,
    pub(crate) disk: u32,
    pub(crate) restore: u32,
    pub(crate) clock: u32,
    pub(crate) sleepy: u32,
    /// An actor panics at what it does next.
    pub(crate) panic: u32,
    /// A gateway ends, and begins again with another configuration.
    pub(crate) configure: u32,
}

impl Faults {
    pub(crate) fn draw(chance: &mut Rng, further: &mut Rng) -> Self {
        Self {
            cut: often(chance, 6),
            hold: often(chance, 6),
            weather: often(chance, 4),
            crash: often(chance, 4),
            disk: often(chance, 4),
            restore: often(chance, 4),
            clock: often(chance, 3),
            sleepy: often(chance, 4),
            panic: seldom(further, 3),
            configure: seldom(further, 3),
        }
    }
}

/// A share below `max`, and often none.
pub(crate) fn share(chance: &mut Rng, max: f64) -> f64 {
    if chance.bool() { 0.0 } else { chance.f64() * max }
}

/// A weight up to `max`, in half of the seeds zero.
pub(crate) fn often(chance: &mut Rng, max: u32) -> u32 {
    if chance.bool() { 0 } else { chance.u32(1..=max) }
}

/// A weight up to `max`, in three of four seeds zero.
fn seldom(chance: &mut Rng, max: u32) -> u32 {
    if chance.u8(0..4) > 0 { 0 } else { chance.u32(1..=max) }
}
