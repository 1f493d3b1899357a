//! At rest, what INV.QUOTA says of a buyer is what the feed says that the buyer has bought, less what was forgiven.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::ask::{Ask, product_of};
use super::feed::{Shop, Told};
use super::finding::Finding;
use super::rules::buyers;
use crate::record::Outcome;

/// By quota (`product@@buyer`): the units.
type Quotas = HashMap<String, i64>;

pub fn check(shop: &Shop<'_>, findings: &mut Vec<Finding>) {
    let Some(rest) = shop.history.rest else { return };
    let sold = sold(shop);
    let unclear = unclear(shop);
    for told in shop.told.iter().filter(|told| told.call.start >= rest && told.is_ok()) {
        let ("INV.QUOTA", [_, product, buyer]) = (told.verb(), told.call.words.as_slice()) else { continue };
        if unclear.contains(buyer.as_str()) {
            continue;
        }
        let answer = &told.call.answer;
        if answer["held"] != 0 {
            let text =
                format!("{buyer} holds some of {product}, although every deadline has passed: {answer}");
            findings.push(Finding::new("units that never came back", text));
        }
        let quota = format!("{product}@@{buyer}");
        let sold = sold.get(&quota).copied().unwrap_or_default();
        let (least, most) = forgiven(shop, &quota);
        let bought = answer["bought"].as_i64().unwrap_or_default();
        if bought < sold - most || bought > sold - least {
            let text = format!(
                "{buyer} has bought {sold} of {product} by the feed, of which {least} to {most} were forgiven, and not {answer}"
            );
            findings.push(Finding::new("another quota than what was sold", text));
        }
        if let (Some(limit), Some(left)) = (answer["limit"].as_i64(), answer["left"].as_i64())
            && left != (limit - bought).max(0)
        {
            findings.push(Finding::new("a quota that does not add up", format!("{quota}: {answer}")));
        }
    }
}

/// What the feed says that was sold of each quota.
fn sold(shop: &Shop<'_>) -> Quotas {
    let buyers = buyers(shop);
    let mut sold = Quotas::new();
    for moved in &shop.entries {
        let entry = moved.entry;
        if let (Some(id), "committed" | "committed_late") = (moved.id(), entry.event.as_str())
            && let Some(Some(buyer)) = buyers.get(&shop.group(&id))
        {
            let quota = format!("{}@@{buyer}", product_of(&entry.sku));
            *sold.entry(quota).or_default() += entry.quantity;
        }
    }
    sold
}

/// The buyers of groups of reservations for which several are named. It is not known what each of them has bought.
fn unclear<'a>(shop: &'a Shop<'_>) -> HashSet<&'a str> {
    let buyers = buyers(shop);
    let mut unclear = HashSet::new();
    for asked in shop.told.iter().flat_map(|told| &told.asked) {
        if let Ask::Reserve { id, wish } | Ask::Replace { new: id, wish, .. } = &asked.ask
            && let Some(buyer) = &wish.buyer
            && buyers.get(&shop.group(id)) == Some(&None)
        {
            unclear.insert(buyer.as_str());
        }
    }
    unclear
}

/// The fewest and the most units that may have been forgiven. No entry of the feed tells of them, so a request without an answer
/// may have taken effect or not, and a failover may have forgotten one that was answered.
fn forgiven(shop: &Shop<'_>, quota: &str) -> (i64, i64) {
    let durability = shop.history.run.durability;
    let mut requests: BTreeMap<u64, Vec<&Told<'_>>> = BTreeMap::new();
    for told in shop.told.iter().filter(|told| told.verb() == "INV.ADJUST" && told.call.words[1] == quota) {
        requests.entry(told.call.request).or_default().push(told);
    }
    let (mut least, mut most) = (0, 0);
    for tries in requests.values().filter(|tries| tries.iter().any(|told| told.call.outcome != Outcome::Fail))
    {
        let units: i64 = tries[0].call.words[2].parse().unwrap_or_default();
        let is_sure = tries.iter().any(|told| {
            let may_forget = |stint| shop.stints.may_forget(stint, durability);
            told.is_ok() && !(told.stint..shop.stints.count()).any(may_forget)
        });
        // Units that were charged are forgiven the other way round.
        let other = if is_sure { units } else { 0 };
        least += units.min(other);
        most += units.max(other);
    }
    (least, most)
}
