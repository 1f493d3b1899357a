//! The change feed as a witness: it says in which order the units moved. Each of its claims is compared with what clients were
//! told, with the counters that they read, and with itself.

use std::collections::{BTreeMap, HashMap};

use super::ask::{Ask, Asked, Seen, asks, canonical};
use super::finding::Finding;
use super::stints::Stints;
use crate::record::{Call, FeedEntry, History, Moment, Outcome};

/// A call about a shop, with what is known of it.
pub struct Told<'a> {
    pub call: &'a Call,
    pub stint: usize,
    pub asked: Vec<Asked>,
}

impl Told<'_> {
    pub fn is_ok(&self) -> bool {
        self.call.outcome == Outcome::Ok
    }

    /// The value of an option such as NOTE.
    pub fn option(&self, word: &str) -> Option<&str> {
        let at = self.call.words.iter().position(|known| known == word)?;
        self.call.words.get(at + 1).map(String::as_str)
    }

    pub fn verb(&self) -> &str {
        &self.call.words[0]
    }
}

/// A shop's calls and its feed.
pub struct Shop<'a> {
    pub history: &'a History,
    pub stints: Stints<'a>,
    pub told: Vec<Told<'a>>,
    pub entries: Vec<Moved<'a>>,
    /// The reservations that replaced one another have one name.
    groups: HashMap<String, String>,
}

/// An entry of the feed, and when it may have been made.
pub struct Moved<'a> {
    pub entry: &'a FeedEntry,
    pub stint: usize,
    /// Not before this moment, because its own call had not been sent.
    pub own_start: Moment,
    /// Not before this moment, because its own call or that of an earlier entry had not been sent.
    pub after: Moment,
    /// Not after this moment, because a client had been told of it or of a later entry.
    pub before: Moment,
}

impl Moved<'_> {
    /// The reservation, as the checker names it.
    pub fn id(&self) -> Option<String> {
        self.entry.reservation.as_deref().map(canonical)
    }
}

/// What an entry says that happened to the available and the reserved units.
pub fn change(entry: &FeedEntry) -> (i64, i64) {
    let quantity = entry.quantity;
    match entry.event.as_str() {
        "reserved" | "replaced" => (-quantity, quantity),
        "committed" => (0, -quantity),
        "committed_late" => (-quantity, 0),
        "rolled_back" | "expired" | "repaired" => (quantity, -quantity),
        _ => (quantity, 0),
    }
}

impl<'a> Shop<'a> {
    pub fn of(history: &'a History, name: &'a str) -> Self {
        let stints = Stints::of(history, name);
        let calls = history.calls.iter().filter(|call| call.shop == name);
        let told: Vec<Told<'_>> =
            calls.map(|call| Told { call, stint: stints.of_call(call), asked: asks(call) }).collect();
        let feed = history.feeds.get(name).map(Vec::as_slice).unwrap_or_default();
        let entries = feed.iter().map(|entry| {
            let stint = stints.of_entry(entry.id);
            Moved { entry, stint, own_start: 0, after: 0, before: Moment::MAX }
        });
        let mut shop = Self { history, entries: entries.collect(), groups: groups(&told), stints, told };
        shop.bound();
        shop
    }

    /// The name of the group of a reservation.
    pub fn group(&self, id: &str) -> String {
        let id = canonical(id);
        self.groups.get(&id).cloned().unwrap_or(id)
    }

    /// Whether the reservation has never been part of a REPLACE.
    pub fn is_alone(&self, id: &str) -> bool {
        !self.groups.contains_key(&canonical(id))
    }

    /// Finds out when each entry may have been made.
    fn bound(&mut self) {
        let evidence = Evidence::of(&self.told);
        let mut latest = vec![0; self.stints.count()];
        for moved in &mut self.entries {
            (moved.own_start, moved.before) = evidence.bounds(moved);
            // An entry is made after all entries before it.
            latest[moved.stint] = moved.own_start.max(latest[moved.stint]);
            moved.after = latest[moved.stint];
        }
        let mut earliest = vec![Moment::MAX; self.stints.count()];
        for moved in self.entries.iter_mut().rev() {
            earliest[moved.stint] = moved.before.min(earliest[moved.stint]);
            moved.before = earliest[moved.stint];
        }
    }

    /// The counters after each entry add up, and the order is that of real time.
    pub fn check(&self, findings: &mut Vec<Finding>) {
        let mut counters: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for moved in &self.entries {
            let entry = moved.entry;
            let known = counters.entry(&entry.sku).or_default();
            let more = change(entry);
            let expected = (known.0 + more.0, known.1 + more.1);
            *known = (entry.available, entry.reserved);
            if *known != expected {
                findings.push(Finding::new(
                    "units moved without an entry",
                    format!("available and reserved would be {expected:?} after {entry:?}, but for a write that the feed does not have"),
                ));
            }
            if entry.reserved < 0 {
                findings.push(Finding::new("less than nothing reserved", format!("{entry:?}")));
            }
            if moved.own_start == Moment::MAX {
                findings.push(Finding::new("nobody asked for it", format!("{entry:?}")));
            } else if moved.after > moved.before {
                findings.push(Finding::new(
                    "an order against real time",
                    format!(
                        "{entry:?} came after {} us, when its own call or that of an earlier entry was sent, and before {} us, \
                         when a client had been told of it or of a later entry",
                        moved.after, moved.before
                    ),
                ));
                // All that follow would say the same.
                return;
            }
        }
    }
}

/// The reservations that replaced one another, each with the name of their group.
fn groups(told: &[Told<'_>]) -> HashMap<String, String> {
    let mut leaders: HashMap<String, String> = HashMap::new();
    fn leader(leaders: &HashMap<String, String>, id: &str) -> String {
        let mut id = id;
        while let Some(next) = leaders.get(id).filter(|next| *next != id) {
            id = next;
        }
        id.to_owned()
    }
    for asked in told.iter().flat_map(|told| &told.asked) {
        let Ask::Replace { old, new, .. } = &asked.ask else { continue };
        let (one, other) = (leader(&leaders, old), leader(&leaders, new));
        leaders.entry(one.clone()).or_insert_with(|| one.clone());
        leaders.insert(other, one);
    }
    let names: Vec<String> = leaders.keys().cloned().collect();
    names.into_iter().map(|id| (id.clone(), leader(&leaders, &id))).collect()
}

/// When calls about something were sent, and when their clients were told.
#[derive(Clone, Copy)]
struct Sent {
    stint: usize,
    start: Moment,
}

/// From what the time of an entry follows.
#[derive(Default)]
struct Evidence<'a> {
    /// By event and reservation, or by note: the calls that may have caused it.
    causes: HashMap<(&'static str, String), Vec<Sent>>,
    /// By stint: the earliest moment at which a client knew that the reservation had been made, and that it had ended for good.
    made: HashMap<(usize, String), Moment>,
    ended: HashMap<(usize, String), Moment>,
    /// The same for requests with notes.
    noted: HashMap<(usize, &'a str), Moment>,
}

impl<'a> Evidence<'a> {
    fn of(told: &'a [Told<'a>]) -> Self {
        let mut evidence = Self::default();
        for told in told {
            for asked in &told.asked {
                evidence.add(told, asked);
            }
            if let Some(note) = told.option("NOTE") {
                evidence.cause("note", note, told);
                if told.is_ok() {
                    let known = evidence.noted.entry((told.stint, note)).or_insert(told.call.end);
                    *known = told.call.end.min(*known);
                }
            }
        }
        evidence
    }

    fn cause(&mut self, event: &'static str, name: &str, told: &Told<'_>) {
        let sent = Sent { stint: told.stint, start: told.call.start };
        self.causes.entry((event, name.to_owned())).or_default().push(sent);
    }

    fn add(&mut self, told: &Told<'_>, asked: &Asked) {
        let (made, ended) = match (&asked.ask, &asked.seen) {
            (Ask::Get { .. }, Seen::Answered(answer)) => {
                (!answer.is_null() && answer["state"] != "replaced", false)
            }
            (Ask::Reserve { .. } | Ask::Extend { .. } | Ask::Replace { .. }, Seen::Answered(_)) => {
                (true, false)
            }
            (Ask::Commit { part, .. }, Seen::Answered(_)) => (true, part.is_none()),
            // A fenced reservation was never made.
            (Ask::Rollback { part, .. }, Seen::Answered(_)) => (false, part.is_none()),
            _ => (false, false),
        };
        let id = match &asked.ask {
            Ask::Replace { old, new, .. } => {
                self.cause("replaced", new, told);
                self.cause("replaced", old, told);
                new
            }
            Ask::Reserve { id, .. } => {
                self.cause("reserved", id, told);
                id
            }
            Ask::Commit { id, .. } => {
                self.cause("committed", id, told);
                id
            }
            Ask::Rollback { id, .. } => {
                self.cause("rolled_back", id, told);
                id
            }
            Ask::Extend { id, .. } | Ask::Get { id } => id,
        };
        // Only the reservation itself is known to have been made: its first entry may be one of RESERVE or of REPLACE.
        for (is_known, moments) in [(made, &mut self.made), (ended, &mut self.ended)] {
            if is_known {
                let known = moments.entry((told.stint, id.clone())).or_insert(told.call.end);
                *known = told.call.end.min(*known);
            }
        }
    }

    /// When an entry may have been made: not before the first moment, and not after the second.
    fn bounds(&self, moved: &Moved<'_>) -> (Moment, Moment) {
        let (entry, stint) = (moved.entry, moved.stint);
        let first = |event, name: &str| {
            let causes = self.causes.get(&(event, name.to_owned()));
            let causes = causes.into_iter().flatten().filter(|sent| sent.stint <= stint);
            causes.map(|sent| sent.start).min().unwrap_or(Moment::MAX)
        };
        if let Some(note) = &entry.note {
            let before = self.noted.get(&(stint, note.as_str())).copied().unwrap_or(Moment::MAX);
            return (first("note", note), before);
        }
        let Some(id) = moved.id() else {
            // The stock before the first call has no note.
            return (0, Moment::MAX);
        };
        let known = |moments: &HashMap<(usize, String), Moment>| {
            moments.get(&(stint, id.clone())).copied().unwrap_or(Moment::MAX)
        };
        match entry.event.as_str() {
            "reserved" => (first("reserved", &id), known(&self.made)),
            "committed" | "committed_late" => (first("committed", &id), known(&self.ended)),
            "rolled_back" => (first("rolled_back", &id), known(&self.ended)),
            "replaced" => (first("replaced", &id), Moment::MAX),
            "expired" => (0, known(&self.ended)),
            _ => (0, Moment::MAX),
        }
    }
}
