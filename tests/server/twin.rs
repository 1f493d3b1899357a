//! Compares the simulated server of the engine's tests with a real one: the same random histories must give the same answers,
//! keys and propagated commands, step by step. This shows that the simulation's results are valid for real servers.
//!
//! The real clock advances by itself, so all deadlines are multiples of a beat, and each round of calls is between two beats. The
//! server sleeps through the beat (DEBUG SLEEP), so that the calls, and not the cron, are the first to meet what has become
//! overdue.
//!
//! `INV_TWIN_HISTORIES=1000` runs 1000 histories, and `INV_TWIN_SEED=7` starts with this seed.

use std::collections::BTreeMap;
use std::thread;

use crate::calls::call;
use crate::dice::{Dice, number};
use crate::harness::{Client, Json, Server, code};
use crate::lines::{BETWEEN, Life, Line, Lines, PLACES, SKUS};
use crate::replies;
use crate::simulation::{Command, Simulation, Value};

/// The time between two beats in ms. The cron, which runs ten times a second, has to run in between.
const BEAT: i64 = 500;

/// How soon after a beat the calls begin, in ms.
const AFTER: i64 = 20;

const ROUNDS: i64 = 5;

/// A server and its simulation.
struct Twins {
    server: Server,
    shop: Client,
    simulation: Simulation,
    dice: Dice,
    lines: Lines,
    /// The time of the first beat.
    begun: i64,
    /// The number of the server's propagated commands that have been compared.
    seen: usize,
    walks_expire: bool,
}

/// Whether SCAN deletes every overdue key that it meets, as in Redis from 8.2 on, rather than only keys that match its pattern.
pub fn walks_expire(shop: &mut Client) -> bool {
    // Valkey reports 7.2 there.
    let version = shop.info("server", "redis_version");
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().expect("a number"));
    (numbers.next(), numbers.next()) >= (Some(8), Some(2))
}

/// Keys of both servers without values that depend on the moment, with deadlines if clients have chosen them.
type Keys = BTreeMap<String, (Json, Option<i64>)>;

impl Twins {
    fn new(seed: u64) -> Self {
        // The simulation's jobs have no time limit. A busy real server would leave work for the cron.
        let unlimited = "inv.sweep-budget-us 1000000";
        let server = Server::start_with(&["appendonly yes", "inv.low-stock-threshold 3", unlimited]);
        let shop = server.connect();
        let mut simulation = Simulation::new();
        simulation.settings.low_stock_threshold = 3;
        let mut twins = Self {
            server,
            shop,
            simulation,
            dice: Dice::new(seed),
            lines: Lines::new(|_| Life::For(BEAT)),
            begun: 0,
            seen: 0,
            walks_expire: false,
        };
        twins.walks_expire = walks_expire(&mut twins.shop);
        for name in &PLACES[..2] {
            twins.by_hand(&["ZADD", "stock:warehouses:W", "1", name]);
        }
        for sku in SKUS {
            let units = twins.dice.roll(15).to_string();
            twins.by_hand(&["SET", &format!("stock:available:{sku}"), &units]);
        }
        twins.seen = twins.server.propagated().len();
        twins.simulation.take_stream();
        twins.begun = twins.shop.now();
        twins
    }

    fn by_hand(&mut self, words: &[&str]) {
        let bytes: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.shop.ask(bytes);
        self.simulation.client(words);
    }

    fn beat(&self, number: i64) -> i64 {
        self.begun + number * BEAT
    }

    /// Runs one round: units of work after a beat, then the cron. Returns false if the machine was too slow.
    fn round(&mut self, number: i64, seed: u64) -> bool {
        let units: Vec<Vec<Line>> = (0..4 + self.dice.roll(8)).map(|_| self.unit(number)).collect();
        let mut lines: Vec<String> = Vec::new();
        let sleep = self.beat(number) + AFTER - self.shop.now();
        if sleep < AFTER {
            return false;
        }
        lines.push(format!("DEBUG SLEEP {}", sleep as f64 / 1000.0));
        for unit in &units {
            let unit: Vec<String> = unit.iter().map(|line| line.join(" ")).collect();
            if unit.len() == 1 {
                lines.extend(unit);
            } else {
                lines.push("MULTI".to_owned());
                lines.extend(unit);
                lines.push("EXEC".to_owned());
            }
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let replies = self.shop.burst(&lines);
        if self.shop.now() >= self.beat(number + 1) - BEAT / 2 {
            return false;
        }
        // In the simulation, only the calls move the clock.
        self.simulation.clock = self.beat(number) + AFTER;
        let mut replies = replies.into_iter().skip(1);
        for unit in &units {
            let theirs: Vec<Json> = if unit.len() == 1 {
                replies.by_ref().take(1).collect()
            } else {
                let exec = replies.by_ref().take(unit.len() + 2).last().expect("the reply to EXEC");
                exec.as_array().cloned().expect("an array")
            };
            let ours: Vec<String> =
                self.simulation.unit(|server| unit.iter().map(|line| answer(server, line)).collect());
            let theirs: Vec<String> =
                unit.iter().zip(&theirs).map(|(line, reply)| said(line, reply)).collect();
            assert_eq!(
                theirs, ours,
                "INV_TWIN_SEED={seed}, round {number}: answers of the server and of the simulation to {unit:#?}"
            );
        }
        let sent = short(self.simulation.take_stream());
        self.simulation.sweep();
        self.simulation.expire_cycle();
        let mut swept = short(self.simulation.take_stream());
        swept.sort();
        let keys = self.simulated_keys();
        let at = format!("INV_TWIN_SEED={seed}, round {number}");
        loop {
            let (found, (theirs, rest)) = (self.keys(), self.sent_by_server(sent.len()));
            let over = self.shop.now() >= self.beat(number + 1) - AFTER;
            if (&found, &theirs, &rest) == (&keys, &sent, &swept) {
                self.seen = self.server.propagated().len();
                return !over;
            }
            if over {
                for name in keys.keys().chain(found.keys()) {
                    assert_eq!(found.get(name), keys.get(name), "{at}: {name} of both, after {units:#?}");
                }
                assert_eq!(theirs, sent, "{at}: what the server and the simulation have propagated");
                assert_eq!(rest, swept, "{at}: what they have propagated by themselves");
            }
            // Not too often, because each comparison reads every key.
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Calls, or writes of other clients. A line is drawn again if its result would depend on chance: on which of several overdue
    /// reservations the server meets first.
    fn unit(&mut self, number: i64) -> Vec<Line> {
        let begun = self.begun;
        self.lines.set_life(move |dice| Life::Until(begun + (number + dice.up_to(4)) * BEAT));
        if self.dice.roll(6) > 0 {
            let count = if self.dice.roll(4) == 0 { 2 + self.dice.roll(2) } else { 1 };
            return (0..count).map(|_| self.call()).collect();
        }
        loop {
            let line = self.lines.hands(&mut self.dice);
            let is_known = match line[0].as_str() {
                // The server has no command for these, or the model replaces them by several.
                "EVICT" | "RESTORE" | "SCRIPT" | "HOLD" => false,
                // Never fewer reserved units: one of several overdue reservations would miss them.
                "DEL" | "UNLINK" => !line[1].starts_with("stock:reserved:"),
                _ => true,
            };
            if is_known {
                return vec![line];
            }
        }
    }

    fn call(&mut self) -> Line {
        loop {
            let line = self.lines.call(&mut self.dice);
            let is_known = match line[0].as_str() {
                // They delete overdue keys.
                "INV.AUDITSCAN" | "INV.STOCKSCAN" => !self.walks_expire,
                // The names of alerts contain the time.
                "INV.ALERTS" => false,
                _ => true,
            };
            if is_known {
                return line;
            }
        }
    }

    /// What the server has propagated in this round: the first commands, and the others in a fixed order, because the server
    /// chooses the order of what expires at the same moment.
    fn sent_by_server(&self, first: usize) -> (Vec<String>, Vec<String>) {
        let propagated = self.server.propagated();
        let all = propagated[self.seen..].iter().map(|line| line.split(' ').map(str::to_owned).collect());
        let mut sent = short(vec![all.collect()]);
        let mut rest = sent.split_off(first.min(sent.len()));
        rest.sort();
        (sent, rest)
    }

    fn keys(&mut self) -> Keys {
        const READ: &str = "local found = {}
        for _, name in ipairs(redis.call('KEYS', '*')) do
          local kind = redis.call('TYPE', name).ok
          local value = kind
          if kind == 'string' then value = redis.call('GET', name) end
          if kind == 'zset' then value = table.concat(redis.call('ZRANGE', name, 0, -1, 'WITHSCORES'), ' ') end
          found[#found + 1] = {name, value or '', redis.call('PEXPIRETIME', name)}
        end
        return found";
        let found = self.shop.ask(["EVAL", READ, "0"]);
        let entry = |entry: &Json| {
            let (name, value) = (entry[0].as_str()?, entry[1].as_str()?);
            let until = entry[2].as_i64().filter(|until| *until >= 0);
            Some((name.to_owned(), normal(name, value, until)?))
        };
        found.as_array().expect("an array").iter().filter_map(entry).collect()
    }

    fn simulated_keys(&self) -> Keys {
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Hash => "hash".to_owned(),
            Value::SortedSet(members) => {
                let mut members: Vec<(f64, &String)> =
                    members.iter().map(|(name, score)| (*score, name)).collect();
                members.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(other.1)));
                members.iter().map(|(score, name)| format!("{name} {score}")).collect::<Vec<_>>().join(" ")
            }
            Value::Stream(_) => "stream".to_owned(),
        };
        let entries = self.simulation.data.iter();
        let entry = |(name, entry): (&String, &crate::simulation::Entry)| {
            Some((name.clone(), normal(name, &text(&entry.value), entry.until)?))
        };
        entries.filter_map(entry).collect()
    }
}

/// The comparable part of a key. The names of alerts contain the time.
fn normal(name: &str, value: &str, until: Option<i64>) -> Option<(Json, Option<i64>)> {
    if name.starts_with("alert:") || name.starts_with("inventory:alert") {
        return None;
    }
    let is_record = name.starts_with("reservation:") || name.starts_with("kept:");
    if name.starts_with("inventory:once:") {
        return Some((Json::Null, None));
    }
    let mut document = serde_json::from_str(value).unwrap_or_else(|_| Json::from(value));
    if let Some(fields) = document.as_object_mut() {
        for of_the_moment in ["created_at", "resolved_at", "timestamp"] {
            fields.remove(of_the_moment);
        }
        // A fence has no deadline, and has the time at which it was made instead.
        if fields.get("items").is_some_and(|items| items.as_array().is_some_and(Vec::is_empty)) {
            fields.remove("expires_at");
        }
    }
    Some((document, until.filter(|_| is_record)))
}

/// The simulation's answer; of a refusal, only the code.
fn answer(server: &mut Simulation, line: &Line) -> String {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    if line[0].starts_with("INV.") {
        let answer = call(server, &words);
        return answer.map_or_else(|refusal| refusal.code().to_owned(), |answer| normal_answer(line, answer));
    }
    server.execute(&words);
    String::new()
}

/// The server's answer in the same form. Its answers to other commands are not compared.
fn said(line: &Line, reply: &Json) -> String {
    if !line[0].starts_with("INV.") {
        return String::new();
    }
    match replies::short(line, reply) {
        Err(refusal) => code(&refusal).to_owned(),
        Ok(answer) => normal_answer(line, answer),
    }
}

/// Sorts lists, and leaves only the code of a refusal.
fn normal_answer(line: &Line, answer: String) -> String {
    if line[0].starts_with("INV.M") {
        let code =
            |answer: &str| if answer.starts_with("OK") { answer.to_owned() } else { code(answer).to_owned() };
        return answer.split(BETWEEN).map(code).collect::<Vec<_>>().join(BETWEEN);
    }
    if !["INV.SCAN", "INV.AUDITSCAN", "INV.STOCKSCAN"].contains(&line[0].as_str()) {
        return answer;
    }
    let mut entries: Vec<&str> = answer.split("; ").collect();
    entries.sort_unstable();
    entries.join("; ")
}

/// The name and key of each command; for the module's own, the effect and its subject, without the document.
fn short(stream: Vec<Vec<Command>>) -> Vec<String> {
    let words = stream.into_iter().flatten();
    let shown = words.filter(|words| !["MULTI", "EXEC", "PUBLISH", "SELECT"].contains(&words[0].as_str()));
    shown
        .map(|words| {
            let whole = words.join(" ");
            let document = if whole.starts_with("INV.APPLY 3 ") {
                whole.find(" {").zip(whole.rfind("} "))
            } else {
                None
            };
            if let Some((start, end)) = document {
                return whole[..start].to_owned() + &whole[end + 1..];
            }
            let most = if words[0] == "INV.APPLY" { 4 } else { 2 };
            let name = if words[0] == "UNLINK" { "DEL" } else { &words[0] };
            let line = [&[name.to_owned()], &words[1..most.min(words.len())]].concat().join(" ");
            // An alert's key ends with the time.
            line.rsplit_once(':')
                .filter(|_| line.contains(" alert:"))
                .map_or(line.clone(), |(line, _)| line.to_owned())
        })
        .collect()
}

#[test]
fn a_real_server_and_the_simulated_one_take_the_same_course() {
    let first = number("INV_TWIN_SEED").unwrap_or(1);
    let histories = number("INV_TWIN_HISTORIES").unwrap_or(12);
    let run = |seed: u64| {
        let mut twins = Twins::new(seed);
        (1..=ROUNDS).take_while(|round| twins.round(*round, seed)).count()
    };
    // Most of the time, they wait for the next beat.
    let rounds: usize = thread::scope(|scope| {
        let run = &run;
        let runs: Vec<_> = (0..4)
            .map(|lane| {
                scope.spawn(move || (first + lane..first + histories).step_by(4).map(run).sum::<usize>())
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("they take the same course")).sum()
    });
    let all = usize::try_from(histories).expect("few") * usize::try_from(ROUNDS).expect("few");
    eprintln!("{rounds} of {all} rounds were completed");
    assert!(rounds * 4 >= all, "the machine is too slow: {rounds} of {all} rounds");
}
