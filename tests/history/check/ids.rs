//! The answers about each reservation fit one order of its calls.

use std::collections::BTreeMap;

use super::ask::{Ask, Seen};
use super::contract::Group;
use super::feed::Shop;
use super::finding::Finding;
use super::losses::Cut;
use super::search::{Failure, Op, Stint, search};
use super::stints::Clocks;

/// How many groups of reservations were searched, and how many had too many orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    pub groups: usize,
    pub too_many: usize,
}

pub fn check(shop: &Shop<'_>, cuts: &[Option<Cut>], findings: &mut Vec<Finding>) -> Searched {
    let clocks = Clocks::of(shop.history);
    // By group, the calls about it.
    let mut groups: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    for (number, told) in shop.told.iter().enumerate() {
        for (place, asked) in told.asked.iter().enumerate() {
            // A read without an answer says nothing.
            if !matches!((&asked.ask, &asked.seen), (Ask::Get { .. }, Seen::Unknown)) {
                groups.entry(shop.group(asked.ask.ids()[0])).or_default().push((number, place));
            }
        }
    }
    let mut searched = Searched { groups: groups.len(), too_many: 0 };
    for (name, places) in groups {
        let mut origins = Vec::new();
        let stints: Vec<Stint> = (0..shop.stints.count())
            .map(|stint| {
                let mut ops = Vec::new();
                let mut origin = Vec::new();
                for (number, place) in &places {
                    let told = &shop.told[*number];
                    let asked = &told.asked[*place];
                    let is_unknown = asked.seen == Seen::Unknown;
                    if told.stint == stint || (is_unknown && shop.stints.may_reach(told.call, stint)) {
                        ops.push(Op {
                            start: told.call.start,
                            end: (!is_unknown).then_some(told.call.end),
                            asked: asked.clone(),
                            times: clocks.times(told.call, is_unknown),
                        });
                        origin.push(*number);
                    }
                }
                origins.push(origin);
                Stint { ops, cut: cuts[stint] }
            })
            .collect();
        match search(&stints, Group::default(), shop.history.run.hold_ttl) {
            Ok(()) => {}
            Err(Failure::TooMany) => searched.too_many += 1,
            Err(Failure::Contradiction(stint, op)) => {
                let last = origins[stint][op];
                findings.push(Finding::new(
                    "an answer that contradicts others",
                    tell(shop, &name, &places, last),
                ));
            }
        }
    }
    searched
}

/// The calls about a group, for a reader.
fn tell(shop: &Shop<'_>, name: &str, places: &[(usize, usize)], last: usize) -> String {
    let mut lines = vec![format!("no order of the calls about {name} explains the answer marked >")];
    let mut numbers: Vec<usize> = places.iter().map(|(number, _)| *number).collect();
    numbers.dedup();
    numbers.sort_by_key(|number| shop.told[*number].call.start);
    for number in numbers {
        let told = &shop.told[number];
        let call = &told.call;
        lines.push(format!(
            "    {} {}..{} us {} stint {} client {}: {} -> {:?} {}",
            if number == last { '>' } else { ' ' },
            call.start,
            call.end,
            call.server,
            told.stint,
            call.client,
            call.words.join(" "),
            call.outcome,
            call.answer
        ));
    }
    lines.join("\n")
}
