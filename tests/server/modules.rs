//! MODULE LOAD and UNLOAD at run time, and servers or configurations that do not fit the module.
//!
//! Where a deadline matters, the server's own expiry is off, so that only the module can return units.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use redis_inventory::engine::sent::Sent;

use crate::harness::{
    Client, Json, SOON, Server, free_port, json, module, server_program, wait_for, wait_until, wire_code,
};
use crate::shop::shop_with;

/// MODULE LOAD of the module.
fn load() -> String {
    format!("MODULE LOAD {}", module().display())
}

/// A server without the module. Before, it had the module, which left 100 units of P and these reservations of one unit each.
fn left_behind(reservations: &[&str]) -> (Server, Client) {
    let (mut server, mut shop) = shop_with(&["appendonly yes", "enable-module-command yes"], &[("P", 100)]);
    for id in reservations {
        shop.ask(format!("INV.RESERVE {id} EX 900 ITEMS P 1"));
    }
    // Rewritten, because the server would not know the module's own command in the AOF.
    server.rewrite("BGREWRITEAOF");
    server.shut_down();
    server.start_again_without_module();
    let mut shop = server.connect();
    shop.ask("DEBUG SET-ACTIVE-EXPIRE 0");
    (server, shop)
}

/// Lets the deadline of a reservation pass while nothing releases it.
fn let_lapse(shop: &mut Client, id: &str) {
    // A duration rather than a time: the server would delete a key at once if its time had passed already. And nothing may read
    // the key after its deadline, because the server would delete it.
    assert_eq!(shop.ask(format!("PEXPIRE reservation:{id} 50")), 1);
    let deadline = shop.now() + 50;
    wait_until("the deadline has passed", SOON, || shop.now() > deadline);
}

#[test]
fn loaded_twice_and_unloaded_twice_it_keeps_the_deadlines_that_it_finds() {
    let (_server, mut shop) = left_behind(&["FIRST", "SECOND", "THIRD", "FOURTH", "SOLD"]);
    for (lapsed, to_come) in [("FIRST", "SECOND"), ("THIRD", "FOURTH")] {
        let (available, reserved) = shop.counters("P");
        assert!(shop.refusal("INV.STOCK P").contains("unknown command"));
        let_lapse(&mut shop, lapsed);
        assert_eq!(shop.counters("P"), (available, reserved), "nothing releases them");

        assert_eq!(shop.ask(load()), "OK");
        wait_for("what lapsed before is back", SOON, (available + 1, reserved - 1), || shop.counters("P"));
        shop.ask(format!("PEXPIRE reservation:{to_come} 20"));
        wait_for("what lapses now is back", SOON, (available + 2, reserved - 2), || shop.counters("P"));
        for id in [lapsed, to_come] {
            assert_eq!(shop.ask(format!("INV.GET {id}"))["state"], "expired", "{id}");
        }
        assert_eq!(shop.ask("INV.STOCK P")[0]["reserved"], reserved - 2);
        shop.ask(format!("INV.RESERVE {lapsed}-AGAIN ITEMS P 1"));
        shop.ask(format!("INV.ROLLBACK {lapsed}-AGAIN"));
        if lapsed == "THIRD" {
            assert_eq!(shop.ask("INV.COMMIT SOLD"), "OK");
        }
        assert_eq!(shop.unload(), "OK");
    }
    assert_eq!(shop.counters("P"), (99, 0));
    assert!(shop.refusal("CONFIG SET inv.hold-ttl-ms 1").contains("Unknown"));
}

#[test]
fn a_deadline_that_the_first_load_made_is_kept_by_the_second() {
    let (_server, mut shop) = left_behind(&[]);
    shop.ask(load());
    let deadline = shop.ask("INV.RESERVE R PX 300 ITEMS P 5")["expires_at"].as_i64().expect("a time");
    shop.unload();
    shop.ask(load());
    wait_until("the deadline has passed", SOON, || shop.now() > deadline);
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
}

#[test]
fn names_in_the_log_are_text_whatever_they_spell() {
    let (server, mut shop) = left_behind(&[]);
    // In this style, these units are reserved but not held, and the walk reports the sku. In the other style, it reports the key.
    shop.ask("SET stock:reserved:%s%s%s%s%n%n%n 3");
    shop.ask(vec![b"SET".to_vec(), b"stock:available:{Q}\0\n%n".to_vec(), b"5".to_vec()]);
    assert_eq!(shop.ask(load()), "OK");
    wait_for_index(&mut shop);
    wait_until("the sku is reported", SOON, || server.log().contains("%s%s%s%s%n%n%n: 3 units are reserved"));
    assert_eq!(shop.info("inv", "inv_panics_total"), "0");
    // If it is evicted, its name is logged as well.
    shop.ask("SET stock:available:%s%s%s%s%n%n%n 3");
    shop.ask(vec![b"SET".to_vec(), b"stock:available:N\0\n%n".to_vec(), b"5".to_vec()]);
    for option in ["maxmemory-policy allkeys-random", "maxmemory 1"] {
        shop.ask(format!("CONFIG SET {option}"));
    }
    let _ = shop.try_ask("SET more memory");
    for name in ["stock:available:%s%s%s%s%n%n%n", "stock:available:N  %n"] {
        wait_until("it is evicted", SOON, || {
            server.log().contains(&format!("the counter {name} was evicted"))
        });
    }
    assert_eq!(shop.info("inv", "inv_panics_total"), "0");
}

/// Runs MODULE LOAD with slices so small that the walk over many keys takes a while.
fn load_slowly(shop: &mut Client) {
    let path = module().display().to_string();
    let load = ["MODULE", "LOADEX", &path, "CONFIG", "inv.sweep-budget-us", "100"];
    assert_eq!(shop.ask(load), "OK");
}

fn wait_for_index(shop: &mut Client) {
    wait_for("the index is complete", SOON * 5, "1".to_owned(), || shop.info("inv", "inv_index_ready"));
}

#[test]
fn what_a_running_server_has_is_found_in_slices_and_commands_go_on_meanwhile() {
    let (_server, mut shop) = left_behind(&["OLD", "LAPSED"]);
    shop.ask("DEBUG POPULATE 300000 other");
    let_lapse(&mut shop, "LAPSED");
    load_slowly(&mut shop);
    let replies = shop.burst(&[
        "INFO inv",
        "INV.AUDIT P",
        "INV.AUDITSCAN 0",
        "INV.SCAN 0",
        "INV.REPAIR P FORCE",
        "INV.RESERVE NEW PX 300000 ITEMS P 2",
        "INV.COMMIT OLD",
        "INV.COMMIT LAPSED",
    ]);
    assert!(replies[0].as_str().expect("text").contains("inv_index_ready:0"));
    // The stock is in the keys, so a walk over it needs no index.
    let page = shop.ask("INV.STOCKSCAN 0 LOW");
    assert!(page[0].is_string() && page[1].is_array(), "{page}");
    for reply in &replies[1..5] {
        assert_eq!(wire_code(reply), "-TRYAGAIN", "{reply}");
    }
    assert_eq!(replies[5]["reservation_id"], "NEW");
    assert_eq!(replies[6], "OK");
    assert_eq!(wire_code(&replies[7]), "-EXPIRED");
    wait_for_index(&mut shop);
    assert_eq!(shop.ask("INV.SCAN 0"), json!(["0", ["NEW"]]));
    assert_eq!(shop.ask("INV.AUDIT P")["drift"], 0);
    assert_eq!(shop.counters("P"), (97, 2));
}

#[test]
fn databases_that_are_swapped_or_flushed_during_the_walk_are_walked_over_again() {
    for (command, database, held) in [("SWAPDB 0 1", 1, 1), ("FLUSHDB", 0, 0)] {
        let (_server, mut shop) = left_behind(&["R"]);
        shop.ask("DEBUG POPULATE 300000 other");
        load_slowly(&mut shop);
        shop.ask(command);
        wait_for_index(&mut shop);
        assert_eq!(shop.info("inv", "inv_holds"), held.to_string(), "{command}");
        if held > 0 {
            shop.ask(format!("SELECT {database}"));
            shop.ask("PEXPIRE reservation:R 20");
            wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
        }
    }
}

#[test]
fn a_second_load_beside_the_first_is_refused_and_changes_nothing() {
    let (_server, mut shop) = left_behind(&["R"]);
    shop.ask(load());
    shop.refusal(load());
    assert_eq!(shop.ask("INV.GET R")["state"], "reserved");
    shop.ask("PEXPIRE reservation:R 20");
    wait_for("the unit is back", SOON, (100, 0), || shop.counters("P"));
}

#[test]
fn unload_is_refused_with_a_reason_while_a_release_is_queued() {
    let (server, mut shop) = left_behind(&[]);
    for _ in 0..2 {
        shop.ask(load());
        let replies = shop.burst(&[
            "INV.RESERVE * PX 20 ITEMS P 5",
            "INV.RESERVE R PX 20 ITEMS P 5",
            "DEBUG SLEEP 0.05",
            "MULTI",
            "GET reservation:R",
            "MODULE UNLOAD inv",
            "EXEC",
        ]);
        let [.., executed] = &replies[..] else { panic!("seven replies") };
        assert_eq!(executed[0], Json::Null);
        assert!(executed[1].as_str().is_some_and(|text| text.starts_with("-ERR Error unloading module")));
        wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
        assert_eq!(shop.unload(), "OK");
        shop.ask("DEL inventory:outcome:R");
    }
    let reasons = server.log().lines().filter(|line| line.contains("a release is queued")).count();
    assert_eq!(reasons, 2, "one line for each refusal");
}

/// Before Valkey 9.1, servers crash during such an unload (valkey-io/valkey#2797).
#[test]
fn unload_is_refused_while_a_user_names_a_command() {
    let (server, mut shop) = left_behind(&[]);
    for rules in [
        ["+@all", "+inv.get"],
        ["-@all", "+INV.GET"],
        ["+@all", "-inv.apply"],
        ["+@all", "-INV.SET"],
        ["+get", "(+inv.stock ~shop1:*)"],
        ["+get", "(%R~a +set +inv.get)"],
    ] {
        shop.ask(load());
        shop.ask("INV.RESERVE R PX 50 ITEMS P 5");
        shop.ask(["ACL", "SETUSER", "buyer", rules[0], rules[1]]);
        let error = shop.refusal("MODULE UNLOAD inv");
        assert!(error.starts_with("ERR Error unloading module"), "{rules:?}: {error}");
        wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
        shop.ask("ACL DELUSER buyer");
        assert_eq!(shop.unload(), "OK", "{rules:?}");
        shop.ask("DEL inventory:outcome:R");
    }
    // Categories, patterns and other commands do not prevent an unload.
    shop.ask(load());
    shop.ask("ACL SETUSER inv.buyer on nopass ~+inv.get &-inv.get +@all -get");
    assert_eq!(shop.unload(), "OK");
    let refusals = server.log().matches("user buyer").count();
    // Valkey 9.1 refuses by itself before it asks the module.
    assert!(refusals == 6 || server.log().contains("unload blocked: An ACL user"), "{}", server.log());
}

/// Servers crash when a transaction runs a command whose module was unloaded.
#[test]
fn unload_is_refused_while_a_transaction_waits() {
    let (server, mut shop) = left_behind(&[]);
    shop.ask(load());
    let mut other = server.connect();
    other.ask("MULTI");
    assert_eq!(other.ask("INV.STOCK P"), "QUEUED");
    assert!(shop.refusal("MODULE UNLOAD inv").starts_with("ERR Error unloading module"));
    assert_eq!(other.ask("EXEC")[0][0]["available"], 100);
    let replies = shop.burst(&["MULTI", "MODULE UNLOAD inv", "INV.STOCK P", "EXEC"]);
    assert!(replies[3][0].as_str().is_some_and(|text| text.starts_with("-ERR Error unloading module")));
    assert_eq!(replies[3][1][0]["available"], 100);
    // The log names the connection, so that an operator can close it.
    let named = format!("client {} (127.0.0.1:", client_id(&mut other));
    assert!(server.log().contains(&named), "{named}: {}", server.log());
    assert_eq!(server.log().matches("is in a transaction, or paused").count(), 2);
    // An empty transaction is harmless: later commands are looked up when they arrive.
    other.ask("MULTI");
    assert_eq!(shop.unload(), "OK");
    assert!(other.refusal("INV.STOCK P").contains("unknown command"));
    assert!(shop.ask("CLIENT LIST").as_str().is_some_and(|list| list.lines().count() == 2));
}

/// The same, for the command of a blocked client.
#[test]
fn unload_is_refused_while_a_client_is_paused_with_a_command() {
    let (server, mut shop) = left_behind(&[]);
    shop.ask(load());
    let mut other = server.connect();
    shop.ask("CLIENT PAUSE 60000 WRITE");
    other.send("INV.ADJUST P 5");
    wait_until("it waits", SOON, || shop.info("clients", "blocked_clients") == "1");
    assert!(shop.refusal("MODULE UNLOAD inv").starts_with("ERR Error unloading module"));
    shop.ask("CLIENT UNPAUSE");
    assert_eq!(other.reply(), 105);
}

/// The server stores each client's last command and shows it in CLIENT LIST. Valkey 9.1 also stores the commands that a client
/// has sent after one that is blocked.
#[test]
fn an_unload_disconnects_clients_that_would_meet_commands_that_are_gone() {
    let (server, mut shop) = left_behind(&[]);
    let mut bystander = server.connect();
    let is_valkey = shop.info("server", "server_name") == "valkey";
    for round in 0..20 {
        shop.ask(load());
        let mut customers: Vec<Client> = (0..10).map(|_| server.connect()).collect();
        for customer in &mut customers {
            customer.ask("INV.STOCK P");
        }
        let mut waiting = server.connect();
        waiting.send("BLPOP nothing 0");
        waiting.send("INV.STOCK P");
        wait_until("it waits", SOON, || shop.info("clients", "blocked_clients") == "1");
        assert_eq!(shop.unload(), "OK");

        // Freed memory is used again.
        let noise: Vec<String> =
            (0..500).map(|number| format!("SET noise:{round}:{number} {number}")).collect();
        bystander.burst(&noise);
        let left = if is_valkey { 2 } else { 3 };
        wait_for("the clients that used it are gone", SOON, left, || {
            let clients = shop.ask("CLIENT LIST");
            clients.as_str().map_or(0, |clients| clients.lines().count())
        });
        bystander.ask("RPUSH nothing 1");
        if !is_valkey {
            assert_eq!(waiting.reply(), json!(["nothing", "1"]));
            assert!(waiting.reply().as_str().is_some_and(|reply| reply.contains("unknown command")));
        }
        bystander.ask("DEL nothing");
    }
}

fn client_id(client: &mut Client) -> String {
    client.ask("CLIENT ID").to_string()
}

#[test]
fn the_acl_category_works_after_a_second_load_too() {
    let (_server, mut shop) = left_behind(&[]);
    shop.ask(load());
    if !knows(&mut shop, "RedisModule_AddACLCategory") {
        eprintln!("skipped: this server knows no ACL categories of modules");
        return;
    }
    for _ in 0..2 {
        assert_eq!(shop.ask("ACL SETUSER buyer reset on nopass +@inventory ~*"), "OK");
        let allowed = |shop: &mut Client, command| shop.ask(format!("ACL DRYRUN buyer {command}")) == "OK";
        assert!(allowed(&mut shop, "INV.STOCK P"));
        assert!(!allowed(&mut shop, "GET P"), "of another category");
        assert!(!allowed(&mut shop, "INV.APPLY 1 END R 0 0"), "not for clients");
        shop.unload();
        shop.ask(load());
    }
    shop.ask("ACL SETUSER buyer reset on nopass +@inventory ~*");
    shop.ask("AUTH buyer any");
    assert_eq!(shop.ask("INV.STOCK P")[0]["available"], 100);
    assert!(shop.refusal("GET stock:available:P").starts_with("NOPERM"));
}

#[test]
fn without_a_category_the_commands_are_granted_by_name() {
    let (_server, mut shop) = left_behind(&[]);
    shop.ask(load());
    shop.ask("ACL SETUSER buyer on nopass +inv.stock ~*");
    shop.ask("AUTH buyer any");
    assert_eq!(shop.ask("INV.STOCK P")[0]["available"], 100);
    assert!(shop.refusal("INV.ADJUST P 1").starts_with("NOPERM"));
}

/// Whether the module API of the running server has a function: its program contains the names of all of them.
fn knows(shop: &mut Client, function: &str) -> bool {
    let pid = shop.info("server", "process_id");
    // A wrapper may have started it, so use the mapped files. On a system without /proc, there is no wrapper.
    let files: BTreeSet<PathBuf> = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_or_else(
        |_| [server_program().to_owned()].into(),
        |maps| maps.lines().filter_map(|line| Some(line[line.find('/')?..].into())).collect(),
    );
    let ours = module().canonicalize().expect("the module");
    let in_file = |file: &Path| {
        let bytes = std::fs::read(file).unwrap_or_default();
        bytes.windows(function.len()).any(|window| window == function.as_bytes())
    };
    files.iter().any(|file| *file != ours && in_file(file))
}

#[test]
fn options_of_the_module_without_the_module_end_the_start() {
    let log = Server::refused_start(server_program(), &["inv.hold-ttl-ms 1000"]);
    assert!(log.contains("Module Configuration detected without loadmodule directive"), "{log}");
}

/// A line of configuration that removes or renames a command.
fn rename(command: &str, name: &str) -> String {
    format!("rename-command {command} \"{name}\"")
}

#[test]
fn a_server_that_has_renamed_what_the_module_sends_or_calls_does_not_start_with_it_and_says_what() {
    let load = format!("loadmodule {}", module().display());
    let sent = Sent::ALL.iter().filter(|command| **command != Sent::Apply);
    let sent = sent.map(|command| command.name().to_str().expect("a name"));
    let needed: Vec<&str> =
        sent.chain(["MULTI", "EXEC", "SELECT", "UNLINK", "SCAN", "CLIENT", "ACL"]).collect();
    for (number, command) in needed.iter().enumerate() {
        let line = rename(command, if number % 2 == 0 { "" } else { "gone" });
        // The order of the lines does not matter.
        let lines = if number % 3 == 0 { [&*line, &*load] } else { [&*load, &*line] };
        let log = Server::refused_start(server_program(), &lines);
        let says = format!("<inv> inv is not loaded: this server has no {command} under its own name");
        assert_eq!(log.matches(&says).count(), 1, "{command}: {log}");
        assert!(!log.contains("REPORT"), "a crash:\n{log}");
    }
    let lines = [load.clone(), rename("INCRBY", ""), rename("DEL", "gone")];
    let log = Server::refused_start(server_program(), &lines.each_ref().map(String::as_str));
    assert!(log.contains("this server has no DEL, INCRBY under its own name"), "{log}");
    // In a cluster, the module needs more commands.
    for command in ["EXISTS", "CLUSTER"] {
        let port = format!("cluster-port {}", free_port());
        let lines = ["cluster-enabled yes", &port, &rename(command, ""), &load];
        let log = Server::refused_start(server_program(), &lines);
        assert!(log.contains(&format!("this server has no {command} under its own name")), "{log}");
    }
}

#[test]
fn a_running_server_with_renamed_commands_refuses_the_module_and_keeps_running() {
    let options = ["enable-module-command yes", &rename("INCRBY", "")];
    let server = Server::start_without_module(server_program(), &options);
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 100");
    for _ in 0..2 {
        assert!(shop.refusal(load()).contains("Error loading the extension"));
    }
    assert_eq!(server.log().matches("this server has no INCRBY under its own name").count(), 2);
    assert!(shop.refusal("INV.GET R").contains("unknown command"));
    assert_eq!(shop.ask("CONFIG GET inv.*"), json!({}));
    assert_eq!(shop.ask("GET stock:available:P"), "100");
}

#[test]
fn commands_that_the_module_does_not_need_may_be_renamed() {
    let names = ["KEYS", "FLUSHALL", "FLUSHDB", "CONFIG", "DEBUG", "SHUTDOWN", "EVAL", "EXISTS", "CLUSTER"];
    let lines = names.map(|name| rename(name, ""));
    let options: Vec<&str> =
        lines.iter().map(String::as_str).chain(["appendonly yes", "inv.feed-maxlen 100"]).collect();
    let server = Server::start_with(&options);
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 100");
    shop.ask("INV.RESERVE R PX 20 ITEMS P 95");
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(shop.ask("INV.GET R")["state"], "expired");
    assert_eq!(shop.ask("INV.AUDITSCAN 0"), json!(["0", []]));
}

/// Debian's Redis 7.0.15, which `make servers` fetches.
fn too_old() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".servers/too-old/redis-7.0/bin/redis-server");
    assert!(program.exists(), "{} is not there: make servers", program.display());
    program
}

/// Asserts that the module logged one line there, which names what it needs.
fn assert_one_clear_line(log: &str) {
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("<inv>")).collect();
    let [line] = lines[..] else { panic!("the module should log one line:\n{log}") };
    assert!(line.contains("inv needs Redis 7.2, Valkey 7.2 or newer"), "{line}");
    assert!(!log.contains("REPORT"), "a crash:\n{log}");
}

#[test]
fn a_server_older_than_7_2_does_not_start_with_the_module_and_says_why() {
    let module = format!("loadmodule {}", module().display());
    for options in [&[&*module][..], &[&*module, "inv.hold-ttl-ms 1000"]] {
        assert_one_clear_line(&Server::refused_start(&too_old(), options));
    }
}

#[test]
fn a_server_older_than_7_2_runs_without_the_module_and_says_why() {
    let server = Server::start_without_module(&too_old(), &["enable-module-command yes"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 100");
    assert!(shop.refusal(load()).contains("Error loading the extension"));
    assert_one_clear_line(&server.log());
    assert!(!knows(&mut shop, "RedisModule_AddPostNotificationJob"), "the line names what the module misses");
    assert_eq!(shop.ask("MODULE LIST"), json!([]));
    assert_eq!(shop.counters("P"), (100, 0));
}
