//! Looks for an order of calls in which every answer is right (linearizability).
//!
//! The calls about some reservations are played in the order of their starts and ends. At the end of a call it must have been
//! carried out, so each possible state is continued by every order of the open calls that ends with it. A call without an answer
//! stays open. When no state is left, no order explains the answer, and that is a finding.
//!
//! The method is that of Wing and Gong, with the just-in-time order of Lowe.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::ask::Asked;
use super::contract::{Group, NEVER, Times};
use crate::record::Moment;

/// A call about the reservations.
pub struct Op {
    pub start: Moment,
    /// `None` if it was never answered.
    pub end: Option<Moment>,
    pub asked: Asked,
    pub times: Times,
}

/// The calls of one stint.
pub struct Stint {
    pub ops: Vec<Op>,
    /// If its end may forget answers: from when on, and until when, the state may be the one that survived.
    pub cut: Option<(Moment, Moment)>,
}

/// Why the search ended without an order.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// No order explains the answer to this call, the number of a stint and of a call in it.
    Contradiction(usize, usize),
    /// There were too many orders to try them all.
    TooMany,
}

/// More states than this are not followed.
const MOST_STATES: usize = 50_000;

/// The calls that a state has already carried out, among those that are open: a bit for each.
type Done = u128;

/// Possible states, each with what was carried out already. States from which less is possible than from another are left out.
#[derive(Default)]
struct States(HashMap<(Group, Done), Vec<Done>>);

impl States {
    /// `unknown` are the calls without an answer: a state that has not carried them out may still do it, or not.
    fn add(&mut self, group: Group, done: Done, unknown: Done) -> bool {
        let choices = self.0.entry((group, done & !unknown)).or_default();
        let own = done & unknown;
        if choices.iter().any(|known| known & own == *known) {
            return false;
        }
        choices.retain(|known| known & own != own);
        choices.push(own);
        true
    }

    fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    fn each(&self) -> impl Iterator<Item = (&Group, Done)> {
        self.0
            .iter()
            .flat_map(|((group, known), choices)| choices.iter().map(move |own| (group, known | own)))
    }
}

/// The open calls.
#[derive(Default)]
struct Open {
    /// The number of the call that has each bit.
    calls: BTreeMap<u32, usize>,
    /// The bits of the calls without an answer.
    unknown: Done,
}

impl Open {
    fn begin(&mut self, call: usize, is_unknown: bool) -> Option<()> {
        let bit = (0..Done::BITS).find(|bit| !self.calls.contains_key(bit))?;
        self.calls.insert(bit, call);
        if is_unknown {
            self.unknown |= 1 << bit;
        }
        Some(())
    }

    fn bit_of(&self, call: usize) -> u32 {
        self.calls.iter().find(|(_, known)| **known == call).map(|(bit, _)| *bit).expect("an open call")
    }
}

/// Finds an order for all stints, one after the other. `first` is what is known before them.
pub fn search(stints: &[Stint], first: Group, hold_ttl: i64) -> Result<(), Failure> {
    let mut groups = BTreeSet::from([first]);
    for (number, stint) in stints.iter().enumerate() {
        groups = play(stint, &groups, hold_ttl).map_err(|failure| match failure {
            Failure::Contradiction(_, call) => Failure::Contradiction(number, call),
            Failure::TooMany => Failure::TooMany,
        })?;
    }
    Ok(())
}

/// Plays a stint. Returns the states that may have survived its end.
fn play(stint: &Stint, before: &BTreeSet<Group>, hold_ttl: i64) -> Result<BTreeSet<Group>, Failure> {
    let ops = &stint.ops;
    // Starts come before ends at the same moment: the calls may have overlapped.
    let mut events: Vec<(Moment, bool, usize)> = Vec::new();
    for (number, op) in ops.iter().enumerate() {
        events.push((op.start, false, number));
        events.extend(op.end.map(|end| (end, true, number)));
    }
    events.sort_unstable();
    let mut states = States::default();
    for group in before {
        states.add(group.clone(), 0, 0);
    }
    let mut open = Open::default();
    let mut survivors = BTreeSet::new();
    let cut = stint.cut.unwrap_or((Moment::MAX, Moment::MAX));
    let mut is_collecting = false;
    for (at, is_end, number) in events {
        let op = &ops[number];
        // The state at a cut may be the one before the first event after its earliest moment.
        if at >= cut.0 && !is_collecting {
            is_collecting = true;
            collect(&states, &open, ops, op.times.latest, hold_ttl, &mut survivors)?;
        }
        if !is_end {
            open.begin(number, op.end.is_none()).ok_or(Failure::TooMany)?;
        } else {
            let bit = open.bit_of(number);
            states = carry_out(&states, &open, ops, bit, hold_ttl)?;
            open.calls.remove(&bit);
            if states.0.is_empty() {
                return Err(Failure::Contradiction(0, number));
            }
        }
        if is_collecting && at <= cut.1 {
            collect(&states, &open, ops, op.times.latest, hold_ttl, &mut survivors)?;
        }
    }
    if stint.cut.is_some() && !is_collecting {
        // Nothing happened after the earliest cut.
        collect(&states, &open, ops, NEVER, hold_ttl, &mut survivors)?;
    }
    Ok(survivors)
}

/// The states after the call with this bit was carried out, with the bit removed.
fn carry_out(states: &States, open: &Open, ops: &[Op], bit: u32, hold_ttl: i64) -> Result<States, Failure> {
    let mut after = States::default();
    let latest = ops[open.calls[&bit]].times.latest;
    let mut tried: HashSet<(Group, Done)> = HashSet::new();
    let mut stack: Vec<(Group, Done)> = states.each().map(|(group, done)| (group.clone(), done)).collect();
    while let Some((group, done)) = stack.pop() {
        if done & (1 << bit) != 0 {
            after.add(group, done & !(1 << bit), open.unknown);
            continue;
        }
        if tried.len() > MOST_STATES {
            return Err(Failure::TooMany);
        }
        if !tried.insert((group.clone(), done)) {
            continue;
        }
        stack.extend(next_of(&group, done, open, ops, latest, hold_ttl));
    }
    if after.len() > MOST_STATES {
        return Err(Failure::TooMany);
    }
    Ok(after)
}

/// The states after one more of the open calls, which is carried out while no clock shows more than `latest`.
fn next_of(
    group: &Group,
    done: Done,
    open: &Open,
    ops: &[Op],
    latest: i64,
    hold_ttl: i64,
) -> Vec<(Group, Done)> {
    let mut next = Vec::new();
    for (bit, number) in &open.calls {
        let own = 1 << bit;
        if done & own != 0 {
            continue;
        }
        let op = &ops[*number];
        let now = (op.times.now.0, op.times.now.1.min(latest.max(op.times.now.0)));
        let times = Times { now, latest: op.times.latest.min(latest) };
        for after in group.after(&op.asked, times, hold_ttl) {
            // What nobody was told and what changes nothing need not be tried.
            if open.unknown & own == 0 || after != *group {
                next.push((after, done | own));
            }
        }
    }
    next
}

/// Adds every state that may exist now, whichever of the open calls were carried out.
fn collect(
    states: &States,
    open: &Open,
    ops: &[Op],
    latest: i64,
    hold_ttl: i64,
    survivors: &mut BTreeSet<Group>,
) -> Result<(), Failure> {
    let mut tried: HashSet<(Group, Done)> = HashSet::new();
    let mut stack: Vec<(Group, Done)> = states.each().map(|(group, done)| (group.clone(), done)).collect();
    while let Some((group, done)) = stack.pop() {
        if tried.len() > MOST_STATES {
            return Err(Failure::TooMany);
        }
        if !tried.insert((group.clone(), done)) {
            continue;
        }
        stack.extend(next_of(&group, done, open, ops, latest, hold_ttl));
        survivors.insert(group);
    }
    Ok(())
}
