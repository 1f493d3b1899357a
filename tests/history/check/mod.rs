//! Looks for answers that the contract does not allow. It shares no code with the module, nor with the models of other tests.
//!
//! Two witnesses are compared. Clients say what they were told, and when; the change feed says in which order units moved.
//!
//! | file | looks for |
//! | --- | --- |
//! | `ids.rs`, with `search.rs` and `contract.rs` | answers about a reservation that fit no order of its calls |
//! | `feed.rs` | counters that do not add up, and an order against real time |
//! | `balance.rs` | units that moved twice or never came back, requests that took effect twice, other answers than what happened |
//! | `reads.rs` | numbers that were never true |
//! | `rules.rs` | floors and limits that were exceeded, and so more units held and sold than there were |
//! | `quotas.rs` | quotas that are not what was sold |
//! | `losses.rs` | answers that were forgotten and should not have been |
//!
//! A call without an answer may have taken effect at any moment after it was sent, or never (`stints.rs` says until when). Clocks
//! count as what they may have shown. Whatever is possible is no finding.

pub mod ask;
mod balance;
pub mod contract;
mod feed;
mod finding;
mod ids;
mod losses;
mod quotas;
mod reads;
mod rules;
mod search;
mod stints;

use std::collections::BTreeSet;

pub use finding::Finding;
pub use ids::Searched;
pub use losses::Loss;

use crate::record::{History, Outcome};

/// What a check found, and how much it looked at.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    pub calls: usize,
    pub unknown: usize,
    pub entries: usize,
    pub reads: usize,
    pub searched: Searched,
    pub losses: Vec<Loss>,
}

/// Errors that no client of the load can cause.
const NEVER_EXPECTED: [&str; 6] = ["DRIFT", "FOREIGN", "WRONGTYPE", "CROSSSLOT", "NOPERM", "EXECABORT"];

/// Checks a history.
pub fn check(history: &History) -> Verdict {
    let mut verdict = Verdict {
        calls: history.calls.len(),
        unknown: history.calls.iter().filter(|call| call.outcome == Outcome::Unknown).count(),
        entries: history.feeds.values().map(Vec::len).sum(),
        ..Verdict::default()
    };
    let findings = &mut verdict.findings;
    for call in history.calls.iter().filter(|call| call.outcome == Outcome::Fail) {
        let code = ask::code(call.answer.as_str().unwrap_or_default());
        if NEVER_EXPECTED.contains(&code) {
            findings.push(Finding::new("an unexpected error", format!("{:?}: {}", call.words, call.answer)));
        }
    }
    for server in &history.servers {
        if !server.same {
            findings.push(Finding::new(
                "copies differ",
                format!("{} has other data than its master", server.server),
            ));
        }
        if server.panics != 0 || server.unexplained != 0 {
            findings.push(Finding::new("a fault that the module counted", format!("{server:?}")));
        }
    }
    let names: BTreeSet<&str> = history.calls.iter().map(|call| call.shop.as_str()).collect();
    for name in names {
        let shop = feed::Shop::of(history, name);
        shop.check(findings);
        balance::check(&shop, findings);
        rules::check(&shop, findings);
        quotas::check(&shop, findings);
        let cuts = losses::check(&shop, &mut verdict.losses, findings);
        verdict.reads += reads::check(&shop, &cuts, findings);
        let searched = ids::check(&shop, &cuts, findings);
        verdict.searched.groups += searched.groups;
        verdict.searched.too_many += searched.too_many;
    }
    verdict
}
