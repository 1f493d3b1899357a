//! Command lines by chance: the one generator of what the random tests do. A line is what a client sends, word by word, or
//! what time, the operator and other programs do meanwhile.
//!
//! | line | what it does |
//! | --- | --- |
//! | `INV.…` | a call of the module |
//! | `GET`, `DEL`, `UNLINK`, `SET name text [PX ms]`, `HSET`, `PERSIST`, `PEXPIRE`, `RENAME`, `INCRBY`, `DECRBY`, `ZADD`, `ZREM` | other programs, on the module's keys |
//! | `EVICT name` | memory pressure |
//! | `RESTORE name [PX ms]` | a backup tool puts back the latest record that there ever was under this name |
//! | `SCRIPT COMMIT id`, `SCRIPT ROLLBACK id` | a shop's own script ends a reservation of the module, whether it is there or not |
//! | `HOLD sku units` | another program takes units for itself, or gives them back |
//! | `WAIT ms` | time passes |
//! | `SWEEP`, `CYCLE` | the cron; the server's own search for keys that are due |
//! | `RESTART`, `RESTART RDB`, `FAILOVER`, `RELOAD` | the server starts again, its replica takes over, it loads what it has saved |
//! | `LOAD`, `WALK keys`, `PAUSE`, `IMPORT`, `BUSY`, `GO` | the module is loaded anew, its walk goes on; keys that are due stay, jobs have no time, neither any more |
//!
//! Who plays them: `engine/histories.rs` against the naive model, `engine/faults.rs` in worlds where everything fails,
//! `fuzz/commands.rs` against what must always hold, `server/twin.rs` on a real server beside the simulated one,
//! `server/model.rs` on real servers against the naive model.

use std::collections::{BTreeMap, VecDeque};

use super::dice::Dice;

/// The words of a line.
pub type Line = Vec<String>;

/// What there is in every shop: two products, and one that may be kept in three places.
pub const SKUS: [&str; 6] = ["P", "Q", "W@north", "W@south", "W@east", "W"];
pub const PLACES: [&str; 3] = ["north", "south", "east"];

/// Commands of the module that only read.
pub const READS: [&str; 6] = ["INV.GET", "INV.STOCK", "INV.AUDIT", "INV.AUDITSCAN", "INV.SCAN", "INV.ALERTS"];

/// 2^53 - 1: the most units there can be.
const MOST_UNITS: i64 = 9_007_199_254_740_991;

/// How long something lives.
#[derive(Clone, Copy)]
pub enum Life {
    /// ms from now.
    For(i64),
    /// Until this Unix time, ms.
    Until(i64),
}

/// How often each sort of line is drawn.
#[derive(Clone, Copy)]
pub struct Mix<'a> {
    pub calls: u64,
    pub time: u64,
    pub hands: u64,
    pub operator: u64,
    /// What the operator does, each with its weight.
    pub orders: &'a [(u64, &'a str)],
}

/// Draws lines, about the latest reservations most of the time.
pub struct Lines {
    /// Reservations are numbered: so many were asked for.
    count: u64,
    /// Only so many ids are named, again and again; 0: ever new ones.
    few: u64,
    life: Box<dyn Fn(&mut Dice) -> Life + Send>,
    /// What each reservation was asked for, so that parts of it can be asked for.
    asked: BTreeMap<String, Vec<(String, i64)>>,
    /// The latest calls that change something, so that they can be sent again.
    latest: VecDeque<Line>,
}

/// The id of the reservation of this number. Some look like a sku in a warehouse.
pub fn id(number: u64) -> String {
    if number % 5 == 4 { format!("R{number}@shop") } else { format!("R{number}") }
}

/// Of which number this is the id.
pub fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix('R')?.trim_end_matches("@shop").parse().ok()
}

/// The words of a text.
pub fn line(text: &str) -> Line {
    text.split(' ').map(str::to_owned).collect()
}

fn items(lines: &[(String, i64)]) -> String {
    let lines: Vec<String> = lines.iter().map(|(name, units)| format!("{name} {units}")).collect();
    lines.join(" ")
}

impl Lines {
    /// With ever new ids.
    pub fn new(life: impl Fn(&mut Dice) -> Life + Send + 'static) -> Self {
        let (asked, latest) = (BTreeMap::new(), VecDeque::new());
        Self { count: 0, few: 0, life: Box::new(life), asked, latest }
    }

    /// About the same few reservations all the time.
    pub fn of_few(few: u64, life: impl Fn(&mut Dice) -> Life + Send + 'static) -> Self {
        Self { few, ..Self::new(life) }
    }

    /// From now on they live for so long.
    pub fn set_life(&mut self, life: impl Fn(&mut Dice) -> Life + Send + 'static) {
        self.life = Box::new(life);
    }

    /// A line of any sort.
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
            None => line(dice.weighted(mix.orders)),
        }
    }

    /// One of the latest reservations, or one that is not there yet.
    pub fn recent(&self, dice: &mut Dice) -> String {
        match self.few {
            0 => id((self.count + 1).saturating_sub(dice.roll(7))),
            few => id(dice.roll(few)),
        }
    }

    // --- clients ---

    /// A call of the module.
    pub fn call(&mut self, dice: &mut Dice) -> Line {
        if dice.one_in(6) && !self.latest.is_empty() {
            return self.latest[dice.place(self.latest.len())].clone();
        }
        let sku = |dice: &mut Dice| *dice.pick(&SKUS.each_ref());
        let place = |dice: &mut Dice| *dice.pick(&PLACES.each_ref());
        let verb = dice.weighted(&[
            (11, "RESERVE"),
            (4, "COMMIT"),
            (2, "COMMIT LATE"),
            (3, "COMMIT ITEMS"),
            (3, "ROLLBACK"),
            (3, "ROLLBACK ITEMS"),
            (3, "EXTEND"),
            (2, "ADJUST"),
            (2, "SET"),
            (1, "TRANSFER"),
            (1, "WAREHOUSES SET"),
            (1, "WAREHOUSES DEL"),
            (1, "THRESHOLD"),
            (1, "REPAIR"),
            (2, "GET"),
            (1, "STOCK"),
            (1, "AUDIT"),
            (1, "AUDITSCAN"),
            (1, "SCAN"),
            (1, "ALERTS"),
        ]);
        let call = match verb {
            "RESERVE" => self.reserve(dice),
            "COMMIT" => format!("INV.COMMIT {}{}", self.recent(dice), once(dice)),
            "COMMIT LATE" => format!("INV.COMMIT {} LATE{}", self.recent(dice), once(dice)),
            "ROLLBACK" => format!("INV.ROLLBACK {}{}", self.recent(dice), once(dice)),
            "COMMIT ITEMS" | "ROLLBACK ITEMS" => {
                let (verb, _) = verb.split_once(' ').expect("two words");
                let id = self.recent(dice);
                let part = self.part(dice, &id);
                format!("INV.{verb} {id}{} ITEMS {}", once(dice), items(&part))
            }
            "EXTEND" => format!("INV.EXTEND {} {}{}", self.recent(dice), self.lifetime(dice), once(dice)),
            "ADJUST" => {
                // Now and then as many as there can be.
                let delta = match dice.roll(10) {
                    9 => MOST_UNITS - dice.up_to(20),
                    _ => dice.up_to(19) - 10,
                };
                format!("INV.ADJUST {} {delta}{}", sku(dice), once(dice))
            }
            "SET" => {
                let (sku, measure) = (sku(dice), *dice.pick(&[&"AVAILABLE", &"ONHAND"]));
                let (units, current) = (dice.roll(20), dice.roll(15));
                let condition = if dice.one_in(3) { format!(" IFEQ {current}") } else { String::new() };
                format!("INV.SET {sku} {measure} {units}{condition}{}", once(dice))
            }
            "TRANSFER" => {
                format!("INV.TRANSFER W {} {} {}{}", place(dice), place(dice), dice.up_to(8), once(dice))
            }
            "WAREHOUSES SET" => {
                let (one, other) = (place(dice), place(dice));
                let more = if one != other { format!(" {other} {}", dice.roll(3)) } else { String::new() };
                format!("INV.WAREHOUSES W SET {one} {}{more}", dice.roll(3))
            }
            "WAREHOUSES DEL" => format!("INV.WAREHOUSES W DEL {}", place(dice)),
            "THRESHOLD" => {
                let units = match dice.roll(4) {
                    0 => "default".to_owned(),
                    1 => "off".to_owned(),
                    _ => dice.roll(6).to_string(),
                };
                format!("INV.THRESHOLD {} {units}", *dice.pick(&[&"P", &"Q", &"W"]))
            }
            "REPAIR" => {
                format!("INV.REPAIR {}{}", sku(dice), *dice.pick(&[&"", &" FORCE"]))
            }
            "GET" => format!("INV.GET {}", self.recent(dice)),
            "STOCK" => (*dice.pick(&[&"INV.STOCK P W", &"INV.STOCK Q P W"])).to_owned(),
            "AUDIT" => format!("INV.AUDIT {}", sku(dice)),
            "AUDITSCAN" => "INV.AUDITSCAN 0 COUNT 100".to_owned(),
            "SCAN" => "INV.SCAN 0 COUNT 1000".to_owned(),
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
            id(self.count)
        };
        let lifetime = self.lifetime(dice);
        let split =
            dice.weighted(&[(1, ""), (1, " SPLIT priority"), (3, " SPLIT fewest"), (1, " SPLIT none")]);
        let once = once(dice);
        // The same again, or something else.
        let asked = match self.asked.get(&id) {
            Some(asked) if dice.roll(3) > 0 => asked.clone(),
            _ => order(dice),
        };
        let text = format!("INV.RESERVE {id} {lifetime}{split}{once} ITEMS {}", items(&asked));
        self.asked.insert(id, asked);
        text
    }

    /// Some of what this reservation was asked for, most of the time.
    fn part(&self, dice: &mut Dice, id: &str) -> Vec<(String, i64)> {
        let Some(asked) = self.asked.get(id).filter(|_| !dice.one_in(5)) else { return order(dice) };
        let mut part: Vec<(String, i64)> = Vec::new();
        for (name, units) in asked {
            if part.is_empty() || dice.one_in(2) {
                part.push((name.clone(), dice.up_to(units.unsigned_abs())));
            }
        }
        part
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

    /// What another program does to keys of the module.
    pub fn hands(&mut self, dice: &mut Dice) -> Line {
        let id = self.recent(dice);
        let key = format!("reservation:{id}");
        let sku = *dice.pick(&SKUS.each_ref());
        let place = *dice.pick(&PLACES.each_ref());
        let life = (self.life)(dice);
        // Without an end now and then.
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
            (1, "ZREM"),
            (1, "DROP"),
            (1, "FORGET"),
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
            "ZADD" => format!("ZADD stock:warehouses:W {} {place}", dice.roll(3)),
            "ZREM" => format!("ZREM stock:warehouses:W {place}"),
            "DROP" => format!("DEL stock:{}:{sku}", *dice.pick(&[&"available", &"reserved"])),
            "FORGET" => format!("DEL inventory:outcome:{id}"),
            verb => format!("{verb} {key}"),
        })
    }
}

/// A token, now and then. There are few, so that they come again.
fn once(dice: &mut Dice) -> String {
    if dice.one_in(5) { format!(" ONCE t{}", dice.roll(2)) } else { String::new() }
}

/// What a RESERVE asks for.
fn order(dice: &mut Dice) -> Vec<(String, i64)> {
    let lines = 1 + dice.roll(6);
    let line = |_| {
        let name = *dice.pick(&SKUS.each_ref());
        // More than one place has, now and then.
        let most = if name == "W" { 18 } else { 6 };
        (name.to_owned(), dice.up_to(most))
    };
    (0..lines).map(line).collect()
}

/// What a shop's script does that ends a reservation which held these lines: it never looks whether it is there.
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

/// Another program takes so many units of a sku, or gives them back: a record of its own says so, under a name of its own.
pub fn hold(sku: &str, units: i64) -> Vec<Line> {
    vec![
        line(&format!("INCRBY stock:available:{sku} {}", -units)),
        line(&format!("INCRBY stock:reserved:{sku} {units}")),
        line(&format!("SET hold:77 {units}")),
    ]
}

/// The same line with moments instead of lifetimes: how a server sends it to its copies. `None` if the lifetime is no number.
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
