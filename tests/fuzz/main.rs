//! Runs the targets of `make fuzz` once on each of their seeds, without libFuzzer.
//!
//! An input that causes a crash is kept as another seed, named after what it showed.

#[allow(dead_code, reason = "a line is one call of many here")]
#[path = "../engine/calls.rs"]
mod calls;
#[allow(dead_code, reason = "nothing is set for a run, and nothing drawn by proptest")]
#[path = "../common/dice.rs"]
mod dice;
#[allow(dead_code, reason = "lives have no end at a moment here")]
#[path = "../common/lines.rs"]
mod lines;
#[allow(dead_code, reason = "its clusters are not played here")]
#[path = "../engine/simulation.rs"]
mod simulation;

mod arguments;
mod commands;
mod stored_json;
mod words;

use std::fs;
use std::path::Path;

use dice::Dice;
use lines::{Life, Lines, Mix};

/// Runs `check` on every seed of a target.
fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Visible if the test fails.
        println!("{}", path.display());
        check(&fs::read(&path).unwrap());
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds in {}", folder.display());
}

#[test]
fn no_stored_value_is_parsed_wrongly() {
    run("stored_json", stored_json::check);
}

#[test]
fn no_arguments_are_read_wrong() {
    run("arguments", arguments::check);
}

#[test]
fn no_history_breaks_an_invariant() {
    run("commands", commands::check);
}

/// The histories that are drawn by this program, with which libFuzzer's start.
#[test]
fn no_history_that_is_drawn_breaks_an_invariant() {
    const ORDERS: &[(u64, &str)] = &[
        (2, "RESTART"),
        (2, "RESTART RDB"),
        (2, "FAILOVER"),
        (1, "RELOAD"),
        (1, "LOAD"),
        (2, "WALK 5"),
        (1, "PAUSE"),
        (1, "IMPORT"),
        (1, "BUSY"),
        (3, "GO"),
        (1, "SWEEP 1"),
        (3, "MULTI"),
        (3, "EXEC"),
        (1, "WAIT -1000"),
        (1, "CONFIG outcome-ttl-ms 0"),
        (1, "CONFIG outcome-ttl-ms 100"),
        (1, "CONFIG load-repair 2"),
    ];
    let mix = Mix { calls: 12, time: 4, hands: 6, operator: 3, orders: ORDERS };
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let life = |dice: &mut Dice| Life::For(dice.up_to(200));
        let mut lines = if dice.one_in(2) { Lines::of_few(5, life) } else { Lines::new(life) };
        let stock = "INV.SET P AVAILABLE 15\nINV.SET Q AVAILABLE 9\nINV.WAREHOUSES W SET north 1 south 2\nINV.SET W@north AVAILABLE 8\n";
        let history: Vec<String> = (0..60).map(|_| lines.draw(&mut dice, &mix).join(" ")).collect();
        let history = format!("{stock}{}", history.join("\n"));
        // Visible if the test fails.
        println!("--- {seed}\n{history}");
        commands::check(history.as_bytes());
    }
}
