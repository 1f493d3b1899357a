//! What the feed says about each reservation and each request.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ask::{Ask, Seen, Units, add, canonical, units};
use super::feed::{Moved, Shop};
use super::finding::Finding;

pub fn check(shop: &Shop<'_>, findings: &mut Vec<Finding>) {
    no_unit_twice(shop, findings);
    no_request_twice(shop, findings);
    what_was_told(shop, findings);
    at_rest(shop, findings);
}

/// No reservation gives back or sells more than it held.
fn no_unit_twice(shop: &Shop<'_>, findings: &mut Vec<Finding>) {
    // What it holds, and what its deadline returned.
    let mut held: HashMap<(String, &str), (i64, i64)> = HashMap::new();
    let mut made = BTreeSet::new();
    for moved in &shop.entries {
        let entry = moved.entry;
        let Some(id) = moved.id() else { continue };
        let quantity = entry.quantity;
        let own = held.entry((shop.group(&id), &entry.sku)).or_default();
        match entry.event.as_str() {
            "reserved" => {
                own.0 += quantity;
                if !made.insert((id, &entry.sku)) {
                    findings.push(Finding::new(
                        "held twice",
                        format!("these units had been held before: {entry:?}"),
                    ));
                }
            }
            "replaced" => own.0 += quantity,
            "committed" | "rolled_back" => own.0 -= quantity,
            "expired" => *own = (own.0 - quantity, own.1 + quantity),
            "committed_late" => own.1 -= quantity,
            _ => {}
        }
        if own.0 < 0 || own.1 < 0 {
            findings.push(Finding::new(
                "more units returned or sold than were held",
                format!("{entry:?} leaves {} held and {} returned by the deadline", own.0, own.1),
            ));
        }
    }
}

/// Each request took effect at most once, also if its first tries had no answer.
fn no_request_twice(shop: &Shop<'_>, findings: &mut Vec<Finding>) {
    let mut noted: HashMap<(&str, &str), u32> = HashMap::new();
    let mut names: HashMap<String, &str> = HashMap::new();
    let mut parts: HashMap<(String, &str, &str), i64> = HashMap::new();
    for moved in &shop.entries {
        let entry = moved.entry;
        if let Some(note) = &entry.note {
            let count = noted.entry((note, &entry.sku)).or_default();
            *count += 1;
            if *count == 2 {
                findings.push(Finding::new(
                    "took effect twice",
                    format!("the request with this note: {entry:?}"),
                ));
            }
        }
        if let Some(id) = &entry.reservation {
            // A REPLACE may make anew what a failover has forgotten.
            if entry.event == "reserved" {
                let known = names.entry(canonical(id)).or_insert(id);
                if *known != id {
                    let text = format!("one RESERVE made {known} and {id}");
                    findings.push(Finding::new("took effect twice", text));
                    *known = id;
                }
            }
            *parts.entry((canonical(id), &entry.event, &entry.sku)).or_default() += 1;
        }
    }
    // A part is asked for by one request, and the whole is sold or returned once. One entry comes for each.
    let mut asked: HashMap<(String, &str), BTreeSet<u64>> = HashMap::new();
    for told in &shop.told {
        for one in &told.asked {
            let (id, event) = match &one.ask {
                Ask::Commit { id, part: Some(_), .. } => (id, "committed"),
                Ask::Rollback { id, part: Some(_), .. } => (id, "rolled_back"),
                _ => continue,
            };
            asked.entry((id.clone(), event)).or_default().insert(told.call.request);
        }
    }
    for ((id, event, sku), count) in parts {
        if !["committed", "rolled_back", "committed_late", "expired"].contains(&event) {
            continue;
        }
        let most = 1 + asked.get(&(id.clone(), event)).map_or(0, BTreeSet::len) as i64;
        if count > most {
            let text = format!("{id} has {count} entries {event} of {sku}, and {most} requests at most");
            findings.push(Finding::new("took effect twice", text));
        }
    }
}

/// A reservation holds what its client was told.
fn what_was_told(shop: &Shop<'_>, findings: &mut Vec<Finding>) {
    let mut held: HashMap<(usize, String), Units> = HashMap::new();
    for moved in shop.entries.iter().filter(|moved| moved.entry.event == "reserved") {
        let one = Units::from([(moved.entry.sku.clone(), moved.entry.quantity)]);
        add(held.entry((moved.stint, moved.id().unwrap_or_default())).or_default(), &one);
    }
    for told in &shop.told {
        for asked in &told.asked {
            let (Ask::Reserve { id, .. }, Seen::Answered(answer)) = (&asked.ask, &asked.seen) else {
                continue;
            };
            if !shop.is_alone(id) || answer.is_number() {
                continue;
            }
            // What this stint or an earlier one made; a later one may have made it anew.
            let made = (0..=told.stint).rev().find_map(|stint| held.get(&(stint, id.clone())));
            let shown = units(&answer["items"]);
            let is_less = |known: &Units| {
                shown.iter().all(|(sku, units)| known.get(sku).is_some_and(|all| units <= all))
            };
            if let Some(made) =
                made.filter(|made| **made != shown && !(was_in_parts(shop, id) && is_less(made)))
            {
                let text = format!("{id} holds {made:?} by the feed, and its client was told {shown:?}");
                findings.push(Finding::new("another answer than what happened", text));
            }
        }
    }
    for told in shop.told.iter().filter(|told| told.is_ok() && told.verb() == "INV.ADJUST") {
        let Some(note) = told.option("NOTE") else { continue };
        let entry = shop.entries.iter().find(|moved| moved.entry.note.as_deref() == Some(note));
        let Some(Moved { entry, stint, .. }) = entry else { continue };
        if *stint <= told.stint && told.call.answer != entry.available {
            let text = format!(
                "{:?} was answered {}, and the feed has {entry:?}",
                told.call.words, told.call.answer
            );
            findings.push(Finding::new("another answer than what happened", text));
        }
    }
}

fn was_in_parts(shop: &Shop<'_>, id: &str) -> bool {
    shop.told.iter().flat_map(|told| &told.asked).any(|asked| {
        matches!(&asked.ask,
            Ask::Commit { id: other, part: Some(_), .. } | Ask::Rollback { id: other, part: Some(_), .. } if other == id)
    })
}

/// At rest every unit is back or sold, and both the counters and the reservations say the same as the feed.
fn at_rest(shop: &Shop<'_>, findings: &mut Vec<Finding>) {
    let Some(rest) = shop.history.rest else { return };
    let mut counters: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let mut sold: HashMap<String, Units> = HashMap::new();
    for moved in &shop.entries {
        let entry = moved.entry;
        counters.insert(&entry.sku, (entry.available, entry.reserved));
        if let (Some(id), "committed" | "committed_late") = (moved.id(), entry.event.as_str()) {
            let one = Units::from([(entry.sku.clone(), entry.quantity)]);
            add(sold.entry(shop.group(&id)).or_default(), &one);
        }
    }
    for (sku, (_, reserved)) in &counters {
        if *reserved != 0 {
            let text =
                format!("{reserved} units of {sku} are still reserved, although every deadline has passed");
            findings.push(Finding::new("units that never came back", text));
        }
    }
    let mut shown: HashMap<String, Units> = HashMap::new();
    for told in shop.told.iter().filter(|told| told.call.start >= rest && told.is_ok()) {
        match told.verb() {
            "INV.GET" => {
                let (id, answer) = (canonical(&told.call.words[1]), &told.call.answer);
                if answer["state"] == "reserved" {
                    findings.push(Finding::new(
                        "units that never came back",
                        format!("{id} is still live: {answer}"),
                    ));
                }
                let all = match &answer["sold"] {
                    serde_json::Value::Null if answer["state"] == "committed" => units(&answer["items"]),
                    sold => units(sold),
                };
                add(shown.entry(shop.group(&id)).or_default(), &all);
            }
            "INV.AUDIT" if !told.call.answer.is_null() && told.call.answer["drift"] != 0 => {
                findings.push(Finding::new("drift", told.call.answer.to_string()));
            }
            _ => {}
        }
    }
    for (group, shown) in shown {
        let all = sold.remove(&group).unwrap_or_default();
        if all != shown {
            let text = format!("{group} has sold {all:?} by the feed, and its outcome says {shown:?}");
            findings.push(Finding::new("another answer than what happened", text));
        }
    }
}
