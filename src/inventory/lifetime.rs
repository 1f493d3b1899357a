//! The deadline of a reservation, and the limits on its lifetime.

use super::quantity::{CENTURY_MS, UnixMs};
use super::refusal::Refusal;

/// The configured lifetimes of reservations, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// The lifetime if the request names none: `inv.hold-ttl-ms`.
    pub usual_ms: i64,
    /// The longest total lifetime, including all extensions: `inv.max-hold-ms`. 0 means no limit.
    pub longest_ms: i64,
}

/// The lifetime that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// The configured lifetime, `inv.hold-ttl-ms`.
    Default,
    /// This number of milliseconds, counted from now.
    For(i64),
    /// Until this moment.
    Until(UnixMs),
}

impl Lifetime {
    /// Returns the deadline for a request that arrives at `now`. `begun` is the time at which the reservation was made.
    ///
    /// # Errors
    ///
    /// [`Refusal::Impossible`] if the deadline has passed, if the total lifetime would exceed `longest_ms`, or if the
    /// deadline is more than a hundred years away.
    pub fn deadline(self, now: UnixMs, begun: UnixMs, lifetimes: Lifetimes) -> Result<UnixMs, Refusal> {
        let deadline = match self {
            Lifetime::Default => now.saturating_add(lifetimes.usual_ms),
            Lifetime::For(ms) => now.saturating_add(ms),
            Lifetime::Until(at) => at,
        };
        if deadline <= now {
            return Err(Refusal::impossible(format!(
                "the deadline {deadline} is not in the future: the time is {now}"
            )));
        }
        let longest = lifetimes.longest_ms;
        if longest > 0 && deadline.saturating_sub(begun) > longest {
            // A request without a lifetime of its own is shortened to the limit instead of being refused.
            let last = begun.saturating_add(longest);
            if self == Lifetime::Default && last > now {
                return Ok(last);
            }
            return Err(too_far(now, begun, deadline, longest, "inv.max-hold-ms"));
        }
        if deadline.saturating_sub(now) > CENTURY_MS {
            return Err(too_far(now, now, deadline, CENTURY_MS, ""));
        }
        Ok(deadline)
    }
}

/// The refusal of a deadline that lies beyond the limit of `longest` milliseconds. The text mentions seconds and
/// milliseconds, because most of these requests confuse the two.
fn too_far(now: UnixMs, begun: UnixMs, deadline: UnixMs, longest: i64, option: &str) -> Refusal {
    const DAY_MS: i64 = 86_400_000;
    let distance = deadline.saturating_sub(now);
    let life = match deadline.saturating_sub(begun) {
        life if life == distance => String::new(),
        life => format!(", {life} ms after the reservation was made"),
    };
    let mut limits: Vec<String> = Vec::new();
    if longest >= DAY_MS {
        limits.push(format!("{} days", longest.div_euclid(DAY_MS)));
    }
    if !option.is_empty() {
        limits.push(option.to_owned());
    }
    Refusal::impossible(format!(
        "the deadline is {distance} ms ({} days) away{life}, but a reservation may last at most {longest} ms ({}): \
         EX and EXAT take seconds, PX and PXAT milliseconds",
        distance.div_euclid(DAY_MS),
        limits.join("; ")
    ))
}
