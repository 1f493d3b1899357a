//! A panic anywhere in the module is caught, logged with its location and answered, and the server keeps running. These tests
//! build the module with the feature `faults`: after `CONFIG SET inv.panic-in 7`, the module panics at its seventh call into the
//! server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::{
    Client, Json, LATER, SOON, Server, code, server_program, wait_for, wait_until, wire_code,
};

/// The module with faults. The scripts build it before the tests and pass its path; with plain cargo, the tests build it.
fn module() -> &'static Path {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(|| std::env::var_os("INV_FAULTS_MODULE").map_or_else(build, PathBuf::from))
}

/// Builds it in a folder of its own, beside the module without faults.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/faults");
    let built = Command::new(root.join("scripts/cargo.sh"))
        .args(["build", "--lib", "--features", "faults", "--target-dir"])
        .arg(&folder)
        .output()
        .expect("a shell");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder.join(format!(
        "debug/{}redis_inventory{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ))
}

fn start(options: &[&str]) -> Server {
    let load = format!("loadmodule {}", module().display());
    Server::start_without_module(server_program(), &[&[load.as_str()], options].concat())
}

fn panics(shop: &mut Client) -> i64 {
    shop.info("inv", "inv_panics_total").parse().expect("a number")
}

#[track_caller]
fn is_ready(shop: &mut Client) {
    wait_for("the index is rebuilt", LATER, "1".to_owned(), || shop.info("inv", "inv_index_ready"));
}

/// Asserts that the module knows its reservations again, sells, and releases on time.
#[track_caller]
fn works(shop: &mut Client) {
    is_ready(shop);
    shop.ask("INV.SET PROOF AVAILABLE 5");
    let before = shop.counters("PROOF");
    let id = format!("proof-{}", shop.now());
    shop.ask(format!("INV.RESERVE {id}-a PX 60 ITEMS PROOF 2"));
    shop.ask(format!("INV.RESERVE {id}-b ITEMS PROOF 1"));
    shop.ask(format!("INV.ROLLBACK {id}-b"));
    wait_for("what was due is back", SOON, before, || shop.counters("PROOF"));
}

/// Each command, for a shop that is set up anew for it.
const COMMANDS: [&str; 33] = [
    "INV.RESERVE R ITEMS P 2 Q 1",
    "INV.RESERVE R DATA text ONCE t ITEMS W 4 P 1",
    "INV.RESERVE LIVE ITEMS P 2 Q 1",
    "INV.RESERVE R ITEMS P 1000",
    "INV.REPLACE LIVE LIVE ITEMS P 3 W 2",
    "INV.REPLACE LIVE R DATA text PARTIAL ONCE t ITEMS P 1 Q 9 NONE 1",
    "INV.REPLACE NOBODY R ITEMS P 1",
    "INV.COMMIT LIVE",
    "INV.COMMIT LIVE ITEMS P 1",
    "INV.COMMIT NOBODY",
    "INV.ROLLBACK LIVE",
    "INV.ROLLBACK LIVE ONCE t ITEMS P 1",
    "INV.EXTEND LIVE PX 5000",
    "INV.GET LIVE",
    "INV.STOCK P W",
    "INV.SCAN 0",
    "INV.ALERTS",
    "INV.AUDIT P",
    "INV.AUDITSCAN 0",
    "INV.STOCKSCAN 0 LOW",
    "INV.SCAN 0 MATCH * FULL",
    "INV.ROLLBACK NEVER FENCE",
    "INV.REPAIR DRIFT FORCE",
    "INV.ADJUST P 5",
    "INV.SET P ONHAND 50",
    "INV.THRESHOLD P 3",
    "INV.FLOOR P 3",
    "INV.LIMIT Q 3",
    "INV.RESERVE R BUYER ann ITEMS P 1 LIMITED 2",
    "INV.ROLLBACK OF-ANN",
    "INV.REPLACE OF-ANN OF-ANN BUYER bob ITEMS LIMITED 1",
    "INV.TRANSFER W north south 1",
    "INV.WAREHOUSES W SET west 3",
];

/// Units on hand, by the skus that share them.
const UNITS: [(&[&str], i64); 4] =
    [(&["P"], 20), (&["Q"], 20), (&["LIMITED"], 20), (&["W@north", "W@south"], 6)];

fn lay_out(shop: &mut Client) {
    shop.ask("FLUSHALL");
    for step in [
        "INV.WAREHOUSES W SET north 1 south 2",
        "INV.SET W@north AVAILABLE 3",
        "INV.SET W@south AVAILABLE 3",
        "INV.SET P AVAILABLE 20",
        "INV.SET Q AVAILABLE 20",
        "INV.RESERVE LIVE ITEMS P 2 Q 1",
        "INV.SET LIMITED AVAILABLE 20",
        "INV.LIMIT LIMITED 5",
        "INV.RESERVE OF-ANN BUYER ann ITEMS LIMITED 3",
        "SET stock:reserved:DRIFT 3",
    ] {
        shop.ask(step);
    }
}

/// Runs `command` with a panic at the call with this number. Returns the reply.
fn run(shop: &mut Client, command: &str, call: i64) -> Json {
    // In one transaction, so that nothing else makes calls in between.
    let arm = format!("CONFIG SET inv.panic-in {call}");
    let replies = shop.burst(&["MULTI", &arm, command, "CONFIG SET inv.panic-in 0", "EXEC"]);
    replies[4][1].clone()
}

#[test]
fn a_panic_at_any_call_of_any_command_is_answered_and_the_server_keeps_running() {
    let server = start(&["appendonly yes"]);
    let mut shop = server.connect();
    let (mut caught, mut answered) = (0, 0);
    for command in COMMANDS {
        lay_out(&mut shop);
        let good = run(&mut shop, command, 0);
        for call in 1.. {
            assert!(call < 1000, "{command} never stops making calls");
            lay_out(&mut shop);
            let before = panics(&mut shop);
            let reply = run(&mut shop, command, call);
            let panicked = panics(&mut shop) - before;
            assert!(panicked <= 1, "{command}, call {call}: {panicked} panics");
            caught += panicked;
            if panicked == 0 {
                assert_eq!(wire_code(&reply), wire_code(&good), "{command}: {reply}");
                break;
            }
            // A panic after the reply, while its keys are closed, does not show in it.
            if reply.to_string().contains("ERR a fault of the module") {
                answered += 1;
            } else {
                assert_eq!(wire_code(&reply), wire_code(&good), "{command}, call {call}: {reply}");
            }
            // No unit is duplicated, whatever was interrupted.
            let more = match command {
                "INV.ADJUST P 5" => 5,
                "INV.SET P ONHAND 50" => 30,
                _ => 0,
            };
            for (skus, units) in UNITS {
                let counters = skus.iter().map(|sku| shop.counters(sku));
                let sum: i64 = counters.map(|(available, reserved)| available + reserved).sum();
                let most = if skus == ["P"] { units + more } else { units };
                assert!(sum <= most, "{command}, call {call}: {skus:?} have {sum} of {most} units");
            }
        }
        works(&mut shop);
    }
    assert!(caught > 300, "{caught} panics");
    assert!(answered * 2 > caught, "{answered} of {caught} were answered");
    let log = server.log();
    let told = log.lines().filter(|line| line.contains("inv: a fault of the module was caught in"));
    assert_eq!(i64::try_from(told.clone().count()).expect("few"), caught);
    let place = |line: &str| line.contains("src/server/faults.rs:") && line.contains("injected");
    assert!(told.clone().all(place), "a place is missing");
    assert!(told.clone().any(|line| line.contains("caught in INV.RESERVE,")), "no command is named");
}

#[test]
fn a_panic_in_the_midst_of_a_reply_leaves_the_connection_in_step() {
    let server = start(&[]);
    let mut shop = server.connect();
    let mut mended = 0;
    for command in ["INV.GET LIVE", "INV.STOCK P W", "INV.SCAN 0", "INV.AUDIT P", "INV.RESERVE R ITEMS P 1"] {
        for call in 1..200 {
            lay_out(&mut shop);
            shop.burst(&[&format!("CONFIG SET inv.panic-in {call}"), command, "CONFIG SET inv.panic-in 0"]);
            // The connection is in sync: the next reply belongs to the next command.
            assert_eq!(shop.ask("ECHO next"), "next", "{command}, call {call}");
            let reply = run(&mut shop, command, call);
            if (reply.is_array() || reply.is_object()) && reply.to_string().contains("a fault of the module")
            {
                mended += 1;
            }
            assert_eq!(shop.ask("ECHO next"), "next", "{command}, call {call}");
        }
    }
    assert!(mended > 5, "{mended} replies were replaced");
    works(&mut shop);
}

#[test]
fn a_panic_in_an_event_or_a_job_ends_neither_the_server_nor_what_the_module_knows() {
    let server = start(&["hz 100", "inv.sweep-budget-us 100000"]);
    let mut shop = server.connect();
    let events: [(&str, &[&str]); 9] = [
        ("a record is deleted", &["DEL reservation:LIVE"]),
        ("a record is overwritten", &["SET reservation:LIVE foreign"]),
        ("a record comes back", &["RENAME reservation:LIVE kept", "RENAME kept reservation:LIVE"]),
        ("a deadline passes", &["PEXPIRE reservation:LIVE 1"]),
        ("a counter changes", &["SET stock:available:P 1"]),
        ("a threshold changes", &["SET stock:threshold:P 30"]),
        ("a swap", &["SWAPDB 0 1", "SWAPDB 0 1"]),
        ("a flush", &["FLUSHDB"]),
        ("a load", &["DEBUG RELOAD"]),
    ];
    let mut caught = 0;
    for (what, commands) in events {
        for call in 1..=60 {
            lay_out(&mut shop);
            shop.ask(format!("CONFIG SET inv.panic-in {call}"));
            for command in commands {
                shop.ask(command);
            }
            // The cron makes calls as well, and reaches the panic if the event does not.
            wait_until(what, LATER, || shop.ask("CONFIG GET inv.panic-in")["inv.panic-in"] == "0");
            caught += 1;
            is_ready(&mut shop);
            // The cron succeeds once: only consecutive panics make the module pause.
            shop.ask("INV.SET PROOF AVAILABLE 1");
            shop.ask("INV.RESERVE proof PX 1 ITEMS PROOF 1");
            wait_for("what was due is back", SOON, (1, 0), || shop.counters("PROOF"));
            assert_eq!(panics(&mut shop), caught, "{what}, call {call}");
        }
        works(&mut shop);
    }
    let log = server.log();
    for place in
        ["the event of a removed key", "a keyspace notification", "the cron", "the job after a command"]
    {
        assert!(log.contains(&format!("caught in {place},")), "none of {caught} in {place}");
    }
    lay_out(&mut shop);
    works(&mut shop);
    // INV.AUDIT shows a change that was only half done.
    assert_eq!(shop.ask("INV.AUDIT P")["drift"], 0);
}

#[test]
fn a_panic_that_comes_again_and_again_makes_the_module_rest_and_then_go_on() {
    let server = start(&["hz 100"]);
    let mut shop = server.connect();
    lay_out(&mut shop);
    // No other program holds units here.
    shop.ask("DEL stock:reserved:DRIFT");
    shop.ask("SET inventory:managed plain");
    shop.ask("INV.RESERVE DUE PX 1 ITEMS P 1");
    let rests = |server: &Server| server.log().contains("this happens repeatedly");
    // Consecutive panics, as if the cause were met each time.
    while !rests(&server) {
        assert!(panics(&mut shop) < 100, "it does not pause");
        shop.ask("CONFIG SET inv.panic-in 1");
        wait_until("it panics", LATER, || shop.ask("CONFIG GET inv.panic-in")["inv.panic-in"] == "0");
    }
    assert_eq!(shop.ask("INV.COMMIT LIVE"), "OK", "commands still work");
    assert_eq!(code(&shop.refusal("INV.AUDIT P")), "TRYAGAIN");
    works(&mut shop);
    wait_for("what was due is back", SOON, (18, 0), || shop.counters("P"));
}

#[test]
fn a_panic_in_a_script_is_an_error_of_its_call() {
    let server = start(&[]);
    let mut shop = server.connect();
    lay_out(&mut shop);
    shop.ask("CONFIG SET inv.panic-in 1");
    let script =
        "local reply = redis.pcall('INV.GET', KEYS[1]) return {reply.err or 'none', redis.call('PING')}";
    let reply = shop.ask(["EVAL", script, "1", "LIVE"]);
    // The cron may have reached it first.
    assert!(reply[0].as_str().is_some_and(|text| text.contains("a fault") || text == "none"), "{reply}");
    assert_eq!(panics(&mut shop), 1);
    works(&mut shop);
}

#[test]
fn the_continuous_audit_sees_a_write_of_which_the_module_did_not_hear_also_where_nothing_is_held() {
    let server = start(&[]);
    let mut shop = server.connect();
    shop.ask("INV.SET P AVAILABLE 5");
    shop.ask("INV.RESERVE R ITEMS P 2");
    shop.ask("INV.ROLLBACK R");
    shop.ask("SELECT 3");
    shop.ask("INV.SET Q AVAILABLE 5");
    for (db, sku) in [(0, "P"), (3, "Q")] {
        shop.ask(format!("SELECT {db}"));
        shop.ask("CONFIG SET inv.deaf 1");
        shop.ask(format!("INCRBY stock:reserved:{sku} 2"));
        shop.ask("CONFIG SET inv.deaf 0");
    }
    wait_for("both are found", 2 * LATER, ["2", "4"].map(str::to_owned), || {
        ["skus", "units"].map(|what| shop.info("inv", &format!("inv_drift_{what}")))
    });
}
