//! Which server releases reservations, and when: a replica never, a paused master after the pause, a promoted replica at once.
//! Whatever changes in between, nothing is lost and the copies agree.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{
    Client, Json, Machine, SOON, Server, assert_same_data, json, wait_for, wait_until, wire_code,
};
use crate::shop::shop_with;

/// The time for thousands of releases on a busy machine.
const LONG: Duration = Duration::from_secs(20);

/// How soon after a pause or a promotion a delayed release must happen, in ms. What seems missing during a pause is tried again a
/// second later; the rest of the time is for a busy machine. The benchmark measures it on an idle one.
const AT_ONCE: u64 = 5000;

/// The number of reservations of one unit that expire at the same moment.
const MANY: i64 = 3000;
const STOCK: i64 = 10_000;

/// A master with its replica, and a reservation of 7 units that lives throughout the test.
fn master_and_replica(options: &[&str]) -> (Server, Client, Server) {
    let (master, mut shop) = shop_with(options, &[("P", STOCK)]);
    shop.ask("INV.RESERVE LONG ITEMS P 7");
    let replica = master.replica_with(options);
    (master, shop, replica)
}

/// A master with its replica, many reservations that expire at the returned moment, and the result of `prepare`, which ran before
/// that moment. If the machine is too slow, everything is repeated with more time.
fn in_time<T>(
    options: &[&str],
    count: i64,
    prepare: impl Fn(&Server, &mut Client, &Server, i64) -> Option<T>,
) -> (Server, Client, Server, i64, T) {
    for life in [1200, 5000, 20_000, 60_000] {
        let (master, mut shop, replica) = master_and_replica(options);
        let due = hold_many(&mut shop, "R", count, life);
        let prepared = prepare(&master, &mut shop, &replica, due);
        // Not the server's clock: the server may not be reachable now.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
        if let Some(prepared) = prepared.filter(|_| now < u128::try_from(due).expect("a time")) {
            return (master, shop, replica, due, prepared);
        }
    }
    panic!("this machine is too slow");
}

/// The counters when only the long reservation is left.
const ALL_BACK: (i64, i64) = (STOCK - 7, 7);

/// Makes the reservations `{prefix}1` to `{prefix}{count}` of one unit with the same deadline, and returns the deadline.
fn hold_many(shop: &mut Client, prefix: &str, count: i64, life: i64) -> i64 {
    let reserve = "for i = 1, ARGV[1] do \
                   redis.call('INV.RESERVE', ARGV[2] .. i, 'PXAT', ARGV[3], 'ITEMS', 'P', 1) end";
    let deadline = shop.now() + life;
    shop.ask(["EVAL", reserve, "0", &count.to_string(), prefix, &deadline.to_string()]);
    deadline
}

fn let_the_clock_pass(client: &mut Client, moment: i64) {
    wait_until("the clock has passed it", LONG, || client.now() > moment);
}

/// When the last of these reservations was released, according to their outcomes.
fn last_release(shop: &mut Client, prefix: &str, count: i64) -> i64 {
    let keys: Vec<String> = (1..=count).map(|n| format!("inventory:outcome:{prefix}{n}")).collect();
    let outcomes = shop.ask(format!("MGET {}", keys.join(" ")));
    let resolved_at = |outcome: &Json| {
        let outcome: Json = serde_json::from_str(outcome.as_str().expect("an outcome")).expect("JSON");
        assert_eq!(outcome["state"], "expired", "{outcome}");
        outcome["resolved_at"].as_i64().expect("a time")
    };
    outcomes.as_array().expect("an array").iter().map(resolved_at).max().expect("some")
}

/// Asserts that this server releases new reservations on time.
fn keeps_deadlines(shop: &mut Client, prefix: &str) {
    let before = shop.counters("P");
    // The best of several rounds, compared with what the machine allows at that time.
    let late = (1..=4).map(|round| {
        let machine = Machine::watch();
        let deadline = hold_many(shop, &format!("{prefix}-{round}-"), 1, 40);
        wait_for("the unit is back", SOON, before, || shop.counters("P"));
        let late = last_release(shop, &format!("{prefix}-{round}-"), 1) - deadline;
        assert!(late >= 0, "{late} ms after the deadline");
        late - machine.limit_ms(150)
    });
    let best = late.min().expect("some rounds");
    assert!(best <= 0, "{best} ms later than it may be");
}

fn role(server: &Server) -> String {
    server.connect().info("replication", "role")
}

/// Makes a server a replica of another, and waits until it has the same data.
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
fn a_manually_promoted_replica_releases_what_is_due_at_once_and_the_rest_on_time() {
    let (master, mut shop, replica, due, mut promoted) = in_time(&[], MANY, |master, shop, replica, due| {
        shop.try_ask(format!("INV.RESERVE LATER PXAT {} ITEMS P 9", due + 8000)).ok()?;
        replica.catch_up_with(master);
        let promoted = replica.connect();
        // The old master misses what follows, as in a network partition.
        master.freeze();
        Some(promoted)
    });
    let_the_clock_pass(&mut promoted, due + 100);
    assert_eq!(promoted.counters("P"), (STOCK - MANY - 16, MANY + 16));

    let (at, machine) = (promoted.now(), Machine::watch());
    promoted.ask("REPLICAOF NO ONE");
    wait_for("what is due is back", LONG, (STOCK - 16, 16), || promoted.counters("P"));
    let last = last_release(&mut promoted, "R", MANY);
    assert!(last - at <= machine.limit_ms(AT_ONCE), "{} ms after the promotion", last - at);
    assert_eq!(wire_code(&promoted.burst(&["INV.COMMIT R1"])[0]), "-EXPIRED");
    wait_for("the rest is back in time", LONG, ALL_BACK, || promoted.counters("P"));
    keeps_deadlines(&mut promoted, "N");

    // The old master returns after it has released the same reservations by itself: the new master's data win.
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
    // Their deadlines are around the failover: some before, some during, some after it.
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
fn a_failover_that_fails_loses_nothing() {
    for way in ["TIMEOUT", "ABORT"] {
        let (master, mut shop, replica, due, ()) = in_time(&[], MANY, |master, shop, replica, due| {
            replica.catch_up_with(master);
            replica.freeze();
            // A write that the replica has not acknowledged delays the failover, and so prolongs its pause.
            shop.ask("INV.RESERVE LAST ITEMS P 2");
            let_the_clock_pass(shop, due - 100);
            shop.ask(format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 700", replica.port()));
            Some(())
        });
        let mut waiting = master.connect();
        waiting.send("INV.COMMIT R1");
        let_the_clock_pass(&mut shop, due + 200);
        assert_eq!(shop.counters("P").1, MANY + 9, "nothing is released in the meantime");
        assert_eq!(shop.ask("INV.GET R2")["state"], "expired");
        if way == "ABORT" {
            shop.ask("FAILOVER ABORT");
        }
        wait_for("the failover is over", LONG, "no-failover".to_owned(), || {
            shop.info("replication", "master_failover_state")
        });
        let (over, machine) = (shop.now(), Machine::watch());
        assert_eq!(wire_code(&waiting.reply()), "-EXPIRED", "{way}");
        wait_for("all is back", LONG, (STOCK - 9, 9), || shop.counters("P"));
        let last = last_release(&mut shop, "R", MANY);
        assert!(last - over <= machine.limit_ms(AT_ONCE), "{way}: {} ms after the end", last - over);
        assert_eq!(role(&master), "master");
        replica.thaw();
        replica.wait_for_master(&master);
        agree(&master, &replica);
    }
}

#[test]
fn a_pause_while_thousands_of_deadlines_pass_loses_nothing_and_all_is_back_when_it_ends() {
    for (pause, with_clients) in [("WRITE", false), ("WRITE", true), ("ALL", false), ("ALL", true)] {
        let length = 800;
        let (master, mut shop, replica, due, (before, mut waiting, mut reader, over, machine)) =
            in_time(&["appendonly yes"], MANY, |master, shop, _, due| {
                shop.try_ask(format!("INV.RESERVE BYHAND PXAT {due} ITEMS P 1")).ok()?;
                shop.ask("DEL reservation:BYHAND");
                let before = shop.counters("P");
                let_the_clock_pass(shop, due - 100);
                let waiting: Vec<Client> = (0..4).map(|_| master.connect()).collect();
                let reader = master.connect();
                let (over, machine) = (shop.now() + length, Machine::watch());
                shop.ask(format!("CLIENT PAUSE {length} {pause}"));
                Some((before, waiting, reader, over, machine))
            });
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
        if pause == "WRITE" {
            let_the_clock_pass(&mut shop, due + 200);
            // A reader accesses them, and they are not deleted.
            assert_eq!(shop.ask("GET reservation:R5"), Json::Null);
            assert_eq!(shop.ask("INV.GET R5")["state"], "expired");
            assert_eq!(shop.counters("P"), before);
        }
        if with_clients {
            assert_eq!(reader.reply().is_null(), pause == "ALL", "{pause}");
            assert_eq!(wire_code(&waiting[0].reply()), "-EXPIRED");
            assert_eq!(waiting[1].reply(), "OK");
            assert_eq!(wire_code(&waiting[2].reply()), "-EXPIRED");
            assert!(waiting[3].reply().is_number());
        }
        wait_for("all is back", LONG, ALL_BACK, || shop.counters("P"));
        let released = shop.now();
        let rolled_back = if with_clients { "rolled_back" } else { "expired" };
        assert_eq!(shop.ask("INV.GET R2")["state"], rolled_back);
        // R2 may have an outcome under another name.
        let last = last_release(&mut shop, "R", 1)
            .max(shop.document("inventory:outcome:BYHAND")["resolved_at"].as_i64().unwrap());
        assert!(last >= over - 20, "nothing before the end");
        let lag: i64 = shop.info("inv", "inv_lag_max_ms").parse().expect("a number");
        assert!(
            due + lag - over <= machine.limit_ms(AT_ONCE),
            "PAUSE {pause}: {} ms after its end",
            due + lag - over
        );
        assert!(released >= over - 20);
        assert_eq!(shop.info("inv", "inv_expired_total"), (MANY + 1).to_string());
        agree(&master, &replica);
    }
}

#[test]
fn a_replica_writes_nothing_while_its_master_is_suspended() {
    for still in ["STOP", "PAUSE ALL"] {
        let (master, mut shop, replica, due, mut reader) =
            in_time(&["appendonly yes"], 1000, |master, shop, replica, due| {
                replica.catch_up_with(master);
                // A replica rewrites its AOF after a full copy.
                for field in ["aof_rewrite_scheduled", "aof_rewrite_in_progress"] {
                    replica.wait_for_info("persistence", field, "0");
                }
                let reader = replica.connect();
                if still == "STOP" {
                    master.freeze();
                } else {
                    let length = (due + 900 - shop.now()).max(1);
                    shop.ask(format!("CLIENT PAUSE {length} ALL"));
                }
                Some(reader)
            });
        let before = seen(&replica);
        // Clients access them, too.
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

/// Everything that a write of the server's own would change: its data set, its position in the stream, its AOF. Overdue records
/// count in the digest, although nobody can read them.
fn seen(replica: &Server) -> (Json, String, String) {
    let mut reader = replica.connect();
    let offset = reader.info("replication", "slave_repl_offset");
    let aof = reader.info("persistence", "aof_current_size");
    assert_ne!(aof, "", "it has one");
    (reader.ask("DEBUG DIGEST"), offset, aof)
}

#[test]
fn a_replica_restarted_while_deadlines_pass_continues_where_it_was() {
    let (master, mut shop, mut replica) = master_and_replica(&["replica-read-only yes"]);
    for round in 1..=3 {
        let prefix = format!("R{round}-");
        hold_many(&mut shop, &prefix, 1000, 600);
        replica.catch_up_with(&master);
        // An RDB contains the position in the stream.
        replica.shut_down_saving();
        if round == 2 {
            wait_for("all is back", LONG, ALL_BACK, || shop.counters("P"));
        }
        let partial = shop.info("stats", "sync_partial_ok");
        replica.start_again();
        replica.wait_for_master(&master);
        assert_ne!(shop.info("stats", "sync_partial_ok"), partial, "it continued in the stream");
        assert_eq!(shop.info("stats", "sync_full"), "1");
        wait_for("all is back", LONG, ALL_BACK, || shop.counters("P"));
        agree(&master, &replica);
        assert_eq!(replica.connect().info("inv", "inv_holds"), "1");
    }
}

#[test]
fn a_replica_whose_connection_breaks_while_deadlines_pass_continues_where_it_was() {
    let (master, mut shop, replica) = master_and_replica(&[]);
    hold_many(&mut shop, "R", MANY, 1000);
    let mut cuts = 0;
    wait_until("all is back", LONG, || {
        // Cut the connection again as soon as it is back.
        if shop.info("replication", "connected_slaves") == "1" {
            cuts += 1;
            shop.ask("CLIENT KILL TYPE replica");
        }
        shop.counters("P") == ALL_BACK
    });
    assert!(cuts > 0);
    replica.wait_for_master(&master);
    agree(&master, &replica);
    // A connection that is cut during the handshake may cause a full copy.
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
    assert_eq!(last.connect().info("stats", "sync_full"), "0", "no server needed a full copy");

    // The old master becomes a replica of the last one, which is then promoted.
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
    // Sentinel exchanges messages every few seconds by default; shorten that for the test.
    for period in ["info-period", "publish-period", "ask-period"] {
        watch.ask(format!("SENTINEL DEBUG {period} 100"));
    }
    wait_for("it knows the replica", LONG, 1, || {
        watch.ask("SENTINEL REPLICAS shop").as_array().expect("an array").len()
    });
    let due = hold_many(&mut shop, "R", MANY, 1000);
    hold_many(&mut shop, "S", 500, 20_000);
    replica.catch_up_with(&master);
    let machine = Machine::watch();
    master.kill();
    // Ask Sentinel, because it also cuts the connections of a server whose role it changes.
    wait_for("the replica is master", LONG, replica.port().to_string(), || {
        let address = watch.ask("SENTINEL GET-MASTER-ADDR-BY-NAME shop");
        address[1].as_str().expect("a port").to_owned()
    });
    let mut promoted = replica.connect();
    let promoted_at = promoted.now();
    wait_for("what is due is back", LONG, (STOCK - 507, 507), || promoted.counters("P"));
    let last = last_release(&mut promoted, "R", MANY);
    assert!(
        last - promoted_at.max(due) <= machine.limit_ms(AT_ONCE),
        "{} ms late",
        last - promoted_at.max(due)
    );

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
