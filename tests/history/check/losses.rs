//! What each failover has forgotten.
//!
//! Replication and AOF lose the end of what a master did, and nothing else: if a call is forgotten, so is every call that began
//! after it was answered. A call that its client got confirmed is never forgotten.

use std::collections::{HashMap, HashSet};

use super::ask::{Ask, Seen};
use super::feed::{Shop, Told};
use super::finding::Finding;
use crate::record::{Durability, Moment};

/// The figures of one failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The number of the failover in the history.
    pub failover: usize,
    pub durability: Durability,
    pub what: String,
    /// The answers to calls that move units, given by the old master, and how many of them were forgotten.
    pub answered: usize,
    pub lost: usize,
    /// The time over which answers were forgotten, from the first forgotten one to the last, in ms.
    pub span: u64,
}

/// Between which moments a stint was cut.
pub type Cut = (Moment, Moment);

/// Finds what was forgotten at the end of each stint. Returns for each stint when it was cut.
pub fn check(shop: &Shop<'_>, losses: &mut Vec<Loss>, findings: &mut Vec<Finding>) -> Vec<Option<Cut>> {
    let traces = Traces::of(shop);
    let durability = shop.history.run.durability;
    let count = shop.stints.count();
    let mut lost: Vec<Vec<&Told<'_>>> = vec![Vec::new(); count];
    let mut answered = vec![0; count];
    for told in shop.told.iter().filter(|told| told.is_ok()) {
        let Some(is_kept) = traces.keep(told) else { continue };
        answered[told.stint] += 1;
        if !is_kept {
            lost[told.stint].push(told);
        }
    }
    let mut cuts = Vec::new();
    for (stint, lost) in lost.iter().enumerate() {
        let may_forget = shop.stints.may_forget(stint, durability);
        for told in lost {
            let text =
                || format!("{:?} was answered {} at {} us", told.call.words, told.call.answer, told.call.end);
            if !may_forget {
                findings.push(Finding::new("an answer was forgotten", text()));
            } else if told.call.confirmed == Some(true) {
                findings.push(Finding::new("a confirmed answer was forgotten", text()));
            }
        }
        let Some(failover) = shop.stints.failovers.get(stint) else {
            cuts.push(None);
            continue;
        };
        let earliest =
            shop.entries.iter().filter(|moved| moved.stint == stint && moved.own_start != Moment::MAX);
        let earliest = earliest.map(|moved| moved.own_start).max().unwrap_or(0);
        let first = lost.iter().min_by_key(|told| told.call.end);
        let latest = first.map_or(Moment::MAX, |told| told.call.end);
        if let Some(told) = first.filter(|_| latest < earliest) {
            findings.push(Finding::new(
                "what was forgotten is not the end",
                format!(
                    "{:?} was answered {} at {latest} us and is forgotten, and a call that was sent at {earliest} us is not",
                    told.call.words, told.call.answer
                ),
            ));
        }
        cuts.push(Some((earliest.min(latest), latest)));
        let last = lost.iter().map(|told| told.call.end).max().unwrap_or(0);
        let place = shop.history.failovers.iter().position(|other| std::ptr::eq(other, *failover));
        losses.push(Loss {
            failover: place.unwrap_or_default(),
            durability,
            what: failover.what.clone(),
            answered: answered[stint],
            lost: lost.len(),
            span: last.saturating_sub(latest) / 1000,
        });
    }
    cuts
}

/// What the feed has of each reservation and each request, with the first stint in which it has it.
struct Traces<'a> {
    events: HashMap<(String, &'a str), usize>,
    parts: HashMap<(String, &'a str, &'a str, i64), usize>,
    notes: HashMap<&'a str, usize>,
    /// Fenced reservations end without an entry.
    fenced: HashSet<String>,
    /// A REPLACE makes no entry if it holds as many units as before.
    replaced: HashSet<String>,
}

impl<'a> Traces<'a> {
    fn of(shop: &Shop<'a>) -> Self {
        let mut traces = Self {
            events: HashMap::new(),
            parts: HashMap::new(),
            notes: HashMap::new(),
            fenced: HashSet::new(),
            replaced: HashSet::new(),
        };
        for asked in shop.told.iter().flat_map(|told| &told.asked) {
            match &asked.ask {
                Ask::Rollback { id, fence: true, .. } => drop(traces.fenced.insert(id.clone())),
                Ask::Replace { old, new, .. } => traces.replaced.extend([old.clone(), new.clone()]),
                _ => {}
            }
        }
        for moved in &shop.entries {
            let entry = moved.entry;
            if let Some(note) = &entry.note {
                traces.notes.entry(note).or_insert(moved.stint);
            }
            if let Some(id) = moved.id() {
                traces.events.entry((id.clone(), &entry.event)).or_insert(moved.stint);
                traces.parts.entry((id, &entry.event, &entry.sku, entry.quantity)).or_insert(moved.stint);
            }
        }
        traces
    }

    /// Whether the feed still has what this call did. `None` if the feed cannot tell.
    fn keep(&self, told: &Told<'_>) -> Option<bool> {
        let is_by = |stint: Option<&usize>| stint.is_some_and(|stint| *stint <= told.stint);
        if let Some(note) = told.option("NOTE") {
            // IFEQ did not match.
            return (!told.call.answer.is_null()).then(|| is_by(self.notes.get(note)));
        }
        let has = |id: &String, events: &[&'static str]| {
            events.iter().any(|event| is_by(self.events.get(&(id.clone(), *event))))
        };
        let kept =
            told.asked.iter().filter(|asked| matches!(asked.seen, Seen::Answered(_))).filter_map(|asked| {
                match &asked.ask {
                    Ask::Reserve { id, .. } if !self.replaced.contains(id) => Some(has(id, &["reserved"])),
                    Ask::Commit { id, part: None, .. } => Some(has(id, &["committed", "committed_late"])),
                    Ask::Rollback { id, fence: false, part: None } if !self.fenced.contains(id) => {
                        Some(has(id, &["rolled_back", "expired"]))
                    }
                    Ask::Commit { id, part: Some(part), .. } => {
                        Some(self.has_part(id, "committed", part, told.stint))
                    }
                    Ask::Rollback { id, part: Some(part), .. } => {
                        Some(self.has_part(id, "rolled_back", part, told.stint))
                    }
                    _ => None,
                }
            });
        kept.reduce(|one, other| one && other)
    }

    fn has_part(&self, id: &str, event: &'static str, part: &super::ask::Units, stint: usize) -> bool {
        part.iter().all(|(sku, units)| {
            let found = self.parts.get(&(id.to_owned(), event, sku.as_str(), *units));
            found.is_some_and(|found| *found <= stint)
        })
    }
}
