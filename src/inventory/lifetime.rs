//! How long a reservation may live, and until when it does.

use super::quantity::{CENTURY_MS, UnixMs};
use super::refusal::Refusal;

/// How long reservations live by the configuration, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// The life of a reservation that names none: `inv.hold-ttl-ms`.
    pub usual_ms: i64,
    /// The longest whole life of a reservation, with all that EXTEND adds to it: `inv.max-hold-ms`; 0: no limit.
    pub longest_ms: i64,
}

/// How long a reservation shall live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As `inv.hold-ttl-ms` says.
    Default,
    /// For this many milliseconds.
    For(i64),
    /// Until this moment.
    Until(UnixMs),
}

impl Lifetime {
    /// The deadline of a life that began at `begun`, said at `now`. `ERR` where it is over, or longer than allowed.
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
            // A reservation without a time of its own takes the longest life that it may have.
            if self == Lifetime::Default {
                return Ok(begun.saturating_add(longest));
            }
            return Err(too_far(now, begun, deadline, longest, "inv.max-hold-ms"));
        }
        if deadline.saturating_sub(now) > CENTURY_MS {
            return Err(too_far(now, now, deadline, CENTURY_MS, ""));
        }
        Ok(deadline)
    }
}

/// The refusal of a deadline beyond `longest`. Most of them are milliseconds where seconds belong.
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
