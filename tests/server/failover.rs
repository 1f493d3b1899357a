//! Who releases, and when: replicas never, a paused master when the pause ends, a promoted replica from the first moment
//! on. Whatever changes hands meanwhile, nothing is lost and the copies agree.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::harness::{Client, Json, SOON, Server, assert_same_data, json, wait_for, wait_until, wire_code};
use crate::shop::shop_with;

/// Thousands of releases on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(20);

/// A release that had to wait for a pause or a promotion comes this soon after it, ms: what reads as missing during a
/// pause is tried again a second later.
const AT_ONCE: i64 = 1200;

/// Many reservations of one unit each that are due at one moment.
const MANY: i64 = 3000;
const STOCK: i64 = 10_000;

/// A master with its replica; one reservation of 7 units lives on behind all that happens.
fn master_and_replica(options: &[&str]) -> (Server, Client, Server) {
    let (master, mut shop) = shop_with(options, &[("P", STOCK)]);
    shop.ask("INV.RESERVE LONG ITEMS P 7");
    let replica = master.replica_with(options);
    (master, shop, replica)
}

/// What the counters say when only the long reservation is left.
const ALL_BACK: (i64, i64) = (STOCK - 7, 7);

/// Reservations `{prefix}1` to `{prefix}{count}` of one unit, all due at one moment, which is told. The life begins when the
/// script does, however late that is on a machine that has other things to do.
fn hold_many(shop: &mut Client, prefix: &str, count: i64, life: i64) -> i64 {
    let reserve = "local now = redis.call('TIME') \
                   local due = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[3] \
                   for i = 1, ARGV[1] do redis.call('INV.RESERVE', ARGV[2] .. i, 'PXAT', \
                   string.format('%.0f', due), 'ITEMS', 'P', 1) end return due";
    let due = shop.ask(["EVAL", reserve, "0", &count.to_string(), prefix, &life.to_string()]);
    due.as_i64().expect("a time")
}

fn let_the_clock_pass(client: &mut Client, moment: i64) {
    wait_until("the clock has passed it", LONG, || client.now() > moment);
}

/// When the last of these reservations was released, by their outcomes.
fn last_release(shop: &mut Client, prefix: &str, count: i64) -> i64 {
    releases(shop, prefix, 1..=count).1
}

/// When the first and the last of these reservations were released, by their outcomes.
fn releases(shop: &mut Client, prefix: &str, numbers: RangeInclusive<i64>) -> (i64, i64) {
    let keys: Vec<String> = numbers.map(|n| format!("inventory:outcome:{prefix}{n}")).collect();
    let outcomes = shop.ask(format!("MGET {}", keys.join(" ")));
    let resolved_at = |outcome: &Json| {
        let outcome: Json = serde_json::from_str(outcome.as_str().expect("an outcome")).expect("JSON");
        assert_eq!(outcome["state"], "expired", "{outcome}");
        outcome["resolved_at"].as_i64().expect("a time")
    };
    let times: Vec<i64> = outcomes.as_array().expect("an array").iter().map(resolved_at).collect();
    (*times.iter().min().expect("some"), *times.iter().max().expect("some"))
}

/// How long this machine takes to make `MANY` reservations, and to release them, when nothing is in the way. How late it is
/// because it has other things to do is not the module's business.
fn measure(shop: &mut Client) -> (i64, i64) {
    let begun = shop.now();
    let due = hold_many(shop, "W", MANY, 1000);
    let reserved_in = shop.now() - begun;
    wait_for("all is back", LONG, ALL_BACK, || shop.counters("P"));
    (reserved_in, last_release(shop, "W", MANY) - due)
}

/// Reservations made from now on are released on time by this server.
fn keeps_deadlines(shop: &mut Client, prefix: &str) {
    let before = shop.counters("P");
    // The best of some: on a machine that has other things to do one may come late.
    let late = (1..=4).map(|round| {
        let deadline = hold_many(shop, &format!("{prefix}-{round}-"), 1, 40);
        wait_for("the unit is back", SOON, before, || shop.counters("P"));
        last_release(shop, &format!("{prefix}-{round}-"), 1) - deadline
    });
    let best = late.min().expect("some rounds");
    assert!((0..=150).contains(&best), "{best} ms after the deadline");
}

fn role(server: &Server) -> String {
    server.connect().info("replication", "role")
}

/// Makes a server a replica of another, and waits until it has what that has.
fn follow(replica: &Server, master: &Server) {
    replica.connect().ask(format!("REPLICAOF 127.0.0.1 {}", master.port()));
    replica.wait_for_master(master);
}

#[track_caller]
fn agree(master: &Server, replica: &Server) {
    replica.catch_up_with(master);
    assert_same_data(&mut master.connect(), &mut replica.connect());
}

#[test]
fn a_replica_promoted_by_hand_releases_what_is_due_at_once_and_the_rest_on_time() {
    let (master, mut shop, replica) = master_and_replica(&[]);
    let (reserved_in, released_in) = measure(&mut shop);
    let due = hold_many(&mut shop, "R", MANY, 1500 + 2 * reserved_in);
    shop.ask(format!("INV.RESERVE LATER PX {} ITEMS P 9", 4000 + 2 * reserved_in + 2 * released_in));
    replica.catch_up_with(&master);
    // The old master knows nothing of what follows: as if the network had parted them.
    master.freeze();
    let mut promoted = replica.connect();
    let_the_clock_pass(&mut promoted, due + 100);
    assert_eq!(promoted.counters("P"), (STOCK - MANY - 16, MANY + 16));

    let at = promoted.now();
    promoted.ask("REPLICAOF NO ONE");
    wait_for("what is due is back", LONG, (STOCK - 16, 16), || promoted.counters("P"));
    let last = last_release(&mut promoted, "R", MANY);
    assert!(last - at <= 1000 + 3 * released_in, "{} ms after the promotion", last - at);
    assert_eq!(wire_code(&promoted.burst(&["INV.COMMIT R1"])[0]), "-EXPIRED");
    wait_for("the rest is back in time", LONG, ALL_BACK, || promoted.counters("P"));
    keeps_deadlines(&mut promoted, "N");

    // The old master comes back, and has released the same by itself meanwhile: what the new one says counts.
    master.thaw();
    wait_for("the old master releases too", LONG, ALL_BACK, || shop.counters("P"));
    follow(&master, &replica);
    agree(&replica, &master);
    hold_many(&mut promoted, "M", 100, 50);
    wait_for("all is back", SOON, ALL_BACK, || promoted.counters("P"));
    assert_eq!(promoted.ask("INV.COMMIT LONG"), "OK");
    agree(&replica, &master);
}

#[test]
fn a_master_that_was_killed_comes_back_as_a_replica_and_agrees() {
    let (mut master, mut shop, replica) = master_and_replica(&["appendonly yes"]);
    hold_many(&mut shop, "R", 300, 600);
    hold_many(&mut shop, "S", 300, 1500);
    replica.catch_up_with(&master);
    master.kill();
    let mut promoted = replica.connect();
    promoted.ask("REPLICAOF NO ONE");
    wait_for("all is back", LONG, ALL_BACK, || promoted.counters("P"));
    master.start_again();
    follow(&master, &replica);
    agree(&replica, &master);
    keeps_deadlines(&mut promoted, "N");
    agree(&replica, &master);
}

#[test]
fn a_failover_while_thousands_of_deadlines_pass_loses_nothing() {
    // They fall due around the failover: some before, some in the middle of it, some behind.
    for lead in [0, 5, 20] {
        let (master, mut shop, replica) = master_and_replica(&[]);
        let due = hold_many(&mut shop, "R", MANY, 1200);
        hold_many(&mut shop, "S", 200, 1500);
        replica.catch_up_with(&master);
        let_the_clock_pass(&mut shop, due - lead);
        shop.ask("FAILOVER");
        wait_for("the replica is master", LONG, "master".to_owned(), || role(&replica));
        wait_for("the master is replica", LONG, "slave".to_owned(), || role(&master));
        let mut promoted = replica.connect();
        wait_for("all is back", LONG, ALL_BACK, || promoted.counters("P"));
        master.wait_for_master(&replica);
        agree(&replica, &master);

        // And back again.
        hold_many(&mut promoted, "T", 500, 300);
        promoted.ask("FAILOVER");
        wait_for("the old master is master", LONG, "master".to_owned(), || role(&master));
        wait_for("all is back", LONG, ALL_BACK, || shop.counters("P"));
        replica.wait_for_master(&master);
        agree(&master, &replica);
        assert_eq!(shop.ask("INV.COMMIT LONG"), "OK");
        agree(&master, &replica);
    }
}

#[test]
fn a_failover_that_ends_in_vain_loses_nothing() {
    for way in ["TIMEOUT", "ABORT"] {
        let (master, mut shop, replica) = master_and_replica(&[]);
        let (reserved_in, released_in) = measure(&mut shop);
        let due = hold_many(&mut shop, "R", MANY, 1200 + 2 * reserved_in);
        replica.catch_up_with(&master);
        replica.freeze();
        // What the replica has not acknowledged keeps the failover, and the pause that belongs to it, waiting.
        shop.ask("INV.RESERVE LAST ITEMS P 2");
        let_the_clock_pass(&mut shop, due - 400);
        shop.ask(format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 1000", replica.port()));
        let mut waiting = master.connect();
        waiting.send("INV.COMMIT R1");
        let_the_clock_pass(&mut shop, due + 200);
        assert_eq!(shop.counters("P").1, MANY + 9, "nothing is released meanwhile");
        assert_eq!(shop.ask("INV.GET R2")["state"], "expired");
        if way == "ABORT" {
            shop.ask("FAILOVER ABORT");
        }
        wait_for("the failover is over", LONG, "no-failover".to_owned(), || {
            shop.info("replication", "master_failover_state")
        });
        let over = shop.now();
        assert_eq!(wire_code(&waiting.reply()), "-EXPIRED", "{way}");
        wait_for("all is back", LONG, (STOCK - 9, 9), || shop.counters("P"));
        let last = last_release(&mut shop, "R", MANY);
        assert!(last - over <= AT_ONCE + 3 * released_in, "{way}: {} ms after the end", last - over);
        assert_eq!(role(&master), "master");
        replica.thaw();
        replica.wait_for_master(&master);
        agree(&master, &replica);
    }
}

#[test]
fn a_pause_while_thousands_of_deadlines_pass_loses_nothing_and_all_is_back_when_it_ends() {
    for (pause, with_clients) in [("WRITE", false), ("WRITE", true), ("ALL", false), ("ALL", true)] {
        let in_time = (0..10).any(|_| pause_while_deadlines_pass(pause, with_clients));
        assert!(in_time, "the machine is too busy: the deadlines always pass before the pause begins");
    }
}

/// False if a busy machine did not get round to the pause before the deadlines passed: then it says nothing.
fn pause_while_deadlines_pass(pause: &str, with_clients: bool) -> bool {
    let (master, mut shop, replica) = master_and_replica(&["appendonly yes"]);
    let (reserved_in, released_in) = measure(&mut shop);
    let due = hold_many(&mut shop, "R", MANY, (800 + 2 * reserved_in).min(15_000));
    if shop.try_ask(format!("INV.RESERVE BYHAND PXAT {due} ITEMS P 1")).is_err() {
        return false;
    }
    shop.ask("DEL reservation:BYHAND");
    let before = shop.counters("P");
    let expired = |shop: &mut Client| shop.info("inv", "inv_expired_total").parse::<i64>().expect("a number");
    let expired_before = expired(&mut shop);
    let mut waiting: Vec<Client> = (0..4).map(|_| master.connect()).collect();
    let mut reader = master.connect();
    let_the_clock_pass(&mut shop, due - 300);
    let length = 1000;
    let replies = shop.burst(&["TIME", &format!("CLIENT PAUSE {length} {pause}")]);
    let part = |part: usize| replies[0][part].as_str().expect("text").parse::<i64>().expect("a number");
    let over = part(0) * 1000 + part(1) / 1000 + length;
    if with_clients {
        for (client, command) in waiting.iter_mut().zip([
            "INV.COMMIT R1",
            "INV.ROLLBACK R2",
            "INV.RESERVE R3 ITEMS P 1",
            "INV.EXTEND LONG EX 10000",
        ]) {
            client.send(command);
        }
        reader.send("GET reservation:R4");
    }
    if over - length + 20 > due {
        return false;
    }
    let mut read = None;
    if pause == "WRITE" {
        if with_clients {
            read = Some(reader.reply());
        }
        if shop.now() >= due {
            return false;
        }
        let_the_clock_pass(&mut shop, due + 200);
        // A reader opens them, and they stay.
        let seen =
            (shop.ask("GET reservation:R5"), shop.ask("INV.GET R5")["state"].clone(), shop.counters("P"));
        if shop.now() >= over - 20 {
            return false;
        }
        assert_eq!(seen, (Json::Null, json!("expired"), before));
    }
    if with_clients {
        let read = read.unwrap_or_else(|| reader.reply());
        assert_eq!(read.is_null(), pause == "ALL", "{pause}");
        assert_eq!(wire_code(&waiting[0].reply()), "-EXPIRED");
        assert_eq!(waiting[1].reply(), "OK");
        assert_eq!(wire_code(&waiting[2].reply()), "-EXPIRED");
        assert!(waiting[3].reply().is_number());
    }
    wait_for("all is back", LONG, ALL_BACK, || shop.counters("P"));
    assert!(shop.now() >= over - 20);
    let rolled_back = if with_clients { "rolled_back" } else { "expired" };
    assert_eq!(shop.ask("INV.GET R2")["state"], rolled_back);
    let by_hand = shop.document("inventory:outcome:BYHAND")["resolved_at"].as_i64().expect("a time");
    // R2 may have an outcome of another name.
    let (first, last) = releases(&mut shop, "R", 5..=MANY);
    assert!(first.min(by_hand) >= over - 20, "nothing before the end");
    let late = last.max(by_hand) - over;
    assert!(
        late <= AT_ONCE + 3 * released_in,
        "PAUSE {pause}: {late} ms after its end; without a pause {released_in} ms"
    );
    assert_eq!(expired(&mut shop) - expired_before, MANY + 1);
    agree(&master, &replica);
    true
}

#[test]
fn a_replica_writes_nothing_while_its_master_stands_still() {
    for still in ["STOP", "PAUSE ALL"] {
        let (master, mut shop, replica) = master_and_replica(&["appendonly yes"]);
        let due = hold_many(&mut shop, "R", 1000, 1000);
        replica.catch_up_with(&master);
        // A replica that has copied all writes its AOF anew.
        for field in ["aof_rewrite_scheduled", "aof_rewrite_in_progress"] {
            replica.wait_for_info("persistence", field, "0");
        }
        let mut reader = replica.connect();
        if still == "STOP" {
            master.freeze();
        } else {
            let length = due + 900 - shop.now();
            shop.ask(format!("CLIENT PAUSE {length} ALL"));
        }
        let before = seen(&replica);
        // Clients open them, too.
        let_the_clock_pass(&mut reader, due);
        for n in 1..=100 {
            assert_eq!(reader.ask(format!("GET reservation:R{n}")), Json::Null);
            assert_eq!(reader.ask(format!("INV.GET R{n}"))["state"], "expired");
        }
        let_the_clock_pass(&mut reader, due + 500);
        assert_eq!(seen(&replica), before, "{still}");
        assert_eq!(reader.info("inv", "inv_holds"), "1001");
        assert_eq!(reader.info("inv", "inv_expired_total"), "0");
        assert_eq!(reader.ask("INV.STOCK P")[0]["reserved"], 1007);
        if still == "STOP" {
            master.thaw();
        }
        wait_for("all is back", LONG, ALL_BACK, || shop.counters("P"));
        agree(&master, &replica);
        assert_eq!(reader.info("inv", "inv_holds"), "1");
    }
}

/// All that a write of a server's own would change: its data set, its place in the stream, its AOF. Records that are due
/// count in the digest, though nobody can read them.
fn seen(replica: &Server) -> (Json, String, String) {
    let mut reader = replica.connect();
    let offset = reader.info("replication", "slave_repl_offset");
    let aof = reader.info("persistence", "aof_current_size");
    assert_ne!(aof, "", "it has one");
    (reader.ask("DEBUG DIGEST"), offset, aof)
}

#[test]
fn a_replica_that_was_restarted_while_deadlines_pass_goes_on_where_it_was() {
    let (master, mut shop, mut replica) = master_and_replica(&["replica-read-only yes"]);
    for round in 1..=3 {
        let prefix = format!("R{round}-");
        hold_many(&mut shop, &prefix, 1000, 600);
        replica.catch_up_with(&master);
        // An RDB tells where in the stream it was.
        replica.shut_down_saving();
        if round == 2 {
            wait_for("all is back", LONG, ALL_BACK, || shop.counters("P"));
        }
        let partial = shop.info("stats", "sync_partial_ok");
        replica.start_again();
        replica.wait_for_master(&master);
        assert_ne!(shop.info("stats", "sync_partial_ok"), partial, "it went on in the stream");
        assert_eq!(shop.info("stats", "sync_full"), "1");
        wait_for("all is back", LONG, ALL_BACK, || shop.counters("P"));
        agree(&master, &replica);
        assert_eq!(replica.connect().info("inv", "inv_holds"), "1");
    }
}

#[test]
fn a_replica_whose_connection_breaks_while_deadlines_pass_goes_on_where_it_was() {
    let (master, mut shop, replica) = master_and_replica(&[]);
    hold_many(&mut shop, "R", MANY, 1000);
    let mut cuts = 0;
    wait_until("all is back", LONG, || {
        // Cut again as soon as it is there again.
        if shop.info("replication", "connected_slaves") == "1" {
            cuts += 1;
            shop.ask("CLIENT KILL TYPE replica");
        }
        shop.counters("P") == ALL_BACK
    });
    assert!(cuts > 0);
    replica.wait_for_master(&master);
    agree(&master, &replica);
    // A connection that was cut while the two were agreeing where to go on may cost a full copy.
    assert_ne!(shop.info("stats", "sync_partial_ok"), "0");
}

#[test]
fn a_replica_of_a_replica_follows_the_one_that_is_promoted() {
    let (master, mut shop, middle) = master_and_replica(&[]);
    let last = middle.replica();
    let due = hold_many(&mut shop, "R", 1000, 1200);
    hold_many(&mut shop, "S", 500, 2000);
    middle.catch_up_with(&master);
    last.catch_up_with(&master);
    master.freeze();
    let mut promoted = middle.connect();
    let_the_clock_pass(&mut promoted, due);
    promoted.ask("REPLICAOF NO ONE");
    wait_for("all is back", LONG, ALL_BACK, || promoted.counters("P"));
    last.wait_for_master(&middle);
    agree(&middle, &last);
    assert_eq!(last.connect().info("stats", "sync_full"), "0", "nobody had to copy all");

    // The old master comes behind the last, and then that is promoted.
    master.thaw();
    follow(&master, &last);
    let due = hold_many(&mut promoted, "T", 500, 600);
    last.catch_up_with(&middle);
    master.catch_up_with(&middle);
    let mut promoted = last.connect();
    let_the_clock_pass(&mut promoted, due - 20);
    promoted.ask("REPLICAOF NO ONE");
    wait_for("all is back", LONG, ALL_BACK, || promoted.counters("P"));
    master.wait_for_master(&last);
    agree(&last, &master);
    keeps_deadlines(&mut promoted, "N");
    agree(&last, &master);
}

#[test]
fn sentinel_promotes_a_replica_that_releases_and_the_old_master_follows_it() {
    let (mut master, mut shop, replica) = master_and_replica(&["appendonly yes"]);
    let sentinel = master.sentinel();
    let mut watch = sentinel.connect();
    // It asks and tells every few seconds; a test need not wait for that.
    for period in ["info-period", "publish-period", "ask-period"] {
        watch.ask(format!("SENTINEL DEBUG {period} 100"));
    }
    wait_for("it knows the replica", LONG, 1, || {
        watch.ask("SENTINEL REPLICAS shop").as_array().expect("an array").len()
    });
    let (_, released_in) = measure(&mut shop);
    let due = hold_many(&mut shop, "R", MANY, 1000);
    hold_many(&mut shop, "S", 500, 10_000 + 2 * released_in);
    replica.catch_up_with(&master);
    master.kill();
    // Sentinel is asked, for it also cuts the connections of a server whose role it changes.
    wait_for("the replica is master", LONG, replica.port().to_string(), || {
        let address = watch.ask("SENTINEL GET-MASTER-ADDR-BY-NAME shop");
        address[1].as_str().expect("a port").to_owned()
    });
    let mut promoted = replica.connect();
    let promoted_at = promoted.now();
    wait_for("what is due is back", LONG, (STOCK - 507, 507), || promoted.counters("P"));
    let last = last_release(&mut promoted, "R", MANY);
    let late = last - promoted_at.max(due);
    assert!(late <= 1000 + 3 * released_in, "{late} ms late");

    master.start_again();
    let old_master = json!(master.port().to_string());
    wait_until("the old master follows", LONG, || {
        let replica = watch.ask("SENTINEL REPLICAS shop")[0].clone();
        replica["port"] == old_master && replica["master-link-status"] == "ok"
    });
    master.wait_for_master(&replica);
    agree(&replica, &master);
    wait_for("the rest is back", LONG, ALL_BACK, || promoted.counters("P"));
    assert_eq!(promoted.ask("INV.COMMIT LONG"), "OK");
    assert_eq!(promoted.ask("INV.GET LONG")["state"], json!("committed"));
    agree(&replica, &master);
}
