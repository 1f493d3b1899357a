//! The commands to compare: the same operation by the module and by its rivals.

use crate::harness::{Client, Json, Server};
use crate::load::{Figures, JSON, Load, MANY, empty, fill_products, set_of_the_record, words};
use crate::lua;
use crate::scripts::{LUA_COMMIT, LUA_RESERVE, LUA_ROLLBACK};

/// Who carries out an operation.
pub const MODULE: &str = "module";
pub const LUA: &str = "Lua";
pub const AS_MUCH: &str = "Lua that does as much";
pub const REMEMBERS: &str = "Lua that remembers";
pub const SERVER: &str = "server";

/// Operations with a target or a bar in the charts.
pub const RESERVE: &str = "RESERVE";
pub const RESERVE_5: &str = "RESERVE, 5 lines";
pub const RESERVE_MILLION: &str = "RESERVE, a million products";
pub const COMMIT: &str = "COMMIT";
pub const ROLLBACK: &str = "ROLLBACK";
pub const PING: &str = "PING";

/// The number of reservations in a call on many.
const BATCH: usize = 1000;

/// The number of products over which the load is spread evenly.
const PRODUCTS: usize = 1_000_000;

/// A command and its name in INFO commandstats.
#[derive(Clone)]
struct Step {
    command: Vec<String>,
    counted_as: &'static str,
}

impl Step {
    fn new(line: &str) -> Self {
        let command = words(line);
        let counted_as = match command[0].as_str() {
            "INV.RESERVE" => "INV.RESERVE",
            "INV.COMMIT" => "INV.COMMIT",
            "INV.ROLLBACK" => "INV.ROLLBACK",
            "INV.MRESERVE" => "INV.MRESERVE",
            "INV.MCOMMIT" => "INV.MCOMMIT",
            "INV.MROLLBACK" => "INV.MROLLBACK",
            "INCRBY" => "incrby",
            "INCREX" => "increx",
            "PING" => "ping",
            other => panic!("{other} has no name in INFO commandstats here"),
        };
        Self { command, counted_as }
    }

    fn script(sha: &str, keys: &str, arguments: &[&str]) -> Self {
        let keys = words(keys);
        let mut command = words(&format!("EVALSHA {sha} {}", keys.len()));
        command.extend(keys);
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Self { command, counted_as: "evalsha" }
    }
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measured {
    /// The last step.
    Last,
    /// All steps, which count as one operation.
    All,
}

/// An operation, carried out by the module or a rival.
pub struct Contender {
    pub operation: &'static str,
    pub by: &'static str,
    /// The steps run one after the other, each as often and with the same random numbers.
    steps: Vec<Step>,
    measured: Measured,
    over_products: bool,
    /// The number of operations in one call. Calls on many are sent without a pipeline.
    in_a_call: usize,
    /// Whether it is measured with pipeline 32 and AOF off or everysec only.
    pub is_special: bool,
}

impl Contender {
    fn new(operation: &'static str, by: &'static str, steps: &[&Step]) -> Self {
        Self {
            operation,
            by,
            steps: steps.iter().map(|&step| step.clone()).collect(),
            measured: Measured::Last,
            over_products: false,
            in_a_call: 1,
            is_special: false,
        }
    }

    fn special(self) -> Self {
        Self { is_special: true, ..self }
    }

    fn in_calls_of(self, in_a_call: usize) -> Self {
        Self { in_a_call, ..self }
    }

    fn all_steps(self) -> Self {
        Self { measured: Measured::All, ..self }
    }

    fn over_products(self) -> Self {
        Self { over_products: true, is_special: true, ..self }
    }

    pub fn measure(&self, server: &Server, requests: usize, pipeline: usize, seed: usize) -> Figures {
        empty(server);
        let mut client = server.connect();
        for line in 0..20 {
            client.ask(format!("SET stock:available:L{line} 1000000000"));
        }
        if self.over_products {
            fill_products(&mut client, PRODUCTS);
        }
        let range = if self.over_products { PRODUCTS } else { MANY };
        let calls = (requests / self.in_a_call).max(1);
        let pipeline = if self.in_a_call > 1 { 1 } else { pipeline };
        let load = Load { requests: calls, pipeline, range, seed };
        let run = |step: &Step| load.run(server, &step.command, step.counted_as).of_each(self.in_a_call);
        let figures: Vec<Figures> = self.steps.iter().map(run).collect();
        match self.measured {
            Measured::Last => figures[figures.len() - 1],
            Measured::All => figures.into_iter().reduce(Figures::followed_by).unwrap(),
        }
    }
}

/// `INV.RESERVE` of `lines` lines, with a new id each time.
fn reserve(lines: usize) -> Step {
    let items: Vec<String> = (0..lines).map(|line| format!("L{line} 1")).collect();
    Step::new(&format!("INV.RESERVE r__rand_int__ EX 900 ITEMS {}", items.join(" ")))
}

fn has_command(client: &mut Client, name: &str) -> bool {
    client.ask(["COMMAND", "INFO", name]).as_array().is_some_and(|found| found[0] != Json::Null)
}

/// All contenders, each rival after the module's command for the same operation. `plain` is the rivals' server.
pub fn contenders(plain: &mut Client) -> Vec<Contender> {
    let mut load = |text: &str| plain.ask(["SCRIPT", "LOAD", text]).as_str().unwrap().to_owned();
    let lua_lines = load(lua::RESERVE_LINES);
    let lua_lines = |count: usize| {
        let pairs: Vec<String> =
            (0..count).map(|line| format!("stock:available:L{line} stock:reserved:L{line}")).collect();
        let keys = format!("reservation:r__rand_int__ {}", pairs.join(" "));
        Step::script(&lua_lines, &keys, &["1", JSON, "900"])
    };
    let lua_sha = load(LUA_RESERVE);
    let lua_reserve = Step::script(
        &lua_sha,
        "stock:available:L0 stock:reserved:L0 reservation:r__rand_int__",
        &["1", JSON, "900"],
    );
    // Two numbers make an id that is not repeated, although there are few products.
    let lua_over_products = Step::script(
        &lua_sha,
        "stock:available:__rand_int__ stock:reserved:__rand_int__ reservation:__rand_int____rand_int__",
        &["1", JSON, "900"],
    );
    let lua_as_much = Step::script(
        &load(lua::RESERVE_AS_MUCH),
        "reservation:r__rand_int__ deadlines stock:available:L0 stock:reserved:L0",
        &["1", "L0", "900"],
    );
    let mut usual_end = |text: &str| {
        Step::script(&load(text), "stock:available:L0 stock:reserved:L0 reservation:r__rand_int__", &["1"])
    };
    let (lua_commit, lua_rollback) = (usual_end(LUA_COMMIT), usual_end(LUA_ROLLBACK));
    let remembered = "stock:reserved:L0 reservation:r__rand_int__";
    let commit_remembers = Step::script(&load(lua::COMMIT_THAT_REMEMBERS), remembered, &["1"]);
    let rollback_remembers = Step::script(
        &load(lua::ROLLBACK_THAT_REMEMBERS),
        &format!("{remembered} stock:available:L0"),
        &["1"],
    );

    let reserve_many =
        Step::new(&format!("INV.MRESERVE EX 900 {BATCH}{}", " r__rand_int__ 1 L0 1".repeat(BATCH)));
    let many = |command: &str| Step::new(&format!("{command}{}", " r__rand_int__".repeat(BATCH)));
    let (commit_many, roll_back_many) = (many("INV.MCOMMIT"), many("INV.MROLLBACK"));
    let own = reserve(1);
    let commit = Step::new("INV.COMMIT r__rand_int__");
    let rollback = Step::new("INV.ROLLBACK r__rand_int__");
    let new = Contender::new;
    let mut all = vec![
        new(RESERVE, MODULE, &[&own]),
        new(RESERVE, LUA, &[&lua_reserve]),
        new(RESERVE, AS_MUCH, &[&lua_as_much]),
        new("RESERVE, in calls of 1,000", MODULE, &[&reserve_many]).in_calls_of(BATCH),
        new("COMMIT, in calls of 1,000", MODULE, &[&reserve_many, &commit_many]).in_calls_of(BATCH),
        new("ROLLBACK, in calls of 1,000", MODULE, &[&reserve_many, &roll_back_many]).in_calls_of(BATCH),
        new(RESERVE_5, MODULE, &[&reserve(5)]),
        new(RESERVE_5, LUA, &[&lua_lines(5)]),
        new("RESERVE, 20 lines", MODULE, &[&reserve(20)]).special(),
        new("RESERVE, 20 lines", LUA, &[&lua_lines(20)]).special(),
        new(RESERVE_MILLION, MODULE, &[&Step::new("INV.RESERVE * EX 900 ITEMS __rand_int__ 1")])
            .over_products(),
        new(RESERVE_MILLION, LUA, &[&lua_over_products]).over_products(),
        new("RESERVE again", MODULE, &[&own, &own]),
        new("RESERVE again", AS_MUCH, &[&lua_as_much, &lua_as_much]),
        new(COMMIT, MODULE, &[&own, &commit]),
        new(COMMIT, LUA, &[&lua_reserve, &lua_commit]),
        new(COMMIT, REMEMBERS, &[&lua_reserve, &commit_remembers]),
        new("COMMIT again", MODULE, &[&own, &commit, &commit]),
        new("COMMIT again", REMEMBERS, &[&lua_reserve, &commit_remembers, &commit_remembers]),
        new(ROLLBACK, MODULE, &[&own, &rollback]),
        new(ROLLBACK, LUA, &[&lua_reserve, &lua_rollback]),
        new(ROLLBACK, REMEMBERS, &[&lua_reserve, &rollback_remembers]),
        new("ROLLBACK again", MODULE, &[&own, &rollback, &rollback]),
        new("ROLLBACK again", REMEMBERS, &[&lua_reserve, &rollback_remembers, &rollback_remembers]),
        new("RESERVE and COMMIT", MODULE, &[&own, &commit]).all_steps(),
        new("RESERVE and COMMIT", LUA, &[&lua_reserve, &lua_commit]).all_steps(),
        new("RESERVE and COMMIT", REMEMBERS, &[&lua_reserve, &commit_remembers]).all_steps(),
        new(PING, SERVER, &[&Step::new("PING")]),
        new("INCRBY", SERVER, &[&Step::new("INCRBY counter 1")]),
    ];
    if has_command(plain, "INCREX") {
        let step = Step::new("INCREX stock:available:L0 BYINT -1 LBOUND 0");
        all.push(new("INCREX with a lower bound", SERVER, &[&step]));
    }
    let set = Step { command: set_of_the_record(), counted_as: "set" };
    all.push(new("SET of the record, PXAT", SERVER, &[&set]));
    all
}
