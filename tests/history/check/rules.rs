//! Floors and limits per buyer: nothing is taken beyond the loosest value that may have been in force.

use std::collections::HashMap;

use super::ask::{Ask, product_of};
use super::feed::{Moved, Shop, Told};
use super::finding::Finding;
use crate::record::{Moment, Outcome};

pub fn check(shop: &Shop<'_>, findings: &mut Vec<Finding>) {
    floors(shop, findings);
    limits(shop, findings);
}

/// A value that a call set, or that was set before the first call.
struct Setting {
    value: i64,
    stint: usize,
    start: Moment,
    /// `None` if it was never answered, so that it may take effect at any time.
    end: Option<Moment>,
}

/// The values that were set for each subject by this command.
struct Settings(HashMap<String, Vec<Setting>>);

impl Settings {
    fn of(shop: &Shop<'_>, verb: &str, before: &std::collections::BTreeMap<String, i64>) -> Self {
        let mut settings: HashMap<String, Vec<Setting>> = HashMap::new();
        for (subject, value) in before {
            let setting = Setting { value: *value, stint: 0, start: 0, end: Some(0) };
            settings.entry(subject.clone()).or_default().push(setting);
        }
        for told in shop.told.iter().filter(|told| told.verb() == verb && told.call.outcome != Outcome::Fail)
        {
            let value = told.call.words[2].parse().unwrap_or(i64::MAX);
            let end = told.is_ok().then_some(told.call.end);
            let setting = Setting { value, stint: told.stint, start: told.call.start, end };
            settings.entry(told.call.words[1].clone()).or_default().push(setting);
        }
        Self(settings)
    }

    /// The values that may have been in force when an entry was made.
    fn at(&self, subject: &str, moved: &Moved<'_>) -> Vec<i64> {
        let settings = self.0.get(subject).map(Vec::as_slice).unwrap_or_default();
        // Another one was set after it and before the entry, by the same master.
        let is_over = |setting: &Setting| {
            settings.iter().any(|later| {
                later.stint == moved.stint
                    && later.end.is_some_and(|end| end < moved.after)
                    && setting.end.is_some_and(|end| end < later.start)
            })
        };
        let possible = settings.iter().filter(|setting| setting.start <= moved.before && !is_over(setting));
        possible.map(|setting| setting.value).collect()
    }
}

fn floors(shop: &Shop<'_>, findings: &mut Vec<Finding>) {
    let settings = Settings::of(shop, "INV.FLOOR", &shop.history.run.floors);
    let forced: HashMap<&str, bool> = shop
        .told
        .iter()
        .filter_map(|told| Some((told.option("NOTE")?, told.call.words.iter().any(|word| word == "FORCE"))))
        .collect();
    for moved in &shop.entries {
        let entry = moved.entry;
        let lowest = settings.at(&entry.sku, moved).into_iter().min().unwrap_or(0);
        let lowest = match entry.event.as_str() {
            "reserved" | "committed_late" => lowest,
            "replaced" if entry.quantity > 0 => lowest,
            "adjusted" | "set" if entry.quantity < 0 => {
                let note = entry.note.as_deref().unwrap_or_default();
                if forced.get(note).copied().unwrap_or(true) {
                    continue;
                }
                lowest.min(0)
            }
            // Only units that exist are moved.
            "transferred" if entry.quantity < 0 => 0,
            _ => continue,
        };
        if entry.available < lowest {
            let what =
                if lowest == 0 { "more units held and sold than there were" } else { "a floor exceeded" };
            findings.push(Finding::new(what, format!("{entry:?}, with a floor of {lowest} at the lowest")));
        }
    }
}

fn limits(shop: &Shop<'_>, findings: &mut Vec<Finding>) {
    let settings = Settings::of(shop, "INV.LIMIT", &shop.history.run.limits);
    let buyers = buyers(shop);
    let forgiven: Vec<(&Told<'_>, &str, i64)> = shop
        .told
        .iter()
        .filter(|told| told.verb() == "INV.ADJUST" && told.call.outcome != Outcome::Fail)
        .filter(|told| told.call.words[1].contains("@@"))
        .filter_map(|told| Some((told, told.call.words[1].as_str(), told.call.words[2].parse().ok()?)))
        .collect();
    // What each buyer holds and has bought of each product, and what a deadline returned.
    let mut taken: HashMap<String, i64> = HashMap::new();
    for moved in &shop.entries {
        let entry = moved.entry;
        let product = product_of(&entry.sku);
        let Some(Some(buyer)) = moved.id().and_then(|id| buyers.get(&shop.group(&id))) else { continue };
        let quota = format!("{product}@@{buyer}");
        let more = match entry.event.as_str() {
            "reserved" | "replaced" | "committed_late" => entry.quantity,
            "rolled_back" | "expired" => -entry.quantity,
            _ => continue,
        };
        let taken = taken.entry(quota.clone()).or_default();
        *taken += more;
        let Some(most) = settings.at(product, moved).into_iter().max() else { continue };
        let requests: HashMap<u64, i64> = forgiven
            .iter()
            .filter(|(told, name, units)| *name == quota && *units > 0 && told.call.start <= moved.before)
            .map(|(told, _, units)| (told.call.request, *units))
            .collect();
        let least = *taken - requests.values().sum::<i64>();
        if more > 0 && least > most {
            let text = format!(
                "{entry:?}: {buyer} holds and has bought at least {least} of {product}, and may have {most}"
            );
            findings.push(Finding::new("a limit exceeded", text));
        }
    }
}

/// The buyer of each group of reservations, or `None` if calls about it name several: it is then not known who held what.
pub(super) fn buyers(shop: &Shop<'_>) -> HashMap<String, Option<String>> {
    let mut buyers: HashMap<String, Option<String>> = HashMap::new();
    for asked in shop.told.iter().flat_map(|told| &told.asked) {
        if let Ask::Reserve { id, wish } | Ask::Replace { new: id, wish, .. } = &asked.ask
            && let Some(buyer) = &wish.buyer
        {
            let known = buyers.entry(shop.group(id)).or_insert_with(|| Some(buyer.clone()));
            if known.as_ref() != Some(buyer) {
                *known = None;
            }
        }
    }
    buyers
}
