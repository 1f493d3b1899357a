//! The rules of docs/internals/releases.md, one test for each sentence. Each test covers histories in which real servers
//! lost or duplicated units.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_inventory::engine::audit::{self, AuditCursor};
use redis_inventory::engine::effects;
use redis_inventory::engine::keyspace::{LoadRepair, Tally};
use redis_inventory::engine::queries::{self, ReservationView};
use redis_inventory::engine::recover::Walk;
use redis_inventory::engine::reserve::{ReserveRequest, reserve};
use redis_inventory::engine::resolve::{ExtendRequest, ResolveRequest, commit, extend, rollback};
use redis_inventory::inventory::allocation::Split;
use redis_inventory::inventory::key::Watched;
use redis_inventory::inventory::lifetime::Lifetime;
use redis_inventory::inventory::line::{Line, describe};
use redis_inventory::inventory::outcome::Outcome;
use redis_inventory::inventory::quantity::Quantity;
use redis_inventory::inventory::reservation::Record;
use redis_inventory::inventory::sku::{KeyStyle, ReservationId, Sku};
use redis_inventory::ledger::Ledger;
use redis_inventory::ledger::gone::Gone;
use redis_inventory::ledger::walk::Purpose;

use super::calls::call;
use super::simulation::{BEGIN, Command, Simulation};

fn id(text: &str) -> ReservationId {
    ReservationId::parse(text.as_bytes(), KeyStyle::Plain).unwrap()
}

fn whole(name: &str) -> ResolveRequest {
    ResolveRequest { id: id(name), part: None, late: false, fence: false, once: None }
}

/// `"P 5"`.
fn line(text: &str) -> Line {
    let (sku, units) = text.split_once(' ').unwrap();
    let sku = Sku::parse(sku.as_bytes(), KeyStyle::Plain).unwrap();
    Line { sku, quantity: Quantity::new(units.parse().unwrap()).unwrap() }
}

fn asked(name: &str, life: i64, items: Vec<Line>) -> ReserveRequest {
    let (lifetime, split) = (Lifetime::For(life), Split::default());
    ReserveRequest {
        id: id(name),
        lifetime,
        data: None,
        buyer: None,
        split,
        partial: false,
        items,
        once: None,
    }
}

/// The refusal of a reservation that ended at its deadline.
fn refused_as_expired(id: &str, deadline: i64) -> String {
    format!(
        "EXPIRED reservation {id} expired at {deadline}: retry with a new id, or sell its units with INV.COMMIT {id} LATE if they are still available"
    )
}

/// The refusal of an unknown reservation.
fn unknown(id: &str) -> String {
    format!(
        "NOTFOUND reservation {id} is unknown: it was never made, its key was deleted, or its outcome is no longer remembered (inv.outcome-ttl-ms). Check the order in your own database before you retry"
    )
}

/// What a client reads: `OK` or the refusal.
fn answer<T>(result: Result<T, impl ToString>) -> String {
    result.map_or_else(|refusal| refusal.to_string(), |_| "OK".to_owned())
}

/// Commands of clients within a unit of work.
impl Simulation {
    /// Reserves `"P 5, Q 1"` for this many milliseconds.
    fn reserve(&mut self, name: &str, items: &str, life: i64) -> String {
        answer(reserve(self, &asked(name, life, items.split(", ").map(line).collect())))
    }

    fn commit(&mut self, name: &str) -> String {
        answer(commit(self, &whole(name)))
    }

    fn commit_late(&mut self, name: &str) -> String {
        answer(commit(self, &ResolveRequest { late: true, ..whole(name) }))
    }

    fn rollback(&mut self, name: &str) -> String {
        answer(rollback(self, &whole(name)))
    }

    fn get(&mut self, name: &str) -> Option<ReservationView> {
        queries::get(self, &id(name)).unwrap()
    }

    /// Available and reserved units, with `-` for a missing counter.
    fn counters(&self, sku: &str) -> String {
        let counter = |kind: &str| self.stored(&format!("stock:{kind}:{sku}")).unwrap_or("-").to_owned();
        format!("{} {}", counter("available"), counter("reserved"))
    }

    /// State and returned lines of an outcome.
    fn outcome(&self, name: &str) -> Option<(&'static str, Option<String>)> {
        let json = self.stored(&format!("inventory:outcome:{name}"))?;
        let outcome = Outcome::from_json(&id(name), json.as_bytes(), KeyStyle::Plain).unwrap();
        Some((outcome.ending.name(), outcome.parts.map(|parts| describe(&parts.returned))))
    }
}

fn expired(returned: &str) -> Option<(&'static str, Option<String>)> {
    Some(("expired", Some(returned.to_owned())))
}

/// Ten units of P; `reservation:A` holds five of them for 100 ms.
fn shop() -> Simulation {
    let mut shop = Simulation::new();
    shop.settings.low_stock_threshold = -1;
    shop.client(&["SET", "stock:available:P", "10"]);
    shop.unit(|shop| assert_eq!(shop.reserve("A", "P 5", 100), "OK"));
    shop.take_stream();
    shop
}

/// The names of the commands of each transaction, with their keys.
fn sent(stream: &[Vec<Command>]) -> Vec<Vec<String>> {
    let short = |command: &Command| format!("{} {}", command[0], command[1]);
    stream.iter().map(|unit| unit.iter().map(short).collect()).collect()
}

// --- PENDING ---

#[test]
fn the_command_whose_open_expires_a_record_settles_it_before_it_decides() {
    let mut shop = shop();
    shop.advance(101);
    shop.unit(|shop| {
        assert_eq!(shop.reserve("B", "P 10", 100), "OK");
        assert_eq!(shop.counters("P"), "0 10");
    });
    assert_eq!(shop.counters("P"), "0 10");
    assert_eq!(shop.outcome("A"), expired("P 5"));
}

/// Requests all 1200 units of MANY, which 1200 overdue reservations still hold.
fn reserve_all_of_many(shop: &mut Simulation) {
    for back in ["500 700", "1000 200"] {
        let answer = shop.unit(|shop| shop.reserve("B", "MANY 1200", 100));
        assert_eq!(
            answer,
            "TRYAGAIN more reservations of MANY are overdue than one command releases: try again, each try releases more"
        );
        assert_eq!(shop.counters("MANY"), back);
    }
    shop.unit(|shop| assert_eq!(shop.reserve("B", "MANY 1200", 100), "OK"));
    assert_eq!(shop.counters("MANY"), "0 1200");
}

#[test]
fn one_command_gives_back_a_bounded_number_of_overdue_reservations_and_says_so() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:MANY", "1200"]);
    for n in 0..1200 {
        shop.unit(|shop| assert_eq!(shop.reserve(&format!("M{n}"), "MANY 1", 100), "OK"));
    }
    shop.advance(101);
    reserve_all_of_many(&mut shop);
}

#[test]
fn what_one_command_gives_back_is_bounded_by_lines() {
    let mut shop = shop();
    for sku in 0..100 {
        shop.client(&["SET", &format!("stock:available:S{sku}"), "20"]);
    }
    let items = (0..100).map(|sku| format!("S{sku} 1")).collect::<Vec<_>>().join(", ");
    for n in 0..20 {
        shop.unit(|shop| assert_eq!(shop.reserve(&format!("M{n}"), &items, 100), "OK"));
        if n % 2 == 0 {
            shop.client(&["DEL", &format!("reservation:M{n}")]);
        }
    }
    shop.advance(101);
    for back in ["5 15", "10 10", "15 5"] {
        let answer = shop.unit(|shop| shop.reserve("B", "S0 20", 100));
        assert!(answer.starts_with("TRYAGAIN "), "{answer}");
        assert_eq!(shop.counters("S99"), back);
    }
    shop.unit(|shop| assert_eq!(shop.reserve("B", "S0 20", 100), "OK"));
}

#[test]
fn what_a_command_settles_for_others_is_bounded_by_lines() {
    let mut shop = shop();
    for sku in 0..100 {
        shop.client(&["SET", &format!("stock:available:S{sku}"), "20"]);
    }
    let items = (0..100).map(|sku| format!("S{sku} 1")).collect::<Vec<_>>().join(", ");
    for n in 0..20 {
        shop.unit(|shop| assert_eq!(shop.reserve(&format!("M{n}"), &items, 100), "OK"));
    }
    shop.advance(101);
    shop.unit(|shop| {
        for n in 0..20 {
            shop.execute(&["GET", &format!("reservation:M{n}")]);
        }
        assert_eq!(shop.commit("NOBODY"), unknown("NOBODY"));
        assert_eq!(shop.counters("S99"), "1 19");
    });
    assert_eq!(shop.counters("S99"), "20 0");
}

#[test]
fn the_same_bound_applies_to_deleted_records() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:MANY", "1200"]);
    for n in 0..1200 {
        shop.unit(|shop| assert_eq!(shop.reserve(&format!("M{n}"), "MANY 1", 100), "OK"));
        shop.client(&["DEL", &format!("reservation:M{n}")]);
    }
    shop.advance(101);
    reserve_all_of_many(&mut shop);
}

#[test]
fn a_command_looks_at_a_bounded_number_of_keys_that_others_touched_and_the_job_at_the_rest() {
    let mut shop = shop();
    shop.unit(|shop| {
        for n in 0..3000 {
            shop.execute(&["SET", &format!("reservation:X{n}"), "foreign"]);
        }
        let before = shop.looks.insert(Vec::new()).len();
        assert_eq!(shop.reserve("B", "P 5", 100), "OK");
        let looks = shop.looks.take().unwrap().len() - before;
        assert!((1024..3000).contains(&looks), "{looks} reads of keys");
        assert!(shop.memory().is_behind());
    });
    assert!(!shop.memory().is_behind());
    assert_eq!(shop.memory().foreign.count(), 3000);
}

#[test]
fn a_command_that_needs_every_reservation_looks_at_a_bounded_number_of_touched_keys_and_says_so() {
    for words in ["INV.AUDIT P", "INV.AUDITSCAN 0", "INV.REPAIR P", "INV.SCAN 0"] {
        let words: Vec<&str> = words.split(' ').collect();
        let mut shop = shop();
        shop.unit(|shop| {
            for n in 0..5000 {
                shop.execute(&["SET", &format!("reservation:X{n}"), "foreign"]);
            }
            let mut tries = 0;
            loop {
                shop.looks = Some(Vec::new());
                let answer = super::calls::call(shop, &words);
                let looks = shop.looks.take().unwrap().len();
                assert!(looks < 5000, "{words:?}: {looks} reads of keys");
                tries += 1;
                match answer {
                    Ok(_) => break,
                    Err(refusal) => assert_eq!(refusal.code(), "TRYAGAIN"),
                }
            }
            assert!((3..=5).contains(&tries), "{words:?}: {tries} tries");
        });
    }
}

/// Deletes 1200 reservations and adds to the reserved units of P, in one unit of work whose job has no time.
fn delete_many_and_reserve(shop: &mut Simulation, units: &str) {
    shop.client(&["SET", "stock:available:MANY", "1200"]);
    for n in 0..1200 {
        shop.unit(|shop| assert_eq!(shop.reserve(&format!("M{n}"), "MANY 1", 100), "OK"));
    }
    shop.is_busy = true;
    shop.looks = Some(Vec::new());
    shop.unit(|shop| {
        for n in 0..1200 {
            shop.execute(&["DEL", &format!("reservation:M{n}")]);
        }
        shop.execute(&["DECRBY", "stock:available:P", units]);
        shop.execute(&["INCRBY", "stock:reserved:P", units]);
    });
    let looks = shop.looks.take().unwrap().len();
    assert!(looks < 100, "{looks} reads of keys");
    shop.is_busy = false;
}

#[test]
fn a_counter_written_beside_more_deletions_than_there_is_time_for_costs_the_mark_until_it_is_checked() {
    let mark = "inventory:managed";
    for (units, is_right) in [("1", false), ("0", true)] {
        let mut shop = shop();
        assert!(shop.stored(mark).is_some());
        delete_many_and_reserve(&mut shop, units);
        assert_eq!(shop.stored(mark), None, "a replica would repair what belongs to another program");
        shop.unit(|shop| assert_eq!(shop.reserve("B", "P 1", 100), "OK"));
        shop.sweep();
        assert_eq!(shop.stored(mark), None);
        let found: Vec<&str> = shop.memory().comparison.drifting().map(Sku::as_str).collect();
        assert_eq!(found, if is_right { vec![] } else { vec!["P"] });
        assert!(shop.verify(usize::MAX));
        assert_eq!(shop.stored(mark).is_some(), is_right, "INCRBY {units}");
        // What was deleted is remembered.
        shop.advance(101);
        shop.sweep();
        assert_eq!(shop.counters("MANY"), "1200 0");
    }
}

#[test]
fn a_round_of_the_audit_does_not_let_the_mark_return_before_a_written_counter_is_compared() {
    let mut shop = shop();
    // The round has compared P.
    assert!(!shop.verify(1));
    delete_many_and_reserve(&mut shop, "1");
    assert!(shop.verify(usize::MAX));
    assert_eq!(shop.stored("inventory:managed"), None);
}

#[test]
fn units_of_another_program_are_not_remembered_before_the_counter_is_compared() {
    let mut shop = shop();
    delete_many_and_reserve(&mut shop, "5");
    // A script returns what A held.
    shop.script(&[
        &["DEL", "reservation:A"],
        &["DECRBY", "stock:reserved:P", "5"],
        &["INCRBY", "stock:available:P", "5"],
    ]);
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "5 5", "the other program has its units");
}

#[test]
fn a_later_write_command_of_the_unit_settles_what_a_read_expired() {
    let mut shop = shop();
    shop.advance(101);
    shop.unit(|shop| {
        shop.execute(&["GET", "reservation:A"]);
        assert_eq!(shop.counters("P"), "5 5");
        assert_eq!(shop.reserve("B", "P 10", 100), "OK");
        assert_eq!(shop.counters("P"), "0 10");
    });
    assert_eq!(shop.counters("P"), "0 10");
}

#[test]
fn the_job_settles_what_nobody_else_has_in_the_transaction_of_the_deletion() {
    let mut shop = shop();
    shop.advance(101);
    shop.client(&["GET", "reservation:A"]);
    assert_eq!(shop.counters("P"), "10 0");
    assert_eq!(shop.outcome("A"), expired("P 5"));
    let settled = [
        "DEL reservation:A",
        "INCRBY stock:available:P",
        "DECRBY stock:reserved:P",
        "SET inventory:outcome:A",
    ];
    assert_eq!(sent(&shop.take_stream()), [settled]);
}

#[test]
fn the_cron_settles_what_the_job_had_to_leave() {
    let mut shop = shop();
    // It may still exist after its deadline: a job must not delete it during the server's scan.
    shop.client(&["PEXPIREAT", "stock:available:P", &(shop.clock + 50).to_string()]);
    shop.advance(101);
    shop.client(&["GET", "reservation:A"]);
    assert_eq!(shop.counters("P"), "5 5");
    shop.sweep();
    assert_eq!(shop.counters("P"), "5 0");
    assert_eq!(shop.stored("stock:available:P"), Some("5"));
}

#[test]
fn an_entry_is_settled_once() {
    let mut shop = shop();
    shop.advance(101);
    shop.unit(|shop| {
        shop.execute(&["GET", "reservation:A"]);
        assert_eq!(shop.commit("A"), refused_as_expired("A", shop.clock - 1));
        assert_eq!(shop.rollback("A"), "OK");
    });
    shop.sweep();
    shop.advance(1000);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
    assert_eq!(shop.total(Tally::Expired), 1);
}

#[test]
fn the_sweep_opens_what_is_due_and_nothing_else() {
    let mut shop = shop();
    shop.unit(|shop| shop.reserve("B", "P 1", 200));
    shop.advance(100);
    shop.sweep();
    assert_eq!(shop.counters("P"), "4 6");
    shop.advance(1);
    shop.sweep();
    assert_eq!(shop.counters("P"), "9 1");
    assert_eq!(shop.lags, [1]);
}

#[test]
fn a_sweep_that_runs_out_of_time_continues_where_it_was() {
    let mut shop = shop();
    for name in ["B", "C"] {
        shop.unit(|shop| shop.reserve(name, "P 1", 100));
    }
    shop.advance(101);
    assert!(shop.sweep_slice(2));
    assert_eq!(shop.memory().holds.count(), 1);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
}

#[test]
fn an_evicted_record_is_settled_as_an_expired_one() {
    let mut shop = shop();
    shop.client(&["EVICT", "reservation:A"]);
    assert_eq!(shop.counters("P"), "10 0");
    assert_eq!(shop.outcome("A"), expired("P 5"));
}

#[test]
fn readers_settle_nothing_and_answer_from_the_index() {
    let mut shop = shop();
    shop.advance(101);
    shop.unit(|shop| {
        let view = shop.get("A").unwrap();
        assert_eq!((view.state, describe(&view.items).as_str()), ("expired", "P 5"));
        assert_eq!(shop.counters("P"), "5 5");
        // The record is deleted now, but not settled yet.
        assert_eq!(shop.get("A").unwrap().state, "expired");
    });
    assert_eq!(shop.counters("P"), "10 0");
}

#[test]
fn an_overdue_reservation_that_was_sold_in_part_looks_the_same_before_and_after_its_release() {
    let mut shop = shop();
    let part = |sku_and_units: &str| ResolveRequest { part: Some(vec![line(sku_and_units)]), ..whole("A") };
    shop.unit(|shop| commit(shop, &part("P 2")).unwrap());
    shop.unit(|shop| rollback(shop, &part("P 1")).unwrap());
    let look = |shop: &mut Simulation| {
        let view = shop.get("A").unwrap();
        let lists = [&view.items, &view.sold, &view.returned, &view.rolled_back, &view.short];
        (view.state, lists.map(|lines| describe(lines)))
    };
    assert_eq!(look(&mut shop).0, "reserved");
    shop.advance(101);
    let before = shop.unit(|shop| look(shop));
    assert_eq!(shop.counters("P"), "8 0", "it is released after the call");
    assert_eq!(before, ("expired", ["P 5", "P 2", "P 3", "P 1", ""].map(str::to_owned)));
    assert_eq!(look(&mut shop), before);
}

#[test]
fn a_record_that_reads_as_missing_while_it_is_due_is_expired_and_not_unknown() {
    let mut shop = shop();
    shop.importing = true;
    shop.advance(101);
    let refusal = refused_as_expired("A", shop.clock - 1);
    shop.unit(|shop| {
        assert_eq!(shop.commit("A"), refusal);
        assert_eq!(shop.rollback("A"), "OK");
        assert_eq!(shop.reserve("A", "P 5", 100), refusal);
        assert_eq!(shop.get("A").unwrap().state, "expired");
    });
    assert_eq!(shop.counters("P"), "5 5");
    assert_eq!(shop.take_stream(), [] as [Vec<Command>; 0]);
}

#[test]
fn what_does_not_go_when_it_is_opened_is_tried_again_a_second_later() {
    let mut shop = shop();
    shop.importing = true;
    shop.advance(101);
    shop.sweep();
    shop.importing = false;
    shop.advance(1000);
    shop.sweep();
    assert_eq!(shop.counters("P"), "5 5");
    shop.advance(1);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
}

#[test]
fn an_outcome_that_is_remembered_is_not_written_over() {
    let mut shop = shop();
    shop.unit(|shop| shop.commit("A"));
    shop.unit(|shop| shop.reserve("B", "P 5", 100));
    let copy = shop.stored("inventory:outcome:A").unwrap().replace("\"A\"", "\"B\"");
    shop.client(&["SET", "inventory:outcome:B", &copy]);
    shop.advance(101);
    shop.client(&["GET", "reservation:B"]);
    // The outcome that another client has written may have expired, so the job leaves the release to the cron.
    shop.sweep();
    assert_eq!(shop.outcome("B"), Some(("committed", None)));
    assert_eq!(shop.counters("P"), "5 0");
}

#[test]
fn without_outcomes_the_units_come_back_all_the_same() {
    let mut shop = shop();
    shop.settings.outcome_ttl_ms = 0;
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
    assert_eq!(shop.outcome("A"), None);
    shop.unit(|shop| assert_eq!(shop.reserve("A", "P 10", 100), "OK"));
}

#[test]
fn the_longest_id_in_braces_is_given_back_at_its_deadline_too() {
    let mut shop = Simulation::new();
    shop.style = KeyStyle::Tagged;
    shop.client(&["SET", "stock:available:{P}", "10"]);
    let long = "x".repeat(256);
    shop.unit(|shop| assert_eq!(shop.reserve(&long, "P 5", 100), "OK"));
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("{P}"), "10 0");
}

// --- CLAMP ---

#[test]
fn a_script_that_commits_a_record_does_not_bring_its_units_back() {
    let mut shop = shop();
    shop.unit(|shop| shop.reserve("B", "P 3", 5000));
    shop.script(&[&["DECRBY", "stock:reserved:P", "5"], &["DEL", "reservation:A"]]);
    for _ in 0..3 {
        shop.advance(101);
        shop.sweep();
        assert_eq!(shop.counters("P"), "2 3");
    }
    shop.unit(|shop| assert_eq!(shop.commit("B"), "OK"));
    assert_eq!(shop.counters("P"), "2 0");
}

#[test]
fn a_script_that_rolls_a_record_back_does_not_bring_its_units_back_twice() {
    let mut shop = shop();
    shop.script(&[
        &["INCRBY", "stock:available:P", "5"],
        &["DECRBY", "stock:reserved:P", "5"],
        &["DEL", "reservation:A"],
    ]);
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
}

#[test]
fn no_release_moves_what_others_hold() {
    for others in [
        &["GET", "reservation:B"][..],
        // Remembered units are held too.
        &["DEL", "reservation:B"],
    ] {
        let mut shop = shop();
        shop.unit(|shop| shop.reserve("B", "P 3", 5000));
        shop.client(others);
        shop.client(&["DECRBY", "stock:reserved:P", "4"]);
        shop.advance(101);
        shop.sweep();
        assert_eq!(shop.counters("P"), "3 3", "{others:?}");
        assert_eq!(shop.outcome("A"), expired("P 1"), "{others:?}");
        assert_eq!(shop.total(Tally::UnexplainedUnits), 4, "{others:?}");
    }
}

#[test]
fn overdue_and_pending_reservations_hold_their_units_against_each_other() {
    let mut shop = shop();
    shop.unit(|shop| shop.reserve("B", "P 3", 100));
    shop.client(&["DECRBY", "stock:reserved:P", "6"]);
    shop.advance(101);
    shop.script(&[&["GET", "reservation:A"], &["GET", "reservation:B"]]);
    assert_eq!(shop.counters("P"), "4 0");
    assert_eq!(shop.total(Tally::UnexplainedUnits), 6);
}

#[test]
fn if_reserved_is_absent_nothing_moves_and_nothing_is_created() {
    let mut shop = shop();
    shop.client(&["DEL", "stock:reserved:P"]);
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "5 -");
    assert_eq!(shop.outcome("A"), expired(""));
}

#[test]
fn if_available_is_absent_it_is_created_by_the_units_that_return() {
    let mut shop = shop();
    shop.client(&["DEL", "stock:available:P"]);
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "5 0");
}

#[test]
fn a_counter_that_is_not_an_integer_blocks_a_release_until_it_is_repaired() {
    for broken in [
        &["SET", "stock:reserved:P", "many"][..],
        &["SET", "stock:available:P", "many"],
        &["HSET", "stock:reserved:P", "field", "1"],
        &["HSET", "stock:available:P", "field", "1"],
        // Another five would overflow.
        &["SET", "stock:available:P", "9223372036854775807"],
    ] {
        let mut shop = shop();
        if broken[0] == "HSET" {
            // A string has no fields.
            shop.client(&["DEL", broken[1]]);
        }
        shop.client(broken);
        let before = shop.data.clone();
        shop.advance(101);
        shop.sweep();
        for counter in ["stock:available:P", "stock:reserved:P"] {
            assert_eq!(shop.data[counter], before[counter], "{broken:?}");
        }
        assert_eq!(shop.outcome("A"), expired(""), "{broken:?}");
        assert_eq!(shop.total(Tally::UnexplainedUnits), 0, "{broken:?}");
        assert_eq!(shop.memory().blocked.count(), 1, "{broken:?}");
        assert_eq!(shop.memory().holds.held_by_others(&sku_of("P"), 0), 5, "{broken:?}: they are still held");
        shop.sweep();
        let told =
            |shop: &Simulation| shop.log.iter().filter(|line| line.contains("cannot be released")).count();
        assert_eq!(told(&shop), 1, "{broken:?}: {:?}", shop.log);
        shop.client(&["SET", "stock:reserved:P", "5"]);
        shop.client(&["SET", "stock:available:P", "5"]);
        shop.sweep();
        assert_eq!(shop.counters("P"), "10 0", "{broken:?}");
        assert_eq!(shop.outcome("A"), expired("P 5"), "{broken:?}");
        assert_eq!(shop.memory().blocked.count(), 0, "{broken:?}");
        assert_eq!(shop.total(Tally::UnexplainedUnits), 0, "{broken:?}");
    }
}

#[test]
fn units_whose_release_is_blocked_return_after_a_restart_and_the_repair_of_the_counter() {
    for broken in ["many", "9223372036854775807"] {
        let mut shop = shop();
        shop.client(&["SET", "stock:available:P", broken]);
        shop.advance(101);
        shop.sweep();
        assert_eq!(shop.memory().blocked.count(), 1, "{broken}");
        shop.reload();
        shop.sweep();
        assert_eq!(shop.memory().blocked.count(), 1, "{broken}: {:?}", shop.log);
        assert!(!shop.log.iter().any(|line| line.contains("none are returned")), "{broken}: {:?}", shop.log);
        assert_eq!(shop.memory().comparison.drifting().count(), 0, "{broken}");
        shop.client(&["SET", "stock:available:P", "5"]);
        shop.sweep();
        assert_eq!(shop.counters("P"), "10 0", "{broken}");
        assert_eq!(shop.memory().blocked.count(), 0, "{broken}");
        assert_eq!(shop.total(Tally::RepairedUnits), 5, "{broken}");
    }
}

#[test]
fn a_late_commit_first_returns_what_a_broken_counter_has_kept() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:P", "many"]);
    shop.advance(101);
    shop.sweep();
    shop.unit(|shop| assert!(shop.commit_late("A").starts_with("WRONGTYPE")));
    shop.client(&["SET", "stock:available:P", "5"]);
    shop.unit(|shop| assert_eq!(shop.commit_late("A"), "OK"));
    assert_eq!(shop.counters("P"), "5 0");
    assert_eq!(shop.memory().blocked.count(), 0);
}

#[test]
fn a_late_commit_of_a_release_that_was_cut_is_drift() {
    let mut shop = shop();
    shop.client(&["DECRBY", "stock:reserved:P", "2"]);
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.outcome("A"), expired("P 3"));
    shop.unit(|shop| assert!(shop.commit_late("A").starts_with("DRIFT")));
    assert_eq!(shop.counters("P"), "8 0");
}

// --- REMEMBERED ---

#[test]
fn a_deleted_record_returns_its_units_at_the_deadline_and_once() {
    let mut shop = shop();
    shop.client(&["DEL", "reservation:A"]);
    shop.advance(100);
    shop.sweep();
    assert_eq!(shop.counters("P"), "5 5");
    shop.advance(1);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
    assert_eq!(shop.outcome("A"), expired("P 5"));
    shop.advance(1000);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
}

#[test]
fn an_overwritten_record_is_remembered_whatever_has_replaced_it() {
    let mut shop = shop();
    shop.client(&["SET", "reservation:A", "mine now"]);
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
    assert_eq!(shop.stored("reservation:A"), Some("mine now"));
}

#[test]
fn while_other_foreign_records_live_nothing_is_remembered() {
    for foreign in ["reservation:script-1", "reservation:"] {
        let mut shop = shop();
        shop.client(&["SET", foreign, r#"{"sku":"P","qty":2}"#]);
        shop.client(&["DEL", "reservation:A"]);
        shop.advance(101);
        shop.sweep();
        assert_eq!(shop.counters("P"), "5 5", "{foreign}");
        assert_eq!(shop.memory().holds.held_by_others(&Sku::parse(b"P", KeyStyle::Plain).unwrap(), 0), 0);
    }
}

#[test]
fn what_is_remembered_was_cut_to_what_could_move_when_it_was_deleted() {
    let mut shop = shop();
    shop.script(&[&["DECRBY", "stock:reserved:P", "2"], &["DEL", "reservation:A"]]);
    // Units that others reserve later are not returned for it.
    shop.unit(|shop| shop.reserve("B", "P 4", 5000));
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "4 4");
}

#[test]
fn a_late_commit_of_a_record_that_was_cut_when_it_was_deleted_is_drift() {
    let mut shop = shop();
    shop.script(&[&["DECRBY", "stock:reserved:P", "2"], &["DEL", "reservation:A"]]);
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "8 0");
    // Five were requested and three returned: the fate of the others is unknown.
    shop.unit(|shop| {
        let answer = shop.commit_late("A");
        assert!(answer.starts_with("DRIFT"), "{answer}");
    });
    assert_eq!(shop.counters("P"), "8 0");
}

#[test]
fn an_id_that_is_reserved_anew_settles_first_what_was_remembered_of_it_without_an_outcome() {
    let mut shop = shop();
    shop.client(&["DEL", "reservation:A"]);
    shop.unit(|shop| assert_eq!(shop.reserve("A", "P 2", 5000), "OK"));
    assert_eq!(shop.counters("P"), "8 2");
    assert_eq!(shop.outcome("A"), None);
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "8 2");
    shop.unit(|shop| assert_eq!(shop.commit("A"), "OK"));
}

#[test]
fn units_that_were_remembered_of_an_id_count_in_the_command_that_reserves_it_anew() {
    let mut shop = shop();
    shop.client(&["DEL", "reservation:A"]);
    shop.unit(|shop| assert_eq!(shop.reserve("A", "P 10", 5000), "OK"));
    assert_eq!(shop.counters("P"), "0 10");
}

#[test]
fn what_a_script_may_have_settled_is_not_given_back_to_a_new_reservation_of_its_id() {
    let mut shop = shop();
    shop.client(&["SET", "reservation:F", "a script's"]);
    // One transaction: the id is reserved again before the job that would remove the note.
    shop.unit(|shop| {
        shop.execute(&["DEL", "reservation:A"]);
        assert_eq!(shop.reserve("A", "P 1", 5000), "OK");
    });
    assert_eq!(shop.counters("P"), "4 6");
}

#[test]
fn what_was_deleted_and_is_due_counts_before_insufficient_is_answered() {
    let mut shop = shop();
    shop.client(&["DEL", "reservation:A"]);
    shop.advance(101);
    // The sweep has not run yet.
    shop.unit(|shop| assert_eq!(shop.reserve("B", "P 10", 5000), "OK"));
    assert_eq!(shop.counters("P"), "0 10");
    assert_eq!(shop.outcome("A"), expired("P 5"));
}

#[test]
fn what_is_remembered_twice_of_an_id_is_given_back_by_its_last_word() {
    let p = Sku::parse(b"P", KeyStyle::Plain).unwrap();
    let line = |units| Line { sku: p.clone(), quantity: Quantity::new(units).unwrap() };
    let mut ledger = Ledger::default();
    for units in [5, 3] {
        let gone = Gone::new(Record::new(id("A"), 0, 100, vec![line(units)], None), 100);
        ledger.note_removed(gone);
        let gone = ledger.removed.take_last().unwrap();
        ledger.remember(gone, vec![line(units)]);
    }
    assert_eq!(ledger.holds.held_by_others(&p, 0), 3);
    assert_eq!(ledger.remembered.take_due(101, None).map(|gone| gone.lines), Some(vec![line(3)]));
}

#[test]
fn a_record_that_comes_back_holds_its_units_once() {
    let mut shop = shop();
    let json = shop.stored("reservation:A").unwrap().to_owned();
    let until = (shop.clock + 5000).to_string();
    shop.client(&["DEL", "reservation:A"]);
    shop.client(&["SET", "reservation:A", &json, "PXAT", &until]);
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "5 5");
    shop.unit(|shop| assert_eq!(shop.commit("A"), "OK"));
    shop.advance(5000);
    shop.sweep();
    assert_eq!(shop.counters("P"), "5 0");
}

#[test]
fn a_record_that_is_renamed_away_and_back_is_the_same_reservation() {
    let mut shop = shop();
    shop.client(&["RENAME", "reservation:A", "backup:A"]);
    shop.unit(|shop| assert_eq!(shop.commit("A"), unknown("A")));
    shop.client(&["RENAME", "backup:A", "reservation:A"]);
    shop.unit(|shop| assert_eq!(shop.rollback("A"), "OK"));
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
}

#[test]
fn a_record_under_another_name_hides_nothing_of_the_reservation_that_it_was() {
    let mut shop = shop();
    shop.client(&["RENAME", "reservation:A", "reservation:B"]);
    shop.unit(|shop| assert_eq!(shop.commit("A"), unknown("A")));
    shop.advance(101);
    shop.sweep();
    // Its units return at the deadline, as if it had been deleted.
    assert_eq!(shop.counters("P"), "10 0");
}

#[test]
fn a_rollback_after_the_deadline_is_counted() {
    let mut shop = shop();
    shop.advance(101);
    shop.sweep();
    let before = shop.total(Tally::RolledBack);
    shop.unit(|shop| assert_eq!(shop.rollback("A"), "OK"));
    assert_eq!(shop.total(Tally::RolledBack), before + 1);
}

#[test]
fn a_reservation_that_is_sold_in_part_keeps_the_deadline_that_another_client_gave_it() {
    let mut shop = shop();
    let deadline = (BEGIN + 500).to_string();
    shop.client(&["PEXPIREAT", "reservation:A", &deadline]);
    let words = ["INV.COMMIT", "A", "ITEMS", "P", "1"];
    shop.unit(|shop| super::calls::call(shop, &words)).expect("a part");
    let after = shop.stored("reservation:A").unwrap();
    assert!(after.contains(&format!(r#""expires_at":{deadline},"#)), "{after}");
}

#[test]
fn a_due_record_that_the_server_does_not_expire_yet_stays_until_the_next_try() {
    let mut shop = shop();
    shop.expires_late_ms = 5;
    shop.advance(102);
    shop.sweep();
    assert!(shop.stored("reservation:A").is_some());
    assert_eq!(shop.counters("P"), "5 5");
    shop.advance(1001);
    shop.sweep();
    assert_eq!((shop.counters("P"), shop.outcome("A")), ("10 0".to_owned(), expired("P 5")));
}

#[test]
fn a_restored_reservation_is_marked_if_a_counter_contradicts_it_and_stays_so_when_it_is_changed() {
    let mut shop = shop();
    let json = shop.stored("reservation:A").unwrap().to_owned();
    let deadline = (BEGIN + 100).to_string();
    let is_marked = |shop: &Simulation| shop.stored("reservation:A").unwrap().contains("restored");
    shop.client(&["SET", "reservation:A", &json, "PXAT", &deadline]);
    assert!(!is_marked(&shop), "the counter agrees");
    shop.client(&["SET", "stock:reserved:P", "0"]);
    shop.client(&["SET", "reservation:A", &json, "PXAT", &deadline]);
    assert!(is_marked(&shop));
    shop.client(&["SET", "stock:reserved:P", "5"]);
    let words = ["INV.REPLACE", "A", "A", "ITEMS", "P", "3"];
    shop.command("A", |shop| super::calls::call(shop, &words)).expect("a change");
    assert!(is_marked(&shop));
}

#[test]
fn a_record_restored_over_itself_holds_its_units_once() {
    let mut shop = shop();
    let json = shop.stored("reservation:A").unwrap().to_owned();
    shop.client(&["SET", "reservation:A", &json]);
    // Without a TTL it ends at its expires_at.
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
    assert_eq!(shop.stored("reservation:A"), None);
}

#[test]
fn the_modules_own_deletions_and_overwritings_are_not_taken_for_other_clients() {
    for end in ["commit", "rollback"] {
        let mut shop = shop();
        let request = ExtendRequest { id: id("A"), lifetime: Lifetime::For(200), once: None };
        shop.unit(|shop| extend(shop, &request).unwrap());
        assert_eq!(shop.memory().holds.count(), 1);
        let left = shop.unit(|shop| if end == "commit" { shop.commit("A") } else { shop.rollback("A") });
        assert_eq!(left, "OK");
        let before = shop.counters("P");
        shop.advance(5000);
        shop.sweep();
        assert_eq!(shop.counters("P"), before, "{end}");
        assert!(!shop.memory().is_behind());
    }
}

#[test]
fn a_record_that_appears_under_an_id_that_has_ended_is_foreign_for_as_long_as_it_is_there() {
    let mut shop = shop();
    shop.settings.outcome_ttl_ms = 1000;
    shop.unit(|shop| shop.reserve("B", "P 5", 100_000));
    let json = shop.stored("reservation:A").unwrap().to_owned();
    shop.unit(|shop| assert_eq!(shop.commit("A"), "OK"));
    shop.client(&["SET", "reservation:A", &json, "PXAT", &(shop.clock + 50_000).to_string()]);
    for _ in 0..2 {
        shop.unit(|shop| {
            assert!(shop.commit("A").starts_with("FOREIGN"));
            assert!(shop.rollback("A").starts_with("FOREIGN"));
            assert!(shop.reserve("A", "P 5", 100).starts_with("FOREIGN"));
        });
        // The outcome is forgotten by then. The late commit must not sell what B holds.
        shop.advance(1001);
        shop.sweep();
        assert_eq!(shop.counters("P"), "0 5");
    }
    shop.advance(50_000);
    shop.sweep();
    shop.client(&["GET", "reservation:A"]);
    assert_eq!(shop.counters("P"), "0 5");
}

#[test]
fn a_record_that_was_found_to_be_foreign_is_so_without_the_outcome_too() {
    let mut shop = shop();
    let json = shop.stored("reservation:A").unwrap().to_owned();
    shop.unit(|shop| assert_eq!(shop.commit("A"), "OK"));
    // In one script, before the record can be marked.
    shop.unit(|shop| {
        shop.execute(&["SET", "reservation:A", &json]);
        assert!(shop.commit("A").starts_with("FOREIGN"));
        shop.execute(&["DEL", "inventory:outcome:A"]);
        assert!(shop.commit("A").starts_with("FOREIGN"));
    });
    assert_eq!(shop.counters("P"), "5 0");
}

#[test]
fn an_overdue_record_without_a_ttl_is_shown_as_expired() {
    let mut shop = shop();
    shop.client(&["PERSIST", "reservation:A"]);
    for (ms, state) in [(100, "reserved"), (2, "expired")] {
        shop.advance(ms);
        assert_eq!(shop.unit(|shop| shop.get("A")).map(|view| view.state), Some(state));
    }
}

#[test]
fn a_process_that_dies_while_units_move_has_doubled_none() {
    for call in 1..40 {
        let mut shop = shop();
        shop.dies_in = call;
        let _ = catch_unwind(AssertUnwindSafe(|| shop.unit(|shop| shop.rollback("A"))));
        let on_hand: i64 =
            ["available", "reserved"].iter().filter_map(|kind| shop.number(&format!("stock:{kind}:P"))).sum();
        assert!(on_hand <= 10, "it died in call {call} with {on_hand}");
    }
}

#[test]
fn a_copy_under_an_ended_id_counts_for_nothing_after_a_restart_either() {
    let mut shop = shop();
    let json = shop.stored("reservation:A").unwrap().to_owned();
    shop.unit(|shop| assert_eq!(shop.commit("A"), "OK"));
    shop.client(&["SET", "reservation:A", &json, "PXAT", &(shop.clock + 50).to_string()]);
    let p = Sku::parse(b"P", KeyStyle::Plain).unwrap();
    // Both while it is live and when it is overdue: an AOF keeps it.
    for _ in 0..2 {
        shop.restart(false);
        assert_eq!((shop.memory().foreign.count(), shop.memory().holds.count()), (1, 0));
        assert_eq!(shop.memory().holds.held_by_others(&p, 0), 0);
        shop.advance(51);
    }
}

#[test]
fn a_walk_finds_a_copy_under_an_ended_id_of_which_no_event_has_told() {
    let mut shop = shop();
    let json = shop.stored("reservation:A").unwrap().to_owned();
    shop.unit(|shop| assert_eq!(shop.commit("A"), "OK"));
    shop.is_deaf = true;
    shop.client(&["SET", "reservation:A", &json, "PXAT", &(shop.clock + 50).to_string()]);
    shop.is_deaf = false;
    shop.restart(false);
    assert_eq!((shop.memory().foreign.count(), shop.memory().holds.count()), (1, 0));
}

#[test]
fn a_job_takes_no_old_outcome_away_inside_the_servers_scan() {
    let mut shop = shop();
    shop.settings.outcome_ttl_ms = 10;
    let json = shop.stored("reservation:A").unwrap().to_owned();
    shop.unit(|shop| assert_eq!(shop.rollback("A"), "OK"));
    // The outcome has expired, but was not read since; then another client restores the record, and it expires.
    shop.advance(11);
    shop.client(&["SET", "reservation:A", &json, "PXAT", &(shop.clock + 5).to_string()]);
    shop.advance(6);
    shop.client(&["GET", "reservation:A"]);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
}

// --- ROLE ---

fn replica(master: &Simulation) -> Simulation {
    Simulation::replica_of(master)
}

#[test]
fn a_replica_expires_and_releases_nothing() {
    let mut replica = replica(&shop());
    let before = replica.data.clone();
    replica.advance(5000);
    replica.unit(|replica| assert_eq!(replica.get("A").unwrap().state, "expired"));
    replica.client(&["GET", "reservation:A"]);
    replica.sweep();
    assert_eq!(replica.data, before);
    assert!(replica.stream.is_empty());
}

#[test]
fn a_replica_takes_no_notes_of_what_its_master_deletes() {
    let mut master = shop();
    master.settings.load_repair = LoadRepair::Report;
    let mut replica = replica(&master);
    master.client(&["DEL", "reservation:A"]);
    replica.receive(&master.take_stream());
    replica.change_role();
    replica.advance(5000);
    replica.sweep();
    // What the old master remembered has to be returned by the repair.
    assert_eq!(replica.counters("P"), "5 5");
    assert!(!replica.memory().is_behind());
}

#[test]
fn a_replica_that_becomes_master_keeps_the_deadlines() {
    let mut replica = replica(&shop());
    replica.advance(101);
    replica.change_role();
    replica.sweep();
    assert_eq!(replica.counters("P"), "10 0");
    assert_eq!(replica.outcome("A"), expired("P 5"));
}

#[test]
fn pending_and_remembered_lines_are_dropped_when_the_role_changes() {
    let mut shop = shop();
    shop.settings.load_repair = LoadRepair::Report;
    shop.unit(|shop| shop.reserve("B", "P 2", 100));
    shop.client(&["DEL", "reservation:A"]);
    shop.client(&["PEXPIREAT", "stock:available:P", &(shop.clock + 50).to_string()]);
    shop.advance(101);
    shop.client(&["GET", "reservation:B"]);
    assert_eq!(shop.memory().pending.len(), 1);
    shop.change_role();
    shop.change_role();
    assert_eq!(shop.memory().pending.len(), 0);
    shop.sweep();
    assert_eq!(shop.number("stock:reserved:P"), Some(7));
}

#[test]
fn nothing_is_written_while_clients_are_paused() {
    let mut shop = shop();
    shop.advance(101);
    shop.paused = true;
    shop.sweep();
    shop.unit(|shop| assert_eq!(shop.get("A").unwrap().state, "expired"));
    assert_eq!(shop.counters("P"), "5 5");
    shop.paused = false;
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
}

#[test]
fn a_restart_keeps_the_deadlines_of_what_was_loaded() {
    let mut shop = shop();
    shop.advance(101);
    // Overdue records survive in an AOF.
    shop.restart(false);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
}

#[test]
fn the_walk_of_a_new_master_does_not_adopt_what_is_foreign() {
    let mut shop = shop();
    shop.settings.outcome_ttl_ms = 1000;
    let json = shop.stored("reservation:A").unwrap().to_owned();
    shop.unit(|shop| assert_eq!(shop.commit("A"), "OK"));
    shop.client(&["SET", "reservation:A", &json, "PXAT", &(shop.clock + 50_000).to_string()]);
    let mut replica = replica(&shop);
    // The outcome is forgotten by then, but the copy is unchanged.
    replica.advance(1001);
    replica.change_role();
    replica.sweep();
    assert_eq!((replica.memory().foreign.count(), replica.memory().holds.count()), (1, 0));
}

#[test]
fn a_database_in_which_others_reserve_is_not_marked_and_its_units_are_not_repaired_away() {
    let mut shop = Simulation::new();
    // Written after the server started empty: five units belong to a script, without a record of the module.
    shop.client(&["SET", "stock:available:P", "10"]);
    shop.client(&["SET", "stock:reserved:P", "5"]);
    shop.unit(|shop| assert_eq!(shop.reserve("A", "P 1", 5000), "OK"));
    assert_eq!(shop.stored("inventory:managed"), None);
    shop.restart(false);
    shop.sweep();
    assert_eq!(shop.counters("P"), "9 6");
}

// --- replicas and their master ---

#[test]
fn a_copy_that_has_lost_its_way_says_so_and_writes_nothing() {
    let mut master = Simulation::new();
    master.client(&["SET", "stock:available:P", "10"]);
    let mut copy = replica(&master);
    copy.data.get_mut("stock:available:P").unwrap().value = super::simulation::Value::Hash;
    master.take_stream();
    master.unit(|shop| shop.reserve("A", "P 5", 100));
    let stream = master.take_stream();
    let arguments: Vec<&[u8]> = stream[0][0][1..].iter().map(|word| word.as_bytes()).collect();
    let before = copy.data.clone();
    let refusal = effects::replay(&mut copy, &arguments).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "WRONGTYPE key stock:available:P holds a hash, not an integer: correct it with a plain command such as SET or DEL"
    );
    assert_eq!(copy.data, before);
}

// --- alerts ---

#[test]
fn without_a_cooldown_an_alert_in_the_next_millisecond_is_not_held_back() {
    let mut shop = Simulation::new();
    shop.settings.alert_cooldown_ms = 0;
    shop.client(&["SET", "stock:available:P", "1"]);
    let mut raised = 0;
    // Several alerts in the same millisecond take the names of the following ones.
    for _ in 0..2 {
        for _ in 0..3 {
            shop.unit(|shop| assert_eq!(shop.reserve("A", "P 1", 5000), "OK"));
            shop.settings.outcome_ttl_ms = 0;
            shop.unit(|shop| assert_eq!(shop.rollback("A"), "OK"));
            raised += 2;
        }
        shop.advance(1);
    }
    let alerts = shop.data.keys().filter(|name| name.starts_with("alert:")).count();
    assert_eq!(alerts, raised);
}

/// How many reads of alerts this many sales and returns of the last unit cause in one unit of work.
fn looks_at_alerts(shop: &mut Simulation, rounds: usize) -> usize {
    shop.looks = Some(vec![]);
    shop.unit(|shop| {
        for _ in 0..rounds {
            assert_eq!(shop.reserve("A", "P 1", 5000), "OK");
            assert_eq!(shop.rollback("A"), "OK");
        }
    });
    let looks = shop.looks.take().unwrap();
    looks.iter().filter(|name| name.starts_with("alert:")).count()
}

fn flapping() -> Simulation {
    let mut shop = Simulation::new();
    shop.settings.alert_cooldown_ms = 0;
    shop.settings.outcome_ttl_ms = 0;
    shop.client(&["SET", "stock:available:P", "1"]);
    shop
}

#[test]
fn thousands_of_alerts_of_one_product_in_one_unit_cost_one_look_at_a_key_each() {
    let mut shop = flapping();
    assert_eq!(looks_at_alerts(&mut shop, 2000), 4000);
    // A little later, the milliseconds ahead are still taken.
    shop.advance(100);
    assert_eq!(looks_at_alerts(&mut shop, 2000), 4000);
    // What memory has lost is read once.
    shop.restart(false);
    assert!(looks_at_alerts(&mut shop, 2000) <= 4000 + 1024 + 20);
    assert_eq!(shop.data.keys().filter(|name| name.starts_with("alert:")).count(), 12_000);
}

#[test]
fn alerts_of_other_programs_cost_an_alert_a_bounded_number_of_looks() {
    let mut shop = flapping();
    let names: Vec<String> = (0..20_000).map(|ms| format!("alert:P:{}", shop.clock + ms)).collect();
    shop.unit(|shop| names.iter().for_each(|name| shop.execute(&["SET", name, "theirs"])));
    let looks = looks_at_alerts(&mut shop, 100);
    assert!(looks < 2 * (1024 + 20), "{looks} reads of keys");
    assert_eq!(shop.total(Tally::Alerts), 200);
    assert!(names.iter().all(|name| shop.stored(name) == Some("theirs")));
}

#[test]
fn an_alert_that_finds_no_free_key_is_held_back() {
    let mut shop = flapping();
    let one_by_one = (0..=1024).map(|ms| shop.clock + ms);
    let doubled = (1..20).scan(shop.clock + 1024, |at, step| {
        *at += 1 << step;
        Some(*at)
    });
    let names: Vec<String> = one_by_one.chain(doubled).map(|at| format!("alert:P:{at}")).collect();
    shop.unit(|shop| names.iter().for_each(|name| shop.execute(&["SET", name, "theirs"])));
    looks_at_alerts(&mut shop, 1);
    assert_eq!((shop.total(Tally::Alerts), shop.total(Tally::AlertsHeldBack)), (0, 2));
}

/// The keys that a RESERVE reads.
fn looks(shop: &mut Simulation, id: &str, items: &str) -> Vec<String> {
    shop.looks = Some(vec![]);
    shop.unit(|shop| assert_eq!(shop.reserve(id, items, 5000), "OK"));
    shop.looks.take().unwrap()
}

#[test]
fn a_product_that_is_not_low_costs_a_reserve_no_look_at_a_key_for_its_alerts() {
    let mut shop = Simulation::new();
    shop.client(&["SET", "stock:available:P", "100"]);
    shop.client(&["SET", "stock:threshold:P", "20"]);
    let decision = |id: &str| -> Vec<String> {
        let own = ["reservation:", "inventory:outcome:"].map(|key| format!("{key}{id}"));
        let stock = ["stock:available:P", "stock:reserved:P"].map(str::to_owned);
        own.into_iter().chain(stock).collect()
    };
    assert_eq!(looks(&mut shop, "A", "P 5"), decision("A"));
    // A crossing searches for a free name.
    let crossing = format!("alert:P:{}", shop.clock);
    assert_eq!(looks(&mut shop, "B", "P 75"), [decision("B"), vec![crossing]].concat());
    assert_eq!(looks(&mut shop, "C", "P 1"), decision("C"));
}

#[test]
fn a_product_in_warehouses_that_is_not_low_costs_none_either() {
    let mut shop = Simulation::new();
    for (place, priority) in [("A", "1"), ("B", "2")] {
        shop.client(&["SET", &format!("stock:available:P@{place}"), "100"]);
        shop.client(&["ZADD", "stock:warehouses:P", priority, place]);
    }
    let mut looks = |items: &str| looks(&mut shop, &items.replace(' ', ":"), items).len();
    // The record, the outcome, the set, and both counters of each place; those of the lines again to change them.
    assert_eq!(looks("P 5"), 2 + 1 + 4 + 2);
    // With a named warehouse: whether it is in the set, and its counters only.
    assert_eq!(looks("P@A 5"), 2 + 1 + 2);
    // A becomes empty, so the sum is read; it is not low.
    assert_eq!(looks("P@A 90"), 2 + 1 + 2 + 1 + 2);
    assert_eq!(shop.total(Tally::Alerts), 0);
}

#[test]
fn a_threshold_of_0_hides_no_return_of_stock_and_one_below_it_everything() {
    for (threshold, alerts) in [(0, 2), (-1, 0)] {
        let mut shop = Simulation::new();
        shop.settings.low_stock_threshold = threshold;
        shop.client(&["SET", "stock:available:P@A", "5"]);
        shop.client(&["ZADD", "stock:warehouses:P", "1", "A"]);
        shop.unit(|shop| assert_eq!(shop.reserve("A", "P 5", 5000), "OK"));
        shop.unit(|shop| assert_eq!(shop.rollback("A"), "OK"));
        assert_eq!(shop.total(Tally::Alerts), alerts, "{threshold}");
    }
}

// --- the audit and INV.REPAIR ---

fn audited(shop: &mut Simulation, sku: &str) -> (i64, i64, i64) {
    let audit = audit::audit(shop, &sku_of(sku)).unwrap();
    (audit.reserved, audit.held, audit.drift())
}

fn sku_of(name: &str) -> Sku {
    Sku::parse(name.as_bytes(), KeyStyle::Plain).unwrap()
}

fn repaired(shop: &mut Simulation, sku: &str, force: bool) -> Result<i64, &'static str> {
    let audit = shop.unit(|shop| audit::repair(shop, &sku_of(sku), force));
    audit.map(|audit| audit.unwrap().drift()).map_err(|refusal| refusal.code())
}

#[test]
fn a_repair_returns_what_nothing_holds_and_leaves_what_is_remembered() {
    let mut shop = shop();
    shop.client(&["DEL", "reservation:A"]);
    shop.client(&["INCRBY", "stock:reserved:P", "3"]);
    assert_eq!(audited(&mut shop, "P"), (8, 5, 3));
    assert_eq!(repaired(&mut shop, "P", false), Err("FOREIGN"));
    assert_eq!(repaired(&mut shop, "P", true), Ok(3));
    assert_eq!(shop.counters("P"), "8 5");
    assert_eq!(repaired(&mut shop, "P", false), Ok(0));
    shop.advance(101);
    shop.sweep();
    assert_eq!(shop.counters("P"), "13 0");
    assert_eq!(audited(&mut shop, "P"), (0, 0, 0));
}

#[test]
fn a_repair_takes_what_the_counter_lacks_from_available_even_below_0_and_reports_that() {
    let mut shop = shop();
    shop.client(&["SET", "stock:reserved:P", "1"]);
    shop.client(&["SET", "stock:available:P", "3"]);
    assert_eq!(repaired(&mut shop, "P", false), Ok(-4));
    assert_eq!(shop.counters("P"), "-1 5");
    assert!(shop.log.iter().any(|line| line.contains("P: reservations hold 1 more units")), "{:?}", shop.log);
}

#[test]
fn a_repair_is_refused_beside_foreign_records_unless_forced() {
    let mut shop = shop();
    shop.client(&["INCRBY", "stock:reserved:P", "2"]);
    shop.client(&["SET", "reservation:cart", "a script's"]);
    shop.take_stream();
    assert_eq!(repaired(&mut shop, "P", false), Err("FOREIGN"));
    assert!(shop.take_stream().is_empty());
    assert_eq!(repaired(&mut shop, "P", true), Ok(2));
    assert_eq!(shop.counters("P"), "7 5");
}

#[test]
fn a_walk_of_the_audit_finds_every_sku_that_drifts_even_without_a_counter() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:Q", "9"]);
    for n in 0..300 {
        shop.client(&["SET", &format!("stock:reserved:S{n}"), if n % 100 == 0 { "1" } else { "0" }]);
    }
    shop.unit(|shop| assert_eq!(shop.reserve("B", "Q 2", 100), "OK"));
    shop.client(&["DEL", "stock:reserved:Q"]);
    let (mut cursor, mut found, mut pages) = (Some(AuditCursor::START), Vec::new(), 0);
    while let Some(from) = cursor {
        let page = audit::audit_scan(&mut shop, from, 1, |_| true).unwrap();
        found.extend(
            page.found.into_iter().map(|found| (found.audit.sku.as_str().to_owned(), found.audit.drift())),
        );
        cursor = page.next;
        assert!(cursor.is_none_or(|next| AuditCursor::parse(next.spell().as_bytes()) == Some(next)));
        pages += 1;
    }
    found.sort();
    let expected = [("Q", -2), ("S0", 1), ("S100", 1), ("S200", 1)];
    assert_eq!(found, expected.map(|(sku, drift)| (sku.to_owned(), drift)));
    assert!(pages > 2, "{pages} pages");
}

// --- a walk in slices ---

#[test]
fn while_a_walk_is_under_way_overdue_units_wait_and_a_commands_own_are_settled() {
    let mut shop = shop();
    shop.unit(|shop| assert_eq!(shop.reserve("B", "P 2", 100), "OK"));
    shop.advance(101);
    shop.load_module();
    shop.client(&["GET", "reservation:A"]);
    shop.sweep();
    assert_eq!(shop.counters("P"), "3 7", "what others hold is not known yet");
    assert_eq!(audit::audit(&mut shop, &sku_of("P")).unwrap_err().code(), "TRYAGAIN");
    assert_eq!(repaired(&mut shop, "P", true), Err("TRYAGAIN"));
    let refusal = shop.unit(|shop| shop.commit("B"));
    assert!(refusal.starts_with("EXPIRED"), "{refusal}");
    assert_eq!(shop.counters("P"), "5 5");
    shop.walk_over(usize::MAX);
    shop.sweep();
    assert_eq!(shop.counters("P"), "10 0");
    assert_eq!(audited(&mut shop, "P"), (0, 0, 0));
}

#[test]
fn after_a_restart_commands_answer_while_the_walk_is_under_way() {
    let mut shop = shop();
    shop.unit(|shop| assert_eq!(shop.reserve("B", "P 2", 100), "OK"));
    shop.advance(101);
    shop.restart_in_slices();
    // B is overdue, and nobody knows yet: it could be enough for one more request, but not for another.
    let refusal = shop.unit(|shop| shop.reserve("C", "P 5", 100));
    assert!(refusal.starts_with("TRYAGAIN the module is still indexing"), "{refusal}");
    let refusal = shop.unit(|shop| shop.reserve("C", "P 11", 100));
    assert_eq!(refusal, "INSUFFICIENT P requested 11, available 3");
    // Nor is it known whether PARTIAL must take more than the three that are available.
    for words in [
        ["INV.RESERVE", "C", "PX", "100", "PARTIAL", "ITEMS", "P", "11"].as_slice(),
        &["INV.REPLACE", "C", "C", "PX", "100", "PARTIAL", "ITEMS", "P", "11"],
    ] {
        let refusal = shop.unit(|shop| call(shop, words)).unwrap_err().to_string();
        assert!(refusal.starts_with("TRYAGAIN the module is still indexing"), "{refusal}");
    }
    assert_eq!(shop.unit(|shop| shop.reserve("C", "P 3", 100)), "OK");
    assert_eq!(shop.unit(|shop| shop.commit("C")), "OK");
    shop.walk_over(usize::MAX);
    shop.sweep();
    assert_eq!(shop.counters("P"), "7 0");
    assert_eq!(shop.unit(|shop| shop.reserve("D", "P 2", 100)), "OK");
}

#[test]
fn a_reserved_counter_that_another_client_writes_during_the_walk_removes_the_mark_until_it_is_compared() {
    let mark = "inventory:managed";
    for (write, is_right) in [("1", false), ("0", true)] {
        let mut shop = shop();
        assert!(shop.stored(mark).is_some());
        shop.restart_in_slices();
        shop.client(&["INCRBY", "stock:reserved:P", write]);
        assert_eq!(shop.stored(mark), None, "a replica would repair what belongs to another program");
        shop.walk_over(usize::MAX);
        shop.sweep();
        assert_eq!(shop.stored(mark).is_some(), is_right, "INCRBY {write}");
        assert_eq!(shop.number("stock:reserved:P"), Some(if is_right { 5 } else { 6 }));
    }
}

#[test]
fn records_that_others_put_back_during_a_walk_are_marked_in_slices() {
    let mut shop = shop();
    let json = shop.stored("reservation:A").unwrap().to_owned();
    shop.restart_in_slices();
    for n in 100..200 {
        let json = json.replace("\"A\"", &format!("\"B{n}\""));
        shop.client(&["SET", &format!("reservation:B{n}"), &json]);
    }
    shop.walk_over(usize::MAX);
    let marked = |shop: &Simulation| {
        let is_marked = |n: &i32| shop.stored(&format!("reservation:B{n}")).unwrap().contains("restored");
        (100..200).filter(is_marked).count()
    };
    for slice in 1..=9 {
        assert!(shop.sweep_slice(10), "records are left after slice {slice}");
        assert_eq!(marked(&shop), slice * 10);
    }
    shop.sweep();
    assert_eq!(marked(&shop), 100);
}

#[test]
fn a_walk_takes_the_keys_as_they_change_under_it() {
    for slice in 1..6 {
        let mut shop = shop();
        shop.unit(|shop| assert_eq!(shop.reserve("old", "P 1", 100), "OK"));
        shop.load_module();
        shop.walk_over(slice);
        shop.unit(|shop| assert_eq!(shop.reserve("new", "P 2", 100), "OK"));
        assert_eq!(shop.unit(|shop| shop.commit("A")), "OK");
        shop.walk_over(slice);
        shop.client(&["DEL", "reservation:old"]);
        shop.walk_over(usize::MAX);
        assert_eq!(shop.memory().holds.count(), 1, "slices of {slice}");
        // Whether the deleted units belong to another program is known when the counters are compared.
        assert_eq!(shop.memory().holds.held_by_others(&sku_of("P"), 0), 2, "slices of {slice}");
        shop.sweep();
        assert_eq!(shop.memory().holds.held_by_others(&sku_of("P"), 0), 3, "slices of {slice}");
        shop.advance(101);
        shop.sweep();
        assert_eq!(shop.counters("P"), "5 0", "slices of {slice}");
    }
}

#[test]
fn a_copy_of_a_sold_reservation_that_a_walk_meets_is_never_released() {
    for slice in 1..6 {
        let mut shop = shop();
        let copy = shop.stored("reservation:A").unwrap().to_owned();
        let until = (shop.clock + 100).to_string();
        assert_eq!(shop.unit(|shop| shop.commit("A")), "OK");
        shop.client(&["SET", "reservation:A", &copy, "PXAT", &until]);
        shop.client(&["SET", "stock:reserved:P", "5"]);
        shop.load_module();
        shop.walk_over(slice);
        shop.advance(101);
        shop.client(&["GET", "reservation:A"]);
        shop.walk_over(usize::MAX);
        shop.sweep();
        assert_eq!(shop.counters("P"), "5 5", "slices of {slice}");
    }
}

#[test]
fn an_outcome_that_is_gone_when_the_walk_ends_makes_no_record_foreign() {
    for is_gone in [false, true] {
        let mut shop = shop();
        let copy = shop.stored("reservation:A").unwrap().to_owned();
        assert_eq!(shop.unit(|shop| shop.commit("A")), "OK");
        shop.is_deaf = true;
        shop.client(&["SET", "reservation:A", &copy]);
        shop.restart_in_slices();
        shop.walk_over(shop.data.keys().take_while(|name| name.as_str() <= "inventory:outcome:A").count());
        if is_gone {
            shop.client(&["DEL", "inventory:outcome:A"]);
        }
        shop.is_deaf = false;
        shop.walk_over(usize::MAX);
        let found = (shop.memory().holds.count(), shop.memory().foreign.count());
        assert_eq!(found, if is_gone { (1, 0) } else { (0, 1) });
    }
}

#[test]
fn a_walk_over_many_outcomes_ends_in_steps_and_compares_all_that_is_live_or_pending() {
    use redis_inventory::engine::keyspace::Keyspace as _;
    const LIVE: usize = 40;
    let mut shop = Simulation::new();
    shop.client(&["SET", "stock:available:P", "1000"]);
    for number in 0..LIVE {
        shop.unit(|shop| assert_eq!(shop.reserve(&format!("R{number}"), "P 1", 1000), "OK"));
    }
    let (clock, in_cluster) = (shop.clock, false);
    let ids = |range: std::ops::Range<usize>| range.map(|number| id(&format!("R{number}")));
    let mut walk = Walk::new(clock, KeyStyle::Plain, in_cluster, Purpose::Index);
    shop.ledger(|ledger| ledger.begin_walk(Purpose::Index, clock));
    // Every fourth has ended, as has every fourth that is pending. The outcome of every fourth other has expired.
    for (number, outcome) in ids(0..10_000).enumerate().filter(|(number, _)| number % 2 == 0) {
        let until = if number % 4 == 0 { clock + 10 } else { clock - 1 };
        if number % 4 == 0 && number < LIVE {
            shop.is_deaf = true;
            shop.client(&["SET", &format!("inventory:outcome:R{number}"), "{}"]);
            shop.is_deaf = false;
        }
        shop.ledger(|ledger| {
            let watched = Some(Watched::Outcome(outcome));
            walk.meet(ledger, b"inventory:outcome", watched, || (None, Some(until)));
        });
    }
    for id in ids(LIVE / 2..LIVE) {
        shop.ledger(|ledger| {
            let gone = ledger.holds.as_indexed(&id).expect("a reservation");
            ledger.pend(gone);
        });
    }
    shop.looks = Some(Vec::new());
    let mut steps = 1;
    while walk.finish(&mut shop, || true) {
        steps += 1;
        assert!(shop.looks.as_ref().unwrap().len() <= steps, "step {steps}: {:?}", shop.looks);
    }
    assert!((LIVE..1000).contains(&steps), "{steps} steps: they do not depend on the number of outcomes");
    let outcomes = shop.looks.take().unwrap();
    let outcomes = outcomes.iter().filter(|name| name.starts_with("inventory:outcome:")).count();
    assert_eq!(outcomes, LIVE / 4, "only the outcomes of ids that have ended are read");
    let memory = shop.memory();
    assert_eq!((memory.holds.count(), memory.pending.len(), memory.foreign.count()), (15, 15, 5));
    assert!(memory.is_complete());
    for (number, id) in ids(0..LIVE / 2).enumerate().filter(|(number, _)| number % 4 != 0) {
        assert_eq!(memory.holds.may_have_outcome(&id), number % 2 == 0, "{id}");
    }
    assert_eq!(memory.holds.held_by_others(&sku_of("P"), 0), 30);
}

// --- the style of the keys ---

#[test]
fn counters_of_another_key_style_are_reported_and_never_repaired() {
    for (written, loaded) in [(KeyStyle::Tagged, KeyStyle::Plain), (KeyStyle::Plain, KeyStyle::Tagged)] {
        let counter = |kind: &str| match written {
            KeyStyle::Tagged => format!("stock:{kind}:{{P}}"),
            KeyStyle::Plain => format!("stock:{kind}:P"),
        };
        for marked in [true, false] {
            let mut shop = Simulation::new();
            shop.settings.load_repair = LoadRepair::Return;
            shop.style = written;
            shop.client(&["SET", &counter("available"), "10"]);
            shop.unit(|shop| assert_eq!(shop.reserve("A", "P 5", 100), "OK"));
            if !marked {
                shop.client(&["DEL", "inventory:managed"]);
            }
            shop.style = loaded;
            shop.advance(101);
            shop.restart(true);
            shop.sweep();
            assert_eq!(shop.stored(&counter("available")), Some("5"));
            assert_eq!(shop.stored(&counter("reserved")), Some("5"));
            assert!(shop.log.iter().any(|line| line.contains("inv.key-style has changed")), "{:?}", shop.log);
            // After a load in its original style, it is repaired.
            shop.style = written;
            shop.restart(true);
            shop.sweep();
            assert_eq!(shop.stored(&counter("reserved")), Some("0"));
        }
    }
}

#[test]
fn a_reservation_that_came_before_the_check_is_marked_by_the_check() {
    let mut shop = Simulation::new();
    shop.client(&["SET", "stock:available:P", "10"]);
    shop.restart(false);
    shop.unit(|shop| assert_eq!(shop.reserve("A", "P 5", 100), "OK"));
    assert_eq!(shop.stored("inventory:managed"), None, "the counters have not been compared yet");
    shop.sweep();
    assert_eq!(shop.stored("inventory:managed"), Some("plain"));
}

#[test]
fn a_short_reserve_settles_what_it_needs_and_leaves_the_rest_to_the_job() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:Q", "500"]);
    for number in 0..300 {
        shop.unit(|shop| assert_eq!(shop.reserve(&format!("Q{number}"), "Q 1", 90), "OK"));
    }
    shop.advance(101);
    shop.unit(|shop| {
        for number in 0..300 {
            shop.execute(&["GET", &format!("reservation:Q{number}")]);
        }
        shop.execute(&["GET", "reservation:A"]);
        assert_eq!(shop.reserve("B", "P 10", 100), "OK");
        assert_eq!(shop.memory().pending.len(), 300 - 64, "those of Q, and a few more");
    });
    assert_eq!(shop.counters("P"), "0 10");
    assert_eq!(shop.counters("Q"), "500 0");
}

#[test]
fn a_reserve_from_one_warehouse_settles_all_that_it_needs_in_one_round() {
    let mut shop = Simulation::new();
    shop.settings.low_stock_threshold = 0;
    shop.client(&["SET", "stock:available:P@A", "31"]);
    shop.client(&["ZADD", "stock:warehouses:P", "1", "A"]);
    for number in 0..20 {
        shop.unit(|shop| assert_eq!(shop.reserve(&format!("A{number}"), "P@A 1", 90), "OK"));
    }
    shop.advance(101);
    shop.looks = Some(vec![]);
    let wanted = vec![line("P@A 5"), line("P 20")];
    shop.unit(|shop| {
        let asked = ReserveRequest { split: Split::None, ..asked("B", 5000, wanted) };
        assert_eq!(answer(reserve(shop, &asked)), "OK");
    });
    assert_eq!(shop.counters("P@A"), "0 31");
    let looks = shop.looks.take().unwrap();
    // Once for each line, again after the release, and for the alert that it is out of stock.
    assert_eq!(looks.iter().filter(|key| *key == "stock:warehouses:P").count(), 5);
}

#[test]
fn what_a_load_in_a_running_server_has_dropped_is_dropped_by_its_copies_too() {
    let mut shop = shop();
    shop.unit(|shop| assert_eq!(shop.reserve("B", "P 2", 50), "OK"));
    shop.unit(|shop| assert_eq!(shop.reserve("C", "P 1", 5000), "OK"));
    let mut replica = Simulation::replica_of(&shop);
    shop.take_stream();
    shop.advance(101);
    shop.reload();
    // One of the ids is used again before the cron runs.
    shop.unit(|shop| assert_eq!(shop.reserve("B", "P 1", 5000), "OK"));
    shop.sweep();
    let stream = shop.take_stream();
    let dropped = ["DEL".to_owned(), "reservation:A".to_owned()];
    assert!(stream.iter().flatten().any(|command| *command == dropped), "{stream:?}");
    replica.advance(101);
    replica.receive(&stream);
    assert_eq!(replica.data, shop.data);
    assert_eq!(replica.memory().holds.count(), 2);
    shop.sweep();
    assert_eq!(shop.take_stream(), Vec::<Vec<Vec<String>>>::new(), "once");
}

#[test]
fn a_deadline_that_was_made_shorter_while_jobs_had_no_time_is_kept() {
    let mut shop = shop();
    shop.unit(|shop| assert_eq!(shop.reserve("B", "P 2", 900_000), "OK"));
    shop.is_busy = true;
    let soon = (shop.clock + 20).to_string();
    shop.client(&["PEXPIREAT", "reservation:B", &soon]);
    shop.is_busy = false;
    shop.advance(21);
    // It now reads as absent, and the index has its old deadline.
    shop.sweep();
    shop.sweep();
    assert_eq!(shop.stored("reservation:B"), None);
    assert!(shop.stored("inventory:outcome:B").is_some_and(|outcome| outcome.contains("expired")));
}

#[test]
fn the_advice_after_a_deadline_whose_outcome_is_not_remembered_does_not_name_late() {
    let mut shop = shop();
    shop.settings.outcome_ttl_ms = 0;
    shop.unit(|shop| assert_eq!(shop.reserve("B", "P 2", 100), "OK"));
    shop.advance(101);
    let refusal = shop.unit(|shop| shop.commit("B"));
    let at = BEGIN + 100;
    assert_eq!(
        refusal,
        format!(
            "EXPIRED reservation B expired at {at}, and its outcome is not remembered (inv.outcome-ttl-ms): retry with a new id"
        )
    );
}

#[test]
fn a_request_reads_many_warehouses_again_only_a_few_times() {
    let mut shop = shop();
    for place in 0..1000 {
        shop.client(&["ZADD", "stock:warehouses:W", "1", &format!("w{place}")]);
    }
    shop.client(&["SET", "stock:available:W@w0", "500"]);
    for number in 0..400 {
        shop.unit(|shop| assert_eq!(shop.reserve(&format!("H{number}"), "W@w0 1", 100), "OK"));
    }
    // Another client has taken the reserved units, so that each release returns none.
    shop.client(&["SET", "stock:reserved:W@w0", "0"]);
    shop.advance(101);
    shop.looks = Some(Vec::new());
    let refusal = shop.unit(|shop| shop.reserve("B", "W 501", 100));
    let looks = shop.looks.take().unwrap().len();
    assert!(refusal.starts_with("TRYAGAIN"), "{refusal}");
    assert!(looks < 20_000, "{looks} keys are read");
}
