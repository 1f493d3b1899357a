//! The one generator of random command lines. A line is either a command that a client sends, word by word, or something
//! that time, an operator or another program does.
//!
//! | line | meaning |
//! | --- | --- |
//! | `INV.…` | A client calls the module. |
//! | `GET`, `DEL`, `UNLINK`, `SET name text [PX ms]`, `HSET`, `PERSIST`, `PEXPIRE`, `RENAME`, `INCRBY`, `DECRBY`, `ZADD`, `ZREM` | Another program uses the module's keys. |
//! | `EVICT name` | The server evicts a key under memory pressure. |
//! | `RESTORE name [PX ms]` | A backup tool restores the latest record that was ever stored under this name. |
//! | `SCRIPT COMMIT id`, `SCRIPT ROLLBACK id` | A shop's own script ends a reservation without checking that it exists. |
//! | `HOLD sku units` | Another program takes units for itself, or returns them if the number is negative. |
//! | `WAIT ms` | Time passes. |
//! | `SWEEP`, `CYCLE` | The module's cron runs; the server's own expiry cycle runs. |
//! | `RESTART`, `RESTART RDB`, `FAILOVER`, `RELOAD` | The server restarts; its replica is promoted; it reloads what it has just saved. |
//! | `LOAD`, `WALK keys`, `PAUSE`, `IMPORT`, `BUSY`, `GO` | The module is loaded again; its walk advances; clients are paused; import mode begins; jobs get no time; all of these end. |
//! | `MOVE`, `MIGRATE number`, `COPY number`, `ARRIVE`, `CALLOFF`, `UNASSIGN`, `ASSIGN`, `NODE number …` | A slot moves between two nodes of a cluster: see `engine/moving.rs`. |
//!
//! These tests draw their lines here:
//!
//! - `engine/histories.rs` and `server/model.rs` compare the simulated server and real servers with the naive model.
//! - `engine/faults.rs` plays them in worlds in which everything fails.
//! - `engine/moving.rs` plays them while a slot moves between nodes.
//! - `fuzz/commands.rs` checks the invariants.
//! - `server/twin.rs` compares a real server with the simulated one.
//! - `server/soak.rs`, `server/crash.rs` and `server/race.rs` let several clients send them at the same time.

use std::collections::{BTreeMap, VecDeque};

use super::dice::Dice;

/// The words of a line.
pub type Line = Vec<String>;

/// The skus of a shop: two products without warehouses, and one that may have up to three.
pub const SKUS: [&str; 6] = ["P", "Q", "W@north", "W@south", "W@east", "W"];
pub const PLACES: [&str; 3] = ["north", "south", "east"];

/// The buyers that some reservations name.
pub const BUYERS: [&str; 2] = ["ann", "bob"];

/// The module's read-only commands.
pub const READS: [&str; 8] = [
    "INV.GET",
    "INV.STOCK",
    "INV.STOCKSCAN",
    "INV.AUDIT",
    "INV.AUDITSCAN",
    "INV.SCAN",
    "INV.ALERTS",
    "INV.QUOTA",
];

/// Every call, with its weight.
pub const CALLS: &[(u64, &str)] = &[
    (11, "RESERVE"),
    (5, "REPLACE"),
    (4, "COMMIT"),
    (2, "COMMIT LATE"),
    (3, "COMMIT ITEMS"),
    (3, "ROLLBACK"),
    (3, "ROLLBACK ITEMS"),
    (1, "ROLLBACK FENCE"),
    (3, "EXTEND"),
    (3, "MRESERVE"),
    (2, "MCOMMIT"),
    (1, "MROLLBACK"),
    (2, "ADJUST"),
    (2, "SET"),
    (1, "TRANSFER"),
    (1, "WAREHOUSES SET"),
    (1, "WAREHOUSES DEL"),
    (2, "FLOOR"),
    (1, "THRESHOLD"),
    (2, "LIMIT"),
    (1, "QUOTA"),
    (1, "ADJUST QUOTA"),
    (1, "AUDIT QUOTA"),
    (1, "REPAIR QUOTA"),
    (1, "REPAIR"),
    (2, "GET"),
    (1, "STOCK"),
    (1, "STOCKSCAN"),
    (1, "AUDIT"),
    (1, "AUDITSCAN"),
    (1, "SCAN"),
    (1, "ALERTS"),
];

/// The calls of a shop's customers, and of those who set its floors. None of them counts stock or repairs a counter, so the
/// units that are sold can be told from the units that are lost.
pub const CUSTOMER_CALLS: &[(u64, &str)] = &[
    (11, "RESERVE"),
    (5, "REPLACE"),
    (4, "COMMIT"),
    (2, "COMMIT LATE"),
    (3, "COMMIT ITEMS"),
    (3, "ROLLBACK"),
    (3, "ROLLBACK ITEMS"),
    (1, "ROLLBACK FENCE"),
    (3, "EXTEND"),
    (3, "MRESERVE"),
    (2, "MCOMMIT"),
    (1, "MROLLBACK"),
    (1, "LIMIT"),
    (1, "QUOTA"),
    (1, "TRANSFER"),
    (1, "FLOOR OF A PLACE"),
    (2, "GET"),
    (1, "STOCK"),
    (1, "STOCKSCAN"),
    (1, "AUDIT"),
    (1, "SCAN"),
    (1, "ALERTS"),
];

/// The largest number of units that the module accepts: 2^53 - 1.
const MOST_UNITS: i64 = 9_007_199_254_740_991;

/// The lifetime of a reservation or of a key.
#[derive(Clone, Copy)]
pub enum Life {
    /// Milliseconds from now.
    For(i64),
    /// A Unix time in milliseconds.
    Until(i64),
}

/// The weight of each sort of line.
#[derive(Clone, Copy)]
pub struct Mix<'a> {
    pub calls: u64,
    pub time: u64,
    /// Other programs.
    pub hands: u64,
    pub operator: u64,
    /// The operator's lines, each with its weight. A random number replaces the word `#`.
    pub orders: &'a [(u64, &'a str)],
}

/// Draws lines. Most of them name one of the latest reservations.
pub struct Lines {
    /// The number of ids that were drawn so far.
    count: u64,
    /// If this is not 0, all lines name one of this many ids.
    few: u64,
    /// What every id begins with.
    prefix: String,
    skus: &'static [&'static str],
    calls: &'static [(u64, &'static str)],
    life: Box<dyn Fn(&mut Dice) -> Life + Send>,
    /// The items of the latest RESERVE of each id, from which parts are drawn.
    asked: BTreeMap<String, Vec<(String, i64)>>,
    /// The latest calls that write, which may be sent again.
    latest: VecDeque<Line>,
}

/// The id with this number. Every fifth id looks like a sku in a warehouse.
pub fn id(number: u64) -> String {
    if number % 5 == 4 { format!("R{number}@shop") } else { format!("R{number}") }
}

/// The number of this id.
pub fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix('R')?.trim_end_matches("@shop").parse().ok()
}

/// The words of a text.
pub fn line(text: &str) -> Line {
    text.split(' ').map(str::to_owned).collect()
}

/// The calls on one reservation each that this call stands for. A call that is not about many stands for itself.
pub fn elements(call: &[String]) -> Vec<Line> {
    let word = |text: &str| text.to_owned();
    match call[0].as_str() {
        "INV.MRESERVE" => {
            let (lifetime, rest) = call[1..].split_at(2);
            let (mut elements, mut rest) = (Vec::new(), &rest[1..]);
            while let [id, count, behind @ ..] = rest {
                let (items, behind) = behind.split_at(2 * count.parse::<usize>().expect("a number"));
                let head = [vec![word("INV.RESERVE"), id.clone()], lifetime.to_vec(), vec![word("ITEMS")]];
                elements.push([head.concat(), items.to_vec()].concat());
                rest = behind;
            }
            elements
        }
        "INV.MCOMMIT" => call[1..].iter().map(|id| vec![word("INV.COMMIT"), id.clone()]).collect(),
        "INV.MROLLBACK" => call[1..].iter().map(|id| vec![word("INV.ROLLBACK"), id.clone()]).collect(),
        _ => vec![call.to_vec()],
    }
}

/// The subjects of a call: a reservation or a sku, or several reservations.
pub fn subjects(call: &[String]) -> Vec<String> {
    if call[0] == "INV.REPLACE" {
        return call[1..3].to_vec();
    }
    elements(call).iter().filter_map(|element| element.get(1).cloned()).collect()
}

/// What separates the answers of a call on many reservations.
pub const BETWEEN: &str = " | ";

fn buyer(dice: &mut Dice) -> &'static str {
    dice.weighted(&[(4, ""), (2, " BUYER ann"), (1, " BUYER bob")])
}

fn items(lines: &[(String, i64)]) -> String {
    let lines: Vec<String> = lines.iter().map(|(name, units)| format!("{name} {units}")).collect();
    lines.join(" ")
}

impl Lines {
    /// Lines of every call about [`SKUS`]. Most RESERVEs use a new id.
    pub fn new(life: impl Fn(&mut Dice) -> Life + Send + 'static) -> Self {
        Self {
            count: 0,
            few: 0,
            prefix: String::new(),
            skus: &SKUS,
            calls: CALLS,
            life: Box::new(life),
            asked: BTreeMap::new(),
            latest: VecDeque::new(),
        }
    }

    /// Lines that name only this many ids.
    pub fn of_few(few: u64, life: impl Fn(&mut Dice) -> Life + Send + 'static) -> Self {
        Self { few, ..Self::new(life) }
    }

    /// Lets every id begin with `prefix`.
    pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Draws skus from this list alone.
    pub fn with_skus(self, skus: &'static [&'static str]) -> Self {
        Self { skus, ..self }
    }

    /// Draws calls from this list alone, with its weights.
    pub fn with_calls(self, calls: &'static [(u64, &'static str)]) -> Self {
        Self { calls, ..self }
    }

    /// Changes how the lifetimes of all further lines are drawn.
    pub fn set_life(&mut self, life: impl Fn(&mut Dice) -> Life + Send + 'static) {
        self.life = Box::new(life);
    }

    /// Draws a line of any sort.
    pub fn draw(&mut self, dice: &mut Dice, mix: &Mix<'_>) -> Line {
        type Draw = fn(&mut Lines, &mut Dice) -> Line;
        let sorts: [(u64, Option<Draw>); 4] = [
            (mix.calls, Some(Self::call)),
            (mix.time, Some(|_, dice| Self::time(dice))),
            (mix.hands, Some(Self::hands)),
            (mix.operator, None),
        ];
        match dice.weighted(&sorts) {
            Some(draw) => draw(self, dice),
            None => {
                let order = dice.weighted(mix.orders);
                match order.split_once('#') {
                    Some((before, after)) => line(&format!("{before}{}{after}", dice.roll(1 << 16))),
                    None => line(order),
                }
            }
        }
    }

    /// Draws one of the latest ids, or the one after them, which no RESERVE has used yet.
    pub fn recent(&self, dice: &mut Dice) -> String {
        match self.few {
            0 => self.id((self.count + 1).saturating_sub(dice.roll(7))),
            few => self.id(dice.roll(few)),
        }
    }

    fn id(&self, number: u64) -> String {
        format!("{}{}", self.prefix, id(number))
    }

    fn sku(&self, dice: &mut Dice) -> &'static str {
        self.skus[dice.place(self.skus.len())]
    }

    /// The products among the skus.
    fn products(&self) -> Vec<&'static str> {
        self.skus.iter().copied().filter(|sku| !sku.contains('@')).collect()
    }

    fn product(&self, dice: &mut Dice) -> &'static str {
        let products = self.products();
        products[dice.place(products.len())]
    }

    /// The quota of a buyer.
    fn quota(&self, dice: &mut Dice) -> String {
        format!("{}@@{}", self.product(dice), *dice.pick(&BUYERS.each_ref()))
    }

    // --- clients ---

    /// Draws a call of the module.
    pub fn call(&mut self, dice: &mut Dice) -> Line {
        if dice.one_in(6) && !self.latest.is_empty() {
            return self.latest[dice.place(self.latest.len())].clone();
        }
        let place = |dice: &mut Dice| *dice.pick(&PLACES.each_ref());
        let verb = dice.weighted(self.calls);
        let call = match verb {
            "RESERVE" => self.reserve(dice),
            "REPLACE" => self.replace(dice),
            "COMMIT" => format!("INV.COMMIT {}{}", self.recent(dice), once(dice)),
            "COMMIT LATE" => format!("INV.COMMIT {} LATE{}", self.recent(dice), once(dice)),
            "ROLLBACK" => format!("INV.ROLLBACK {}{}", self.recent(dice), once(dice)),
            // Some ids are not used before they are fenced.
            "ROLLBACK FENCE" => format!("INV.ROLLBACK {} FENCE{}", self.recent(dice), once(dice)),
            "COMMIT ITEMS" | "ROLLBACK ITEMS" => {
                let (verb, _) = verb.split_once(' ').expect("two words");
                let id = self.recent(dice);
                let part = self.part(dice, &id);
                format!("INV.{verb} {id}{} ITEMS {}", once(dice), items(&part))
            }
            "MRESERVE" => self.reserve_many(dice),
            "MCOMMIT" | "MROLLBACK" => format!("INV.{verb} {}", self.many(dice).join(" ")),
            "EXTEND" => format!("INV.EXTEND {} {}{}", self.recent(dice), self.lifetime(dice), once(dice)),
            "ADJUST" => {
                // Some are close to the largest number of units.
                let delta = match dice.roll(10) {
                    9 => MOST_UNITS - dice.up_to(20),
                    _ => dice.up_to(19) - 10,
                };
                format!("INV.ADJUST {} {delta}{}{}{}", self.sku(dice), force(dice), once(dice), note(dice))
            }
            "SET" => {
                let (sku, measure) = (self.sku(dice), *dice.pick(&[&"AVAILABLE", &"ONHAND"]));
                let (units, current) = (dice.roll(20), dice.roll(15));
                let condition = if dice.one_in(3) { format!(" IFEQ {current}") } else { String::new() };
                format!(
                    "INV.SET {sku} {measure} {units}{condition}{}{}{}",
                    force(dice),
                    once(dice),
                    note(dice)
                )
            }
            "TRANSFER" => {
                let (from, to, units) = (place(dice), place(dice), dice.up_to(8));
                format!("INV.TRANSFER W {from} {to} {units}{}{}", once(dice), note(dice))
            }
            "WAREHOUSES SET" => {
                let (one, other) = (place(dice), place(dice));
                let more = if one != other { format!(" {other} {}", priority(dice)) } else { String::new() };
                format!("INV.WAREHOUSES W SET {one} {}{more}", priority(dice))
            }
            "FLOOR" => format!("INV.FLOOR {} {}", self.sku(dice), floor(dice)),
            // Not of W, which is kept in warehouses.
            "FLOOR OF A PLACE" => {
                let sku = Some(self.sku(dice)).filter(|sku| *sku != "W").unwrap_or(self.skus[0]);
                format!("INV.FLOOR {sku} {}", floor(dice))
            }
            "WAREHOUSES DEL" => format!("INV.WAREHOUSES W DEL {}", place(dice)),
            "THRESHOLD" => {
                let units = match dice.roll(4) {
                    0 => "default".to_owned(),
                    1 => "off".to_owned(),
                    _ => dice.roll(6).to_string(),
                };
                let products = self.products();
                format!("INV.THRESHOLD {} {units}", products[dice.place(products.len())])
            }
            "LIMIT" => {
                let units = if dice.one_in(2) { "OFF".to_owned() } else { dice.roll(10).to_string() };
                format!("INV.LIMIT {} {units}", self.product(dice))
            }
            "QUOTA" => format!("INV.QUOTA {} {}", self.product(dice), *dice.pick(&BUYERS.each_ref())),
            "ADJUST QUOTA" => format!("INV.ADJUST {} {}{}", self.quota(dice), dice.up_to(5) - 3, once(dice)),
            "AUDIT QUOTA" => format!("INV.AUDIT {}", self.quota(dice)),
            "REPAIR QUOTA" => format!("INV.REPAIR {}", self.quota(dice)),
            "REPAIR" => {
                format!("INV.REPAIR {}{}", self.sku(dice), *dice.pick(&[&"", &" FORCE"]))
            }
            "GET" => format!("INV.GET {}", self.recent(dice)),
            "STOCK" => {
                let products = self.products();
                format!("INV.STOCK {}", products[dice.place(2.min(products.len()))..].join(" "))
            }
            "AUDIT" => format!("INV.AUDIT {}", self.sku(dice)),
            "AUDITSCAN" => "INV.AUDITSCAN 0 COUNT 100".to_owned(),
            "STOCKSCAN" => {
                let pattern = dice.pick(&[&"", &"", &" MATCH [PW]"]);
                format!("INV.STOCKSCAN 0{pattern} COUNT 1000{}", *dice.pick(&[&"", &" LOW"]))
            }
            "SCAN" => {
                let pattern = dice.pick(&[&"", &"", &" MATCH *@shop"]);
                format!("INV.SCAN 0{pattern} COUNT 1000{}", *dice.pick(&[&"", &" FULL"]))
            }
            "ALERTS" => "INV.ALERTS COUNT 1000".to_owned(),
            _ => unreachable!("{verb} is not drawn"),
        };
        let call = line(&call);
        if !READS.contains(&call[0].as_str()) {
            self.latest.push_front(call.clone());
            self.latest.truncate(6);
        }
        call
    }

    fn lifetime(&self, dice: &mut Dice) -> String {
        match (self.life)(dice) {
            Life::For(ms) => format!("PX {ms}"),
            Life::Until(at) => format!("PXAT {at}"),
        }
    }

    fn reserve(&mut self, dice: &mut Dice) -> String {
        let id = if self.few > 0 || dice.one_in(5) {
            self.recent(dice)
        } else {
            self.count += 1;
            self.id(self.count)
        };
        let lifetime = self.lifetime(dice);
        let split =
            dice.weighted(&[(1, ""), (1, " SPLIT priority"), (3, " SPLIT fewest"), (1, " SPLIT none")]);
        let once = once(dice);
        let data = if dice.one_in(4) { " DATA cart" } else { "" };
        let partial = if dice.one_in(6) { " PARTIAL" } else { "" };
        // Most retries ask for the same items.
        let asked = match self.asked.get(&id) {
            Some(asked) if dice.roll(3) > 0 => asked.clone(),
            _ => self.order(dice),
        };
        let buyer = buyer(dice);
        let text =
            format!("INV.RESERVE {id} {lifetime}{split}{partial}{once}{data}{buyer} ITEMS {}", items(&asked));
        self.asked.insert(id, asked);
        text
    }

    /// Draws up to four recent ids. If there are only a few, one may be drawn twice.
    fn many(&self, dice: &mut Dice) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for _ in 0..=dice.roll(4) {
            let id = self.recent(dice);
            if self.few > 0 || !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// Most of the ids are new. A product in warehouses is named with its place: which units an element finds depends on what
    /// the elements before it released, and no test can know that of all places.
    fn reserve_many(&mut self, dice: &mut Dice) -> String {
        let mut ids = if dice.one_in(3) { self.many(dice) } else { Vec::new() };
        if self.few == 0 {
            ids.retain(|id| *id != self.id(self.count + 1));
            for _ in 0..=dice.roll(3) {
                self.count += 1;
                ids.push(self.id(self.count));
            }
        } else if ids.is_empty() {
            ids = self.many(dice);
        }
        let lifetime = self.lifetime(dice);
        let mut text = format!("INV.MRESERVE {lifetime} {}", ids.len());
        for id in ids {
            let mut asked = match self.asked.get(&id) {
                Some(asked) if dice.roll(3) > 0 => asked.clone(),
                _ => self.order(dice),
            };
            asked.retain(|(name, _)| name != "W");
            if asked.is_empty() {
                asked.push((self.skus[0].to_owned(), dice.up_to(6)));
            }
            text += &format!(" {id} {} {}", asked.len(), items(&asked));
            self.asked.insert(id, asked);
        }
        text
    }

    /// Draws a change in place, or another reservation that takes the place of one: a new one, or one that may be live.
    fn replace(&mut self, dice: &mut Dice) -> String {
        let old = self.recent(dice);
        let new = match dice.roll(3) {
            0 => old.clone(),
            1 if self.few == 0 => {
                self.count += 1;
                self.id(self.count)
            }
            _ => self.recent(dice),
        };
        // A change in place may keep the deadline. Deadlines are written out where another one could not be predicted.
        let lifetime = match self.lifetime(dice) {
            lifetime if lifetime.starts_with("PX ") && new == old && dice.one_in(2) => String::new(),
            lifetime => format!(" {lifetime}"),
        };
        let split =
            dice.weighted(&[(2, ""), (1, " SPLIT priority"), (2, " SPLIT fewest"), (2, " SPLIT none")]);
        let partial = if dice.one_in(4) { " PARTIAL" } else { "" };
        let once = once(dice);
        let data = dice.weighted(&[(4, ""), (1, " DATA cart"), (1, " DATA gift")]);
        let buyer = buyer(dice);
        // Most of the time, the old items with one change.
        let asked = match self.asked.get(&old) {
            Some(asked) if !dice.one_in(3) => {
                let mut asked = asked.clone();
                let at = dice.place(asked.len());
                match dice.roll(4) {
                    0 => asked[at].1 += 1,
                    1 if asked[at].1 > 1 => asked[at].1 -= 1,
                    2 if asked.len() > 1 => drop(asked.remove(at)),
                    3 => asked.push((self.sku(dice).to_owned(), dice.up_to(3))),
                    _ => {}
                }
                asked
            }
            _ => self.order(dice),
        };
        let text = format!(
            "INV.REPLACE {old} {new}{lifetime}{split}{partial}{once}{data}{buyer} ITEMS {}",
            items(&asked)
        );
        self.asked.insert(new, asked);
        text
    }

    /// Most of the time, draws a part of the items that the latest RESERVE of this id asked for.
    fn part(&self, dice: &mut Dice, id: &str) -> Vec<(String, i64)> {
        let Some(asked) = self.asked.get(id).filter(|_| !dice.one_in(5)) else {
            return self.order(dice);
        };
        let mut part: Vec<(String, i64)> = Vec::new();
        for (name, units) in asked {
            if part.is_empty() || dice.one_in(2) {
                part.push((name.clone(), dice.up_to(units.unsigned_abs())));
            }
        }
        part
    }

    /// Draws the items of a RESERVE.
    fn order(&self, dice: &mut Dice) -> Vec<(String, i64)> {
        let lines = 1 + dice.roll(6);
        let line = |_| {
            let name = self.sku(dice);
            // Sometimes more than any single warehouse has.
            let most = if name == "W" { 18 } else { 6 };
            (name.to_owned(), dice.up_to(most))
        };
        (0..lines).map(line).collect()
    }

    // --- time, other programs ---

    fn time(dice: &mut Dice) -> Line {
        line(&match dice.roll(7) {
            0..3 => format!("WAIT {}", dice.up_to(60)),
            3 => format!("WAIT {}", dice.up_to(5000)),
            4..6 => "SWEEP".to_owned(),
            _ => "CYCLE".to_owned(),
        })
    }

    /// Draws what another program does to the module's keys.
    pub fn hands(&mut self, dice: &mut Dice) -> Line {
        let id = self.recent(dice);
        let key = format!("reservation:{id}");
        let sku = self.sku(dice);
        let place = *dice.pick(&PLACES.each_ref());
        let life = (self.life)(dice);
        // Some keys get no deadline.
        let until = match life {
            _ if dice.one_in(4) => String::new(),
            Life::For(ms) => format!(" PX {ms}"),
            Life::Until(at) => format!(" PXAT {at}"),
        };
        line(&match dice.weighted(&[
            (2, "DEL"),
            (1, "UNLINK"),
            (1, "SET"),
            (2, "RESTORE"),
            (2, "RENAME AWAY"),
            (2, "RENAME BACK"),
            (2, "PEXPIRE"),
            (2, "EVICT"),
            (2, "SCRIPT COMMIT"),
            (2, "SCRIPT ROLLBACK"),
            (2, "RESTOCK"),
            (2, "HOLD"),
            (1, "TAKE"),
            (1, "ZADD"),
            (1, "FLOOR"),
            (1, "ZREM"),
            (1, "DROP"),
            (1, "FORGET"),
            (1, "SET LIMIT"),
            (1, "DROP LIMIT"),
            (1, "DROP QUOTA"),
            (1, "TAKE QUOTA"),
            (1, "GET"),
        ]) {
            "SET" if until.is_empty() && dice.one_in(2) => format!("HSET {key} cart 77"),
            "SET" => format!("SET {key} {{\"cart\":77}}{until}"),
            "RESTORE" => format!("RESTORE {key}{until}"),
            "RENAME AWAY" => format!("RENAME {key} kept:{id}"),
            "RENAME BACK" => format!("RENAME kept:{id} {key}"),
            "PEXPIRE" => match life {
                _ if until.is_empty() => format!("PERSIST {key}"),
                Life::For(ms) => format!("PEXPIRE {key} {ms}"),
                Life::Until(at) => format!("PEXPIREAT {key} {at}"),
            },
            "SCRIPT COMMIT" => format!("SCRIPT COMMIT {id}"),
            "SCRIPT ROLLBACK" => format!("SCRIPT ROLLBACK {id}"),
            "RESTOCK" => format!("INCRBY stock:available:{sku} {}", dice.up_to(9)),
            "HOLD" => format!("HOLD {sku} {}", dice.up_to(11) - 6),
            "TAKE" => format!("INCRBY stock:reserved:{sku} 1"),
            "ZADD" => {
                let score = dice.pick(&[&"0", &"1", &"2", &"inf"]);
                format!("ZADD stock:warehouses:W {score} {place}")
            }
            "FLOOR" => match floor(dice) {
                0 if dice.one_in(2) => format!("DEL stock:floor:{sku}"),
                units => format!("SET stock:floor:{sku} {units}"),
            },
            "ZREM" => format!("ZREM stock:warehouses:W {place}"),
            "DROP" => format!("DEL stock:{}:{sku}", *dice.pick(&[&"available", &"reserved"])),
            "SET LIMIT" => format!("SET stock:limit:{} {}", self.product(dice), dice.roll(6)),
            "DROP LIMIT" => format!("DEL stock:limit:{}", self.product(dice)),
            "DROP QUOTA" => {
                format!("DEL stock:{}:{}", *dice.pick(&[&"available", &"reserved"]), self.quota(dice))
            }
            "TAKE QUOTA" => {
                let (kind, units) = (*dice.pick(&[&"available", &"reserved"]), dice.up_to(5) - 3);
                format!("INCRBY stock:{kind}:{} {units}", self.quota(dice))
            }
            "FORGET" => format!("DEL inventory:outcome:{id}"),
            verb => format!("{verb} {key}"),
        })
    }
}

/// Draws a token in one of five calls. There are only two tokens, so that they are used again.
fn once(dice: &mut Dice) -> String {
    if dice.one_in(5) { format!(" ONCE t{}", dice.roll(2)) } else { String::new() }
}

/// Draws FORCE in one of five calls.
fn force(dice: &mut Dice) -> &'static str {
    if dice.one_in(5) { " FORCE" } else { "" }
}

/// Draws the priority of a warehouse. Every fourth is closed.
fn priority(dice: &mut Dice) -> String {
    match dice.roll(4) {
        3 => "CLOSED".to_owned(),
        priority => priority.to_string(),
    }
}

/// Draws a floor. Every third is 0, which is none.
fn floor(dice: &mut Dice) -> i64 {
    if dice.one_in(3) { 0 } else { dice.up_to(11) - 6 }
}

/// Draws a note in one of six calls.
fn note(dice: &mut Dice) -> String {
    if dice.one_in(6) { format!(" NOTE n{}", dice.roll(2)) } else { String::new() }
}

/// The commands with which a shop's own script ends a reservation of these lines. The script does not check that the
/// reservation exists.
pub fn script(id: &str, held: &[(&str, i64)], is_rollback: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for (sku, units) in held {
        if is_rollback {
            lines.push(line(&format!("INCRBY stock:available:{sku} {units}")));
        }
        lines.push(line(&format!("DECRBY stock:reserved:{sku} {units}")));
    }
    lines.push(line(&format!("DEL reservation:{id}")));
    lines
}

/// The commands with which another program takes units of a sku, or returns them. It notes them under a key of its own.
pub fn hold(sku: &str, units: i64) -> Vec<Line> {
    vec![
        line(&format!("INCRBY stock:available:{sku} {}", -units)),
        line(&format!("INCRBY stock:reserved:{sku} {units}")),
        line(&format!("SET hold:77 {units}")),
    ]
}

/// The same line with deadlines instead of lifetimes, as a server replicates it. `None` if the lifetime is not a number.
pub fn absolute(words: &[&str], now: i64) -> Option<Line> {
    let at = |ms: &str| Some(now.checked_add(ms.parse().ok()?)?.to_string());
    let words = match words {
        ["SET", name, text, "PX", ms] => {
            ["SET", name, text, "PXAT", &at(ms)?].iter().map(ToString::to_string).collect()
        }
        ["PEXPIRE", name, ms] => vec!["PEXPIREAT".to_owned(), (*name).to_owned(), at(ms)?],
        _ => words.iter().map(ToString::to_string).collect(),
    };
    Some(words)
}
