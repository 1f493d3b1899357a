//! Every number that a client read was true at a moment between its question and its answer.

use std::collections::{BTreeMap, HashMap};

use super::feed::{Shop, Told};
use super::finding::Finding;
use super::losses::Cut;
use crate::record::{Moment, Outcome};

/// The counters of each sku over time, in one stint: the number of entries before each state.
struct Timeline<'a> {
    /// By sku: from this number of entries on, these are available and reserved.
    states: HashMap<&'a str, Vec<(usize, (i64, i64))>>,
    /// The bounds of each entry.
    after: Vec<Moment>,
    before: Vec<Moment>,
    first: usize,
}

impl<'a> Timeline<'a> {
    fn of(shop: &'a Shop<'_>, stint: usize) -> Self {
        let mut states: HashMap<&str, Vec<(usize, (i64, i64))>> = HashMap::new();
        let (mut after, mut before) = (Vec::new(), Vec::new());
        let first = shop.entries.iter().filter(|moved| moved.stint < stint).count();
        for (number, moved) in shop.entries.iter().enumerate().filter(|(_, moved)| moved.stint <= stint) {
            let state = (moved.entry.available, moved.entry.reserved);
            states.entry(&moved.entry.sku).or_default().push((number + 1, state));
            if moved.stint == stint {
                after.push(moved.after);
                before.push(moved.before);
            }
        }
        Self { states, after, before, first }
    }

    /// How many entries may have been made at some moment of this interval.
    fn window(&self, start: Moment, end: Moment) -> (usize, usize) {
        let most = self.after.partition_point(|after| *after <= end);
        let least = self.before.partition_point(|before| *before < start);
        (self.first + least.min(most), self.first + most)
    }

    fn at(&self, sku: &str, entries: usize) -> (i64, i64) {
        let Some(states) = self.states.get(sku) else { return (0, 0) };
        let count = states.partition_point(|(number, _)| *number <= entries);
        count.checked_sub(1).map_or((0, 0), |at| states[at].1)
    }

    /// The numbers of entries in this window at which one of the skus changes, and the first one.
    fn moments(&self, skus: &[&str], window: (usize, usize)) -> Vec<usize> {
        let changes = skus.iter().filter_map(|sku| self.states.get(sku)).flatten().map(|(number, _)| *number);
        let mut moments: Vec<usize> =
            changes.filter(|number| *number > window.0 && *number <= window.1).collect();
        moments.push(window.0);
        moments.sort_unstable();
        moments.dedup();
        moments
    }
}

/// Compares all reads with the feed. What was read after the moment at which a stint was cut cannot be compared, because the feed
/// has forgotten it.
pub fn check(shop: &Shop<'_>, cuts: &[Option<Cut>], findings: &mut Vec<Finding>) -> usize {
    let timelines: Vec<Timeline<'_>> =
        (0..shop.stints.count()).map(|stint| Timeline::of(shop, stint)).collect();
    let mut compared = 0;
    for told in &shop.told {
        if cuts[told.stint].is_some_and(|(earliest, _)| told.call.end >= earliest) {
            continue;
        }
        let Some(read) = read(told) else { continue };
        compared += 1;
        let timeline = &timelines[told.stint];
        let skus: Vec<&str> = read.keys().map(String::as_str).collect();
        let window = timeline.window(told.call.start, told.call.end);
        let agrees = |entries: &usize| {
            read.iter().all(|(sku, says)| {
                let (available, reserved) = timeline.at(sku, *entries);
                says.0.is_none_or(|shown| shown == available) && says.1.is_none_or(|shown| shown == reserved)
            })
        };
        let moments = timeline.moments(&skus, window);
        if !moments.iter().any(agrees) {
            let states: Vec<_> = moments
                .iter()
                .map(|at| skus.iter().map(|sku| timeline.at(sku, *at)).collect::<Vec<_>>())
                .collect();
            findings.push(Finding::new(
                "a read of what never was",
                format!(
                    "{:?} was answered {} between {} and {} us, and {skus:?} were {states:?}",
                    told.call.words, told.call.answer, told.call.start, told.call.end
                ),
            ));
        }
    }
    compared
}

/// The available and the reserved units that an answer tells of each sku, as far as it tells them.
type Read = BTreeMap<String, (Option<i64>, Option<i64>)>;

fn read(told: &Told<'_>) -> Option<Read> {
    match (told.verb(), told.call.outcome) {
        ("INV.STOCK", Outcome::Ok) => Some(stock(told)),
        // Which units a REPLACE or PARTIAL may take depends on more than the counters.
        ("INV.RESERVE", Outcome::Fail) if !told.call.words.iter().any(|word| word == "PARTIAL") => {
            short(told).filter(|read| !read.is_empty())
        }
        _ => None,
    }
}

fn stock(told: &Told<'_>) -> Read {
    let mut read = Read::new();
    for shown in told.call.answer.as_array().into_iter().flatten() {
        let Some(product) = shown["product_id"].as_str() else { continue };
        let counters = |of: &serde_json::Value| (of["available"].as_i64(), of["reserved"].as_i64());
        let places = shown["warehouses"].as_array().map(Vec::as_slice).unwrap_or_default();
        for place in places {
            read.insert(
                format!("{product}@{}", place["warehouse"].as_str().unwrap_or_default()),
                counters(place),
            );
        }
        if places.is_empty() {
            read.insert(product.to_owned(), counters(shown));
        }
    }
    read
}

/// The available units of the skus that were short, by the text of INSUFFICIENT. Skus with a floor and products in warehouses are
/// left out: the text tells what can be taken of them.
fn short(told: &Told<'_>) -> Option<Read> {
    let text = told.call.answer.as_str()?.strip_prefix("INSUFFICIENT ")?;
    let mut read = Read::new();
    for part in text.split("; ") {
        let (sku, rest) = part.split_once(" requested ")?;
        let (_, available) = rest.split_once(", available ")?;
        let available: i64 = available.split(' ').next()?.parse().ok()?;
        let name = sku.rsplit(':').next()?;
        if !name.starts_with(['W', 'F']) {
            read.insert(sku.to_owned(), (Some(available), None));
        }
    }
    Some(read)
}
