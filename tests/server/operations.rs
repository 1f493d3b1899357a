//! The procedures of docs/operations.md: the shell blocks are run as they are in the document, with the paths and ports of the
//! test. The test itself does what the document says in words (stop, start).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::books::{Books, counted, sleep_past};
use crate::harness::{
    Client, Json, LATER, SOON, Server, assert_same, assert_same_data, cli, code, module, server_program,
    wait_for, wait_until,
};
use crate::shop::shop_with;

const DOCUMENT: &str = include_str!("../../docs/operations.md");

/// All shell blocks under a heading, in order.
fn blocks<const N: usize>(heading: &str) -> [&'static str; N] {
    let section =
        DOCUMENT.split("\n## ").find_map(|section| section.strip_prefix(heading)?.strip_prefix('\n'));
    let section = section.unwrap_or_else(|| panic!("there is no {heading}"));
    let found: Vec<&str> = section
        .split("\n```sh\n")
        .skip(1)
        .map(|block| block.split("\n```").next().expect("its end"))
        .collect();
    found.try_into().unwrap_or_else(|found: Vec<_>| panic!("{heading} has {} blocks", found.len()))
}

/// The machine in the document: a folder for files outside the server, and a cli that finds the servers.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        for name in ["bin", "backup", "module"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        // An error ends a block, as it would for a person.
        let wrapper = format!(
            "#!/bin/sh\nport=6379\nif [ \"$1\" = -p ]; then port=$2; shift 2; fi\neval \"real=\\$PORT_$port\"\n\
             exec {} -e -p \"$real\" \"$@\"\n",
            cli().display()
        );
        let machine = Self { folder };
        let path = machine.path("bin/redis-cli");
        fs::write(&path, wrapper).expect("a script");
        let made = Command::new("chmod").arg("+x").arg(path).status().expect("chmod");
        assert!(made.success());
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Installs a copy of the module under this name.
    fn install(&self, name: &str) -> PathBuf {
        let path = self.path("module").join(name);
        fs::copy(module(), &path).expect("a copy of the module");
        path
    }

    fn run(&self, block: &str, server: &Server) {
        self.run_with(block, server, None);
    }

    /// Runs a block on the machine of `server`; `replica` has the port 6380 in the document.
    fn run_with(&self, block: &str, server: &Server, replica: Option<&Server>) {
        let text = |path: &Path| path.display().to_string();
        let script = block
            .replace("/var/lib/redis", &text(server.folder()))
            .replace("/etc/redis/redis.conf", &text(&server.configuration()))
            .replace("/usr/lib/redis-inventory", &text(&self.path("module")))
            .replace("/backup", &text(&self.path("backup")))
            .replace("sleep 1", "sleep 0.05");
        let path = format!("{}:{}", text(&self.path("bin")), std::env::var("PATH").unwrap_or_default());
        // The timeout ends a block that would wait forever.
        let done = Command::new("timeout")
            .args(["60", "sh", "-eu", "-c", &script])
            .env("PATH", path)
            .env("PORT_6379", server.port().to_string())
            .env("PORT_6380", replica.map_or(0, Server::port).to_string())
            .current_dir(self.path("module"))
            .output()
            .expect("a shell");
        let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(done.status.success(), "{script}\n{}{}", said[0], said[1]);
    }
}

/// A server as in the document: with an AOF and its own copy of the module.
fn installed(machine: &Machine, options: &[&str]) -> Server {
    let own = ["appendonly yes", "appendfsync everysec", "enable-module-command yes"];
    Server::start_with_module(&machine.install("libredis_inventory.so"), &[&own, options].concat())
}

/// One sale, one long reservation, and one that expires at the returned time.
fn trade(shop: &mut Client, due_in: i64) -> i64 {
    shop.ask("SET stock:available:P 100");
    shop.ask("INV.RESERVE SOLD ITEMS P 3");
    shop.ask("INV.COMMIT SOLD");
    shop.ask("INV.RESERVE HELD EX 900 ITEMS P 5");
    let due = shop.now() + due_in;
    shop.ask(format!("INV.RESERVE DUE PXAT {due} ITEMS P 7"));
    due
}

#[test]
fn a_process_that_dies_loses_what_the_table_of_persistence_says() {
    for (options, kept) in [
        (&["appendonly yes", "appendfsync always"][..], Some((90, 7))),
        (&["appendonly yes", "appendfsync everysec"], Some((90, 7))),
        (&["appendonly yes", "appendfsync no"], Some((90, 7))),
        (&[], Some((95, 5))),
        (&[], None),
    ] {
        let (mut server, mut shop) = shop_with(options, &[("P", 100)]);
        shop.ask("INV.RESERVE HELD EX 900 ITEMS P 5");
        // Without an AOF, the data are here or nowhere.
        if options.is_empty() && kept.is_some() {
            shop.ask("SAVE");
        }
        shop.ask("INV.RESERVE SOLD ITEMS P 3");
        shop.ask("INV.COMMIT SOLD");
        shop.ask("INV.RESERVE LATER EX 900 ITEMS P 2");
        server.kill();
        server.start_again();
        let mut shop = server.connect();
        assert_eq!(shop.counters("P"), kept.unwrap_or((0, 0)), "{options:?}");
        if options.is_empty() {
            assert_eq!(code(&shop.refusal("INV.COMMIT LATER")), "NOTFOUND");
        } else {
            assert_eq!(shop.ask("INV.COMMIT LATER"), "OK", "{options:?}");
        }
    }
}

/// Repeats the sales after the backup, as the document says.
fn catch_up(shop: &mut Client) {
    assert_eq!(code(&shop.refusal("INV.COMMIT YOUNG")), "NOTFOUND");
    shop.ask("INV.RESERVE YOUNG ITEMS P 2");
    assert_eq!(shop.ask("INV.COMMIT YOUNG"), "OK");
    assert_eq!(shop.ask("INV.COMMIT HELD"), "OK");
    assert_eq!(shop.counters("P"), (90, 0));
    assert!(Books::read(shop).is_balanced());
}

/// Sales that the backup does not contain.
fn trade_on(shop: &mut Client) {
    shop.ask("INV.RESERVE YOUNG ITEMS P 2");
    shop.ask("INV.COMMIT YOUNG");
    shop.ask("INV.COMMIT HELD");
}

/// Makes a backup, sells more, and then lets a reservation that was live in the backup expire.
fn back_up_and_trade_on(machine: &Machine, server: &Server, shop: &mut Client, backup: &str) {
    let due = trade(shop, 1500);
    machine.run(backup, server);
    assert_eq!(shop.counters("P"), (85, 12), "nothing was overdue before the backup");
    trade_on(shop);
    sleep_past(due);
}

#[test]
fn a_backup_as_rdb_is_restored_as_the_document_says() {
    let (machine, [backup, _]) = (Machine::new(), blocks("Backup"));
    let [before, after, _] = blocks("Restore");
    let mut server = installed(&machine, &[]);
    let mut shop = server.connect();
    back_up_and_trade_on(&machine, &server, &mut shop, backup);
    server.shut_down();
    machine.run(before, &server);
    server.start_again();
    let mut shop = server.connect();
    // The load dropped the overdue reservation.
    wait_for("its units are back", SOON, (92, 5), || shop.counters("P"));
    assert_eq!(counted(&mut shop, "inv_repaired_units"), 7);
    assert_eq!(code(&shop.refusal("INV.COMMIT DUE")), "NOTFOUND");
    machine.run(after, &server);
    assert!(shop.ask("INV.AUDITSCAN 0")[1].as_array().expect("a list").is_empty());
    catch_up(&mut shop);

    // The AOF is on again, and complete.
    let contents = shop.contents();
    server.kill();
    server.start_again();
    let mut shop = server.connect();
    assert_eq!(shop.info("persistence", "aof_enabled"), "1");
    assert_same(&shop.contents(), &contents);
}

#[test]
fn a_server_with_the_aof_on_does_not_look_at_an_rdb() {
    let (machine, [backup, _]) = (Machine::new(), blocks("Backup"));
    let [before, _, _] = blocks("Restore");
    let mut server = installed(&machine, &[]);
    trade(&mut server.connect(), 60_000);
    machine.run(backup, &server);
    server.shut_down();
    let careless: Vec<&str> = before.lines().filter(|line| !line.starts_with("sed ")).collect();
    machine.run(&careless.join("\n"), &server);
    server.start_again();
    assert_eq!(server.connect().ask("DBSIZE"), 0, "this is why the document turns the AOF off");
}

#[test]
fn a_backup_as_aof_is_restored_as_the_document_says() {
    let (machine, [_, backup]) = (Machine::new(), blocks("Backup"));
    let [_, _, before] = blocks("Restore");
    let mut server = installed(&machine, &[]);
    let mut shop = server.connect();
    back_up_and_trade_on(&machine, &server, &mut shop, backup);
    assert_eq!(shop.ask("CONFIG GET auto-aof-rewrite-percentage")["auto-aof-rewrite-percentage"], "100");
    server.shut_down();
    machine.run(before, &server);
    server.start_again();
    let mut shop = server.connect();
    wait_for("what is due is back", SOON, (92, 5), || shop.counters("P"));
    assert_eq!(shop.ask("INV.GET DUE")["state"], "expired");
    assert!(shop.ask("INV.AUDITSCAN 0")[1].as_array().expect("a list").is_empty());
    catch_up(&mut shop);
}

#[test]
fn a_replica_follows_its_restored_master() {
    let (machine, [_, backup]) = (Machine::new(), blocks("Backup"));
    let [_, _, before] = blocks("Restore");
    let mut server = installed(&machine, &[]);
    let replica = server.replica();
    let mut shop = server.connect();
    trade(&mut shop, 60_000);
    machine.run(backup, &server);
    trade_on(&mut shop);
    replica.catch_up_with(&server);
    server.shut_down();
    machine.run(before, &server);
    server.start_again();
    replica.wait_for_master(&server);
    assert_eq!(replica.connect().counters("P"), (85, 12));
    assert_same_data(&mut server.connect(), &mut replica.connect());
}

/// The inode of the module file from which the server runs its code.
fn mapped(server: &Server) -> Option<String> {
    let pid = server.connect().info("server", "process_id");
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let line = maps.lines().find(|line| line.contains("libredis_inventory.so"))?;
    line.split_whitespace().nth(4).map(str::to_owned)
}

#[test]
fn a_new_module_is_moved_beside_a_running_server_and_taken_by_a_restart_or_a_load() {
    let (machine, [moved, _, loaded, _]) = (Machine::new(), blocks("Upgrade and downgrade"));
    let mut server = installed(&machine, &["inv.hold-ttl-ms 700000"]);
    let mut shop = server.connect();
    let due = trade(&mut shop, 1000);
    let first = mapped(&server);
    // The new version is in the folder in which the block is run; so is this copy.
    let come = |name: &str| {
        fs::rename(machine.install("arrived"), machine.path("module").join(name)).expect("a file")
    };
    let install = |server: &Server| {
        let block = moved.replacen("cp libredis_inventory.so", "cp arrived.so", 1);
        come("arrived.so");
        machine.run(&block, server);
    };
    install(&server);
    // The old code keeps running from a file that has no name any more.
    assert_eq!(mapped(&server), first);
    wait_until("the deadline has passed", SOON, || shop.now() > due);
    wait_for("what was due is back", SOON, (92, 5), || shop.counters("P"));

    let contents = shop.contents();
    server.shut_down();
    server.start_again();
    let mut shop = server.connect();
    let second = mapped(&server);
    assert!(second.is_none() || second != first, "{second:?}");
    assert_same(&shop.contents(), &contents);
    assert_eq!(shop.ask("CONFIG GET inv.hold-ttl-ms")["inv.hold-ttl-ms"], "700000");

    install(&server);
    machine.run(loaded, &server);
    let mut shop = server.connect();
    let third = mapped(&server);
    assert!(third.is_none() || third != second, "{third:?}");
    assert_eq!(shop.ask("CONFIG GET inv.hold-ttl-ms")["inv.hold-ttl-ms"], "600000");
    wait_for("the index is complete", SOON, 1, || counted(&mut shop, "inv_index_ready"));
    assert_eq!(shop.ask("INV.COMMIT HELD"), "OK");
    // Unless the load names them, options have their defaults, whatever the file says.
    shop.unload();
    shop.ask(format!("MODULE LOAD {}", machine.path("module/libredis_inventory.so").display()));
    assert_eq!(shop.ask("CONFIG GET inv.hold-ttl-ms")["inv.hold-ttl-ms"], "900000");
}

#[test]
fn a_replica_is_upgraded_and_takes_the_place_of_its_master() {
    let (machine, [_, swap, _, _]) = (Machine::new(), blocks("Upgrade and downgrade"));
    let mut master = installed(&machine, &["repl-diskless-sync-delay 0"]);
    let follow = format!("replicaof 127.0.0.1 {}", master.port());
    let other_machine = Machine::new();
    let mut replica = installed(&other_machine, &[&follow]);
    replica.wait_for_master(&master);
    let mut shop = master.connect();
    let due = trade(&mut shop, 3000);
    replica.catch_up_with(&master);

    // Each uses the file that it finds when it starts. A server refuses to end while it writes its first AOF.
    replica.wait_for_info("persistence", "aof_rewrite_in_progress", "0");
    replica.shut_down();
    replica.start_again();
    machine.run_with(swap, &master, Some(&replica));
    let mut promoted = replica.connect();
    assert_eq!(promoted.info("replication", "role"), "master");
    assert_eq!(promoted.ask("INV.COMMIT HELD"), "OK");
    master.wait_for_master(&replica);
    master.wait_for_info("persistence", "aof_rewrite_in_progress", "0");
    master.shut_down();
    master.start_again();
    master.wait_for_master(&replica);
    assert_eq!(master.connect().info("replication", "role"), "slave", "even after its restart");
    wait_until("the deadline has passed", LATER, || promoted.now() > due);
    wait_for("what was due is back", SOON, (92, 0), || promoted.counters("P"));
    master.catch_up_with(&replica);
    assert_same_data(&mut promoted, &mut master.connect());
}

#[test]
fn before_a_downgrade_the_aof_holds_plain_keys_alone() {
    let (machine, [_, _, _, down]) = (Machine::new(), blocks("Upgrade and downgrade"));
    for preamble in ["yes", "no"] {
        let mut server = installed(&machine, &[]);
        let mut shop = server.connect();
        shop.ask(format!("CONFIG SET aof-use-rdb-preamble {preamble}"));
        trade(&mut shop, 60_000);
        let contents = shop.contents();
        machine.run(down, &server);
        wait_until("it has ended", LATER, || server.has_ended());
        let folder = server.folder().join("appendonlydir");
        for file in fs::read_dir(folder).expect("an AOF").map(|file| file.expect("a file").path()) {
            let bytes = fs::read(&file).expect("a file");
            assert!(!bytes.windows(9).any(|word| word == b"INV.APPLY"), "{}", file.display());
        }
        server.start_again();
        assert_same(&server.connect().contents(), &contents);
    }
}

/// The users of redis.conf with commands of the module, as active lines.
fn users() -> Vec<String> {
    let hash = "0".repeat(64);
    let lines = include_str!("../../redis.conf").lines().filter_map(|line| line.strip_prefix("# user "));
    let lines = lines.filter(|line| line.contains("+inv."));
    lines.map(|line| format!("user {}", line.replace("SHA-256-OF-A-PASSWORD", &hash))).collect()
}

#[test]
fn it_is_uninstalled_as_the_document_says_and_leaves_every_unit_where_it_was() {
    let (machine, [settle, remove, acl, unload, rewrite, lines]) = (Machine::new(), blocks("Uninstalling"));
    let users = users();
    let mut options = vec!["inv.hold-ttl-ms 700000", "inv.max-items 1000", "inv.feed-maxlen 1000"];
    options.extend(users.iter().map(String::as_str));
    let mut server = installed(&machine, &options);
    let replica = server.replica();
    let mut shop = server.connect();
    trade(&mut shop, 60_000);
    shop.ask("INV.THRESHOLD P 5");
    shop.ask("INV.WAREHOUSES Q SET A 1");
    shop.ask("INV.ADJUST Q@A 10");
    shop.ask("INV.RESERVE PLACE ITEMS Q@A 2");
    shop.ask("INV.ADJUST L 10");
    shop.ask("INV.FLOOR L 1");
    shop.ask("INV.LIMIT L 2");
    shop.ask("INV.RESERVE BOUGHT BUYER ann ITEMS L 1");
    shop.ask("INV.COMMIT BOUGHT");
    // More reservations than a page of the walk, and an id with all characters that are special in a shell.
    shop.ask("INV.ADJUST S 5000");
    let many: Vec<String> = (0..1500).map(|n| format!("INV.RESERVE R{n} ITEMS S 1")).collect();
    shop.burst(&many);
    shop.ask(["INV.RESERVE", " an id * $HOME \" '", "ITEMS", "P", "1"]);
    assert_eq!(counted(&mut shop, "inv_holds"), 1504);

    machine.run(settle, &server);
    assert_eq!(shop.counters("P"), (97, 0));
    assert!(shop.ask("INV.AUDITSCAN 0")[1].as_array().expect("a list").is_empty());
    machine.run(remove, &server);
    machine.run(acl, &server);
    machine.run(unload, &server);
    machine.run(rewrite, &server);
    // The unload has closed the connection of a client whose last command was the module's.
    let mut shop = server.connect();
    let contents = shop.contents();
    let left = contents
        .keys()
        .filter_map(|key| key.strip_prefix("0 "))
        .filter(|key| !["stock:", "inventory:outcome:", "alert:"].iter().any(|known| key.starts_with(known)));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
    let others: Vec<&String> = contents
        .keys()
        .filter(|key| {
            key.contains(" stock:")
                && (!key.contains(":available:") && !key.contains(":reserved:") || key.contains("@@"))
        })
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(shop.counters("L"), (9, 0));

    machine.run(lines, &server);
    let file = fs::read_to_string(server.configuration()).expect("the file");
    assert!(!file.contains("inv."), "{file}");
    server.shut_down();
    server.start_again();
    let mut shop = server.connect();
    assert!(shop.refusal("INV.STOCK P").contains("unknown command"));
    assert_same(&shop.contents(), &contents);
    // The replica still has the module, and follows: it receives only plain commands.
    replica.wait_for_master(&server);
    shop.ask("DECRBY stock:available:P 1");
    replica.catch_up_with(&server);
    assert_eq!(replica.connect().counters("P"), (96, 0));
}

#[test]
fn config_rewrite_after_an_unload_removes_what_would_prevent_a_start() {
    let (machine, [_, _, acl, unload, _, _]) = (Machine::new(), blocks("Uninstalling"));
    let users = users();
    let options: Vec<&str> =
        ["inv.max-items 7"].into_iter().chain(users.iter().map(String::as_str)).collect();
    let mut server = installed(&machine, &options);
    machine.run(acl, &server);
    machine.run(unload, &server);
    server.connect().ask("CONFIG REWRITE");
    server.shut_down();
    server.start_again();
    assert!(server.connect().refusal("INV.STOCK P").contains("unknown command"));
}

#[test]
fn with_its_lines_or_its_aof_left_the_server_does_not_start_without_the_module() {
    for (line, said) in [
        ("inv.hold-ttl-ms 1000", "Module Configuration detected without loadmodule"),
        ("user checkout on nopass ~* +inv.reserve", "checkout"),
    ] {
        let log = Server::refused_start(server_program(), &[line]);
        assert!(log.contains(said), "{line}: {log}");
    }
    // An AOF with the module's own command.
    let (mut server, mut shop) = shop_with(&["appendonly yes"], &[("P", 10)]);
    shop.ask("INV.RESERVE R ITEMS P 1");
    server.kill();
    let log = server.folder().join("refused.log");
    let lines = [format!("dir {}", server.folder().display()), format!("logfile {}", log.display())];
    Server::refused_start(server_program(), &[&lines[0], &lines[1], "appendonly yes"]);
    let log = fs::read_to_string(log).expect("a log");
    assert!(log.to_lowercase().contains("unknown command 'inv.apply'"), "{log}");
}

#[test]
fn what_is_live_when_the_module_goes_stays_reserved_until_it_is_back() {
    let machine = Machine::new();
    let server = installed(&machine, &[]);
    let mut shop = server.connect();
    let due = trade(&mut shop, 300);
    shop.unload();
    wait_until("the record has gone", LATER, || shop.now() > due && shop.ask("EXISTS reservation:DUE") == 0);
    assert_eq!(shop.counters("P"), (85, 12));
    shop.ask(format!("MODULE LOAD {}", machine.path("module/libredis_inventory.so").display()));
    // Another client may have written the counters in the meantime, so it is only reported, for the operator to decide.
    wait_for("it is reported", SOON, 7, || counted(&mut shop, "inv_unexplained_units"));
    assert_eq!(shop.ask("INV.AUDITSCAN 0")[1][0]["drift"], 7);
    shop.ask("INV.REPAIR P FORCE");
    assert_eq!(shop.counters("P"), (92, 5));
}

#[test]
fn an_evicted_counter_is_set_right_by_a_count_and_a_repair() {
    for gone in ["available", "reserved"] {
        let (_server, mut shop) = shop_with(&[], &[("P", 100)]);
        shop.ask("INV.RESERVE R EX 900 ITEMS P 5");
        shop.ask(format!("DEL stock:{gone}:P"));
        shop.ask("INV.SET P ONHAND 100");
        shop.ask("INV.REPAIR P");
        assert_eq!(shop.counters("P"), (95, 5), "{gone}");
        assert_eq!(shop.ask("INV.COMMIT R"), "OK", "{gone}");
    }
}

#[test]
fn the_counters_of_buyers_are_deleted_as_the_document_says() {
    let (machine, [delete]) = (Machine::new(), blocks("Memory"));
    let (server, mut shop) = shop_with(&[], &[("PS5", 10), ("OTHER", 10)]);
    for (id, product, buyer) in
        [("R1", "PS5", "cust7"), ("R2", "PS5", r#"a "b" \c"#), ("R3", "OTHER", "cust7")]
    {
        shop.ask(["INV.LIMIT", product, "2"]);
        shop.ask(["INV.RESERVE", id, "BUYER", buyer, "ITEMS", product, "1"]);
    }
    machine.run(delete, &server);
    let kept = shop.ask("KEYS *@@*");
    let kept: Vec<&str> = kept.as_array().expect("an array").iter().filter_map(Json::as_str).collect();
    assert!(kept.len() == 2 && kept.iter().all(|key| key.ends_with(":OTHER@@cust7")), "{kept:?}");
    assert_eq!(shop.ask("INV.QUOTA PS5 cust7")["left"], 2);
    assert_eq!(shop.counters("PS5"), (8, 2));
}

/// The memory of one item, measured in a separate server, so that growing hash tables of another kind are not counted.
fn bytes_of_one(prepared: &dyn Fn(usize) -> String, command: &dyn Fn(usize) -> Vec<String>) -> i64 {
    const COUNT: usize = 20_000;
    let (_server, mut shop) = shop_with(&["inv.low-stock-threshold 0", "inv.alert-cooldown-ms 0"], &[]);
    let mut run = |commands: Vec<String>| {
        for reply in shop.burst(&commands) {
            assert!(!reply.as_str().is_some_and(|text| text.starts_with('-')), "{reply}");
        }
        shop.info("memory", "used_memory").parse::<i64>().expect("a number")
    };
    let mut before = run((0..5).map(|n| format!("INV.ADJUST HOT-{n} 10000000")).collect());
    let slices: Vec<_> = (0..COUNT).step_by(1000).map(|first| first..first + 1000).collect();
    for slice in &slices {
        before = run(slice.clone().map(prepared).collect());
    }
    let mut after = before;
    for slice in slices {
        after = run(slice.flat_map(command).collect());
    }
    (after - before) / i64::try_from(COUNT).expect("a number")
}

#[test]
fn the_table_of_memory_is_what_is_used_or_a_bit_more() {
    let rows: Vec<i64> = DOCUMENT
        .lines()
        .skip_while(|line| *line != "| what | bytes | lives |")
        .skip(2)
        .map_while(|line| line.split('|').nth(2)?.trim().parse().ok())
        .collect();
    let [product, held, line, outcome, once, alert, quota, threshold, entry] = rows[..] else {
        panic!("nine rows: {rows:?}")
    };
    let nothing = |_: usize| "PING".to_owned();
    // A product that was ever reserved has a reserved counter of 0.
    let both = |n: usize| format!("MSET stock:available:PROD-{n:06} 100 stock:reserved:PROD-{n:06} 0");
    let five = |n: usize| {
        vec![format!("INV.RESERVE FIVE-{n:06} EX 3600 ITEMS HOT-0 1 HOT-1 1 HOT-2 1 HOT-3 1 HOT-4 1")]
    };
    let done =
        |n: usize| vec![format!("INV.RESERVE DONE-{n:06} ITEMS HOT-0 1"), format!("INV.COMMIT DONE-{n:06}")];
    let feed = |n: usize| {
        vec![if n == 0 { "CONFIG SET inv.feed-maxlen 1000000" } else { "INV.ADJUST HOT-0 1" }.to_owned()]
    };
    let of_buyer = |n: usize| {
        vec![format!(
            "MSET stock:available:PROD-000001@@cust-{n:06} -2 stock:reserved:PROD-000001@@cust-{n:06} 0"
        )]
    };
    let checks: [(&str, i64, i64); 9] = [
        ("a product", product, bytes_of_one(&nothing, &|n| vec![both(n)])),
        (
            "a reservation",
            held,
            bytes_of_one(&nothing, &|n| vec![format!("INV.RESERVE ORDER-{n:06} EX 3600 ITEMS HOT-0 1")]),
        ),
        ("one of five lines", held + 4 * line, bytes_of_one(&nothing, &five)),
        ("an outcome", outcome, bytes_of_one(&nothing, &done)),
        (
            "an answer of ONCE",
            once,
            bytes_of_one(&nothing, &|n| vec![format!("INV.ADJUST HOT-0 1 ONCE token-{n:06}")]),
        ),
        ("an alert", alert, bytes_of_one(&both, &|n| vec![format!("INV.SET PROD-{n:06} AVAILABLE 0")])),
        ("a quota", quota, bytes_of_one(&nothing, &of_buyer)),
        ("a threshold", threshold, bytes_of_one(&both, &|n| vec![format!("INV.THRESHOLD PROD-{n:06} 5")])),
        ("an entry of the feed", entry, bytes_of_one(&nothing, &feed)),
    ];
    for (what, documented, used) in checks {
        println!("{what}: {used} bytes, {documented} in the document");
    }
    for (what, documented, used) in checks {
        assert!((documented / 2..=documented).contains(&used), "{what}: {used} bytes, not {documented}");
    }
}
