//! Faults that are planted on real servers while clients shop: what other clients, operators and files can do wrong.

use std::time::Duration;

use crate::check::check;
use crate::client::{Client as Clerk, Stage};
use crate::harness::Client;
use crate::record::{Durability, Entry};
use crate::run::{Plan, Site, World, run_with};
use crate::shop::words;
use crate::world::Needs;
use crate::world::single::Single;

/// Lets clients shop for a moment while this is done, and asserts that the checker finds it.
#[track_caller]
fn is_found(durability: Durability, what: &[&str], mut plant: impl FnMut(&mut Single, &Stage)) {
    let plan = Plan {
        site: Site::Single,
        durability,
        needs: Needs::default(),
        before: None,
        seed: 7,
        length: Duration::from_secs(3),
    };
    let history = run_with(&plan, 4, &mut |world, stage| match world {
        World::Single(single) => plant(single, stage),
        World::Cluster(_) => unreachable!("it is not asked for"),
    });
    let verdict = check(&history.expect("it needs nothing"));
    let is_known = |kind: &&str| verdict.findings.iter().any(|finding| *kind == finding.what);
    let missing: Vec<_> = what.iter().filter(|kind| !is_known(kind)).collect();
    let shown: Vec<_> = verdict.findings.iter().take(5).map(ToString::to_string).collect();
    assert!(
        missing.is_empty(),
        "{missing:?} is not among {} findings, such as\n{}",
        verdict.findings.len(),
        shown.join("\n")
    );
}

/// Deletes all keys that match.
fn delete(client: &mut Client, pattern: &str) {
    let all = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end";
    client.ask(["EVAL", all, "0", pattern]);
}

#[test]
fn without_a_planted_fault_nothing_is_found() {
    let plan = Plan {
        site: Site::Single,
        durability: Durability::Everysec,
        needs: Needs::default(),
        before: None,
        seed: 8,
        length: Duration::from_secs(3),
    };
    let history = run_with(&plan, 4, &mut |_, _| {}).expect("it needs nothing");
    let verdict = check(&history);
    let shown: Vec<_> = verdict.findings.iter().take(5).map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    assert!(verdict.calls > 300 && verdict.reads > 30 && verdict.searched.groups > 100, "{verdict:?}");
}

#[test]
fn units_that_another_client_adds_are_found() {
    is_found(Durability::Everysec, &["units moved without an entry"], |single, _| {
        single.master().connect().ask("INCRBY stock:available:P 5");
    });
}

#[test]
fn units_that_another_client_keeps_are_found() {
    is_found(Durability::Everysec, &["drift", "units moved without an entry"], |single, _| {
        single.master().connect().ask("DECRBY stock:available:Q 2");
        single.master().connect().ask("INCRBY stock:reserved:Q 2");
    });
}

#[test]
fn outcomes_that_are_deleted_are_found() {
    is_found(Durability::Everysec, &["an answer that contradicts others"], |single, _| {
        delete(&mut single.master().connect(), "inventory:outcome:*");
    });
}

#[test]
fn tokens_that_are_deleted_are_found() {
    is_found(Durability::Everysec, &["took effect twice"], |single, stage| {
        // A client that did not hear the first answer.
        let mut clerk = Clerk::new(stage, 9, 1);
        let call = words("INV.ADJUST P 1 ONCE again NOTE again");
        clerk.require(0, &call);
        delete(&mut single.master().connect(), "inventory:once:*");
        clerk.require(0, &call);
        single.entries.extend(clerk.calls.into_iter().map(Entry::Call));
    });
}

#[test]
fn quotas_that_are_deleted_are_found() {
    let what = ["a limit exceeded", "another quota than what was sold"];
    is_found(Durability::Everysec, &what, |single, _| {
        delete(&mut single.master().connect(), "stock:*:L@@*");
    });
}

#[test]
fn a_stale_replica_that_is_promoted_is_found() {
    is_found(Durability::Wait, &["a confirmed answer was forgotten"], |single, stage| {
        single.promote_stale(700, stage)
    });
}

#[test]
fn an_old_file_that_is_restored_is_found() {
    is_found(Durability::Always, &["an answer was forgotten"], |single, stage| {
        single.restore_old_file(700, stage)
    });
}
