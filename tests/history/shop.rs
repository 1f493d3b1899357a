//! The shops that clients use, and what they ask for.

use std::collections::VecDeque;

use crate::check::ask::{Units, canonical, units};
use crate::dice::Dice;

/// The products of a shop. The checker knows W, which is kept in warehouses, by its name, and F, which has a floor.
pub const PRODUCTS: [&str; 6] = ["P", "Q", "RARE", "F", "L", "W"];
pub const PLACES: [&str; 3] = ["a", "b", "c"];

/// A shop: all of it is in one slot.
#[derive(Clone, Debug)]
pub struct Shop {
    pub name: String,
    /// What comes before each id: nothing, or its tag.
    prefix: String,
    pub feed: String,
}

impl Shop {
    /// The only shop of a server without a cluster.
    pub fn alone() -> Self {
        Self { name: "shop".to_owned(), prefix: String::new(), feed: "inventory:feed".to_owned() }
    }

    /// One of many, with the tag of its slot.
    pub fn tagged(tag: &str) -> Self {
        Self {
            name: tag.to_owned(),
            prefix: format!("{{{tag}}}:"),
            feed: format!("inventory:feed:{{{tag}}}"),
        }
    }

    /// The whole name of a product, sku or reservation.
    pub fn id(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// All skus.
    pub fn skus(&self) -> Vec<String> {
        let plain = PRODUCTS.iter().filter(|product| **product != "W").map(|product| self.id(product));
        plain.chain(PLACES.iter().map(|place| self.id(&format!("W@{place}")))).collect()
    }

    /// The keys of the available or the reserved counters. With tags, the product is in braces unless it has one of its own.
    pub fn stock_keys(&self, counter: &str) -> Vec<String> {
        self.skus().iter().map(|sku| format!("stock:{counter}:{sku}")).collect()
    }

    /// The calls that stock the shop before its first customer.
    pub fn opening(&self, basics: bool) -> Vec<Vec<String>> {
        let mut calls = vec![format!("INV.WAREHOUSES {} SET a 1 b 1 c 2", self.id("W"))];
        for sku in self.skus() {
            let units = match sku.rsplit(':').next().unwrap_or_default() {
                "P" | "Q" => 1_000_000,
                "RARE" => 12,
                "W@a" | "W@b" | "W@c" => 120,
                _ => 400,
            };
            let note = if basics { String::new() } else { format!(" NOTE opening-{sku}") };
            calls.push(format!("INV.ADJUST {sku} {units} ONCE opening{note}"));
        }
        if !basics {
            calls.push(format!("INV.FLOOR {} 3", self.id("F")));
            calls.push(format!("INV.FLOOR {} 5", self.id("W@b")));
            calls.push(format!("INV.LIMIT {} 4", self.id("L")));
        }
        calls.iter().map(|call| words(call)).collect()
    }
}

pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A reservation that a client knows.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: String,
    /// The call that made it, and what it holds if the client was told.
    made_by: Vec<String>,
    holds: Units,
    buyer: Option<String>,
}

/// Draws what one client asks of one shop.
pub struct Customer {
    client: u32,
    /// The number of ids that it has used.
    count: u64,
    /// The latest ones.
    known: VecDeque<Known>,
    /// Whether to use only what the first version of the module had.
    basics: bool,
}

/// The calls of customers, and of those who count the stock.
const CALLS: &[(u64, &str)] = &[
    (30, "RESERVE"),
    (3, "RESERVE AGAIN"),
    (14, "COMMIT"),
    (3, "COMMIT LATE"),
    (8, "ROLLBACK"),
    (4, "EXTEND"),
    (10, "GET"),
    (8, "STOCK"),
    (3, "ADJUST"),
    (4, "COMMIT ITEMS"),
    (3, "ROLLBACK ITEMS"),
    (6, "REPLACE"),
    (2, "FENCE"),
    (4, "MRESERVE"),
    (2, "MCOMMIT"),
    (2, "MROLLBACK"),
    (2, "SET"),
    (2, "TRANSFER"),
    (1, "FLOOR"),
    (1, "LIMIT"),
    (1, "FORGIVE"),
    (1, "QUOTA"),
];

/// The number of kinds, counted from the first, that the first version had and answered in the same way.
const BASIC_CALLS: usize = 9;

impl Customer {
    pub fn new(client: u32, basics: bool) -> Self {
        Self { client, count: 0, known: VecDeque::new(), basics }
    }

    fn next_id(&mut self, shop: &Shop) -> String {
        self.count += 1;
        shop.id(&format!("c{}-{}", self.client, self.count))
    }

    /// One of its latest reservations, or one of somebody else's.
    fn pick(&self, dice: &mut Dice, others: &[Known]) -> Option<Known> {
        // The end of a generated id is known only after an answer.
        let own: Vec<&Known> = self.known.iter().filter(|known| !known.id.ends_with('*')).collect();
        let own = (!own.is_empty()).then(|| own[dice.place(own.len())].clone());
        let other = (!others.is_empty()).then(|| others[dice.place(others.len())].clone());
        if dice.one_in(5) { other.or(own) } else { own.or(other) }
    }

    /// The words of the next request, whose number is unique.
    pub fn draw(&mut self, dice: &mut Dice, shop: &Shop, others: &[Known], number: u64) -> Vec<String> {
        loop {
            let calls = if self.basics { &CALLS[..BASIC_CALLS] } else { CALLS };
            if let Some(call) = self.try_draw(dice.weighted(calls), dice, shop, others, number) {
                return call;
            }
        }
    }

    fn try_draw(
        &mut self,
        kind: &str,
        dice: &mut Dice,
        shop: &Shop,
        others: &[Known],
        number: u64,
    ) -> Option<Vec<String>> {
        let once = |dice: &mut Dice, sides: u64| {
            if dice.one_in(sides) { format!(" ONCE t{number}") } else { String::new() }
        };
        let always = format!(" ONCE t{number}");
        let note = if self.basics { String::new() } else { format!(" NOTE n{number}") };
        let text = match kind {
            "RESERVE" => return Some(self.reserve(dice, shop, number)),
            "RESERVE AGAIN" if !self.known.is_empty() => {
                let known = &self.known[dice.place(self.known.len())];
                return Some(known.made_by.clone()).filter(|call| !call.is_empty());
            }
            "REPLACE" => return self.replace(dice, shop, others, number),
            "COMMIT" => format!("INV.COMMIT {}{}", self.pick(dice, others)?.id, once(dice, 6)),
            "COMMIT LATE" => format!("INV.COMMIT {} LATE{}", self.pick(dice, others)?.id, once(dice, 6)),
            "ROLLBACK" => format!("INV.ROLLBACK {}{}", self.pick(dice, others)?.id, once(dice, 6)),
            "FENCE" => {
                let id = if dice.one_in(2) { self.next_id(shop) } else { self.pick(dice, others)?.id };
                let made_by = reserve_of(&id, " PX 400", "", &format!("{} 1", shop.id("P")));
                self.know(Known { id: id.clone(), made_by, holds: Units::new(), buyer: None });
                format!("INV.ROLLBACK {id} FENCE")
            }
            "COMMIT ITEMS" | "ROLLBACK ITEMS" => {
                let known = self.pick(dice, others)?;
                let part = part_of(dice, &known.holds)?;
                let verb = kind.split(' ').next()?;
                format!("INV.{verb} {}{always} ITEMS {part}", known.id)
            }
            "EXTEND" => {
                let life = 100 + dice.roll(900);
                format!("INV.EXTEND {} PX {life}{}", self.pick(dice, others)?.id, once(dice, 3))
            }
            "GET" => format!("INV.GET {}", self.pick(dice, others)?.id),
            "MRESERVE" => {
                let count = 2 + dice.roll(2);
                let mut text = format!("INV.MRESERVE PX {} {count}", 100 + dice.roll(600));
                for _ in 0..count {
                    let (id, sku) = (self.next_id(shop), shop.id(dice.pick(&["P", "Q", "RARE"])));
                    let units = dice.up_to(3);
                    text += &format!(" {id} 1 {sku} {units}");
                    let holds = Units::from([(sku.clone(), units)]);
                    let made_by = reserve_of(&id, " PX 500", "", &format!("{sku} {units}"));
                    self.know(Known { id, made_by, holds, buyer: None });
                }
                text
            }
            "MCOMMIT" | "MROLLBACK" => {
                let mut ids: Vec<String> =
                    (0..3).filter_map(|_| self.pick(dice, others)).map(|known| known.id).collect();
                ids.sort();
                ids.dedup();
                if ids.is_empty() {
                    return None;
                }
                format!("INV.{kind} {}", ids.join(" "))
            }
            "STOCK" => {
                let first = dice.place(PRODUCTS.len());
                let products: Vec<String> =
                    PRODUCTS[first..].iter().map(|product| shop.id(product)).collect();
                format!("INV.STOCK {}", products.join(" "))
            }
            "ADJUST" => {
                let (sku, units) = match dice.roll(6) {
                    0..3 => (shop.id("RARE"), dice.up_to(6)),
                    3 => (shop.id("F"), dice.up_to(20)),
                    4 => (shop.id(&format!("W@{}", dice.pick(&PLACES))), dice.up_to(30)),
                    _ => (shop.id("RARE"), -dice.up_to(3)),
                };
                format!("INV.ADJUST {sku} {units}{always}{note}")
            }
            "SET" => {
                let measure = *dice.pick(&[&"AVAILABLE", &"ONHAND"]);
                let (sku, units) = match dice.roll(2) {
                    0 => (shop.id("RARE"), 6 + dice.roll(10)),
                    _ => (shop.id("L"), 300 + dice.roll(100)),
                };
                let force = if dice.one_in(2) { " FORCE" } else { "" };
                format!("INV.SET {sku} {measure} {units}{force}{always}{note}")
            }
            "TRANSFER" => {
                let at = dice.place(3);
                let (from, to) = (PLACES[at], PLACES[(at + 1) % 3]);
                format!("INV.TRANSFER {} {from} {to} {}{always}{note}", shop.id("W"), dice.up_to(9))
            }
            // Only one client sets them: otherwise the order of two settings is not known.
            "FLOOR" if self.client == 1 => {
                let (sku, floor) =
                    *dice.pick(&[&("F", 0), &("F", 3), &("F", -20), &("W@b", 5), &("W@b", 0), &("W@b", -9)]);
                format!("INV.FLOOR {} {floor}", shop.id(sku))
            }
            "LIMIT" if self.client == 1 => format!("INV.LIMIT {} {}", shop.id("L"), 2 + dice.roll(5)),
            "FORGIVE" => {
                let quota = format!("{}@@{}", shop.id("L"), buyer(dice, number));
                format!("INV.ADJUST {quota} 1{always}")
            }
            "QUOTA" => format!("INV.QUOTA {} {}", shop.id("L"), buyer(dice, number)),
            _ => return None,
        };
        Some(words(&text))
    }

    fn reserve(&mut self, dice: &mut Dice, shop: &Shop, number: u64) -> Vec<String> {
        let star = !self.basics && dice.one_in(10);
        let mut id = self.next_id(shop);
        if star {
            id.push_str("-*");
        }
        let (items, has_limit) = order(dice, shop, self.basics);
        let buyer = (has_limit || (!self.basics && dice.one_in(8))).then(|| buyer(dice, number));
        let mut options = lifetime(dice);
        options +=
            dice.weighted(&[(3, ""), (1, " SPLIT priority"), (1, " SPLIT fewest"), (1, " SPLIT none")]);
        if !self.basics && dice.one_in(6) {
            options += " PARTIAL";
        }
        if star || (!self.basics && dice.one_in(6)) {
            options += &format!(" ONCE t{number}");
        }
        let of_buyer = buyer.as_ref().map_or(String::new(), |buyer| format!(" BUYER {buyer}"));
        let call = reserve_of(&id, &options, &of_buyer, &items);
        self.know(Known { id, made_by: call.clone(), holds: Units::new(), buyer });
        call
    }

    /// A change in place, a new reservation in the place of one, or two that become one.
    fn replace(
        &mut self,
        dice: &mut Dice,
        shop: &Shop,
        others: &[Known],
        number: u64,
    ) -> Option<Vec<String>> {
        let old = self.pick(dice, others)?;
        let new = match dice.roll(4) {
            0 => Some(self.pick(dice, &[])?).filter(|new| new.buyer == old.buyer)?.id,
            1 => self.next_id(shop),
            _ => old.id.clone(),
        };
        let (mut items, has_limit) = order(dice, shop, self.basics);
        if has_limit && old.buyer.is_none() {
            items = format!("{} 2", shop.id("Q"));
        }
        // Without a buyer it keeps the one of the old reservation, if that is live.
        let of_buyer = old.buyer.as_ref().map_or(String::new(), |buyer| format!(" BUYER {buyer}"));
        let life = if new == old.id && dice.one_in(2) { String::new() } else { lifetime(dice) };
        let partial = if dice.one_in(5) { " PARTIAL" } else { "" };
        let text =
            format!("INV.REPLACE {} {new}{life}{partial}{of_buyer} ONCE t{number} ITEMS {items}", old.id);
        self.know(Known { id: new, made_by: Vec::new(), holds: Units::new(), buyer: old.buyer });
        Some(words(&text))
    }

    fn know(&mut self, known: Known) {
        self.known.retain(|other| other.id != known.id);
        self.known.push_front(known);
        self.known.truncate(6);
    }

    /// Learns from a reply what a reservation holds. Returns the reservation.
    pub fn hear(&mut self, answer: &serde_json::Value) -> Option<Known> {
        let id = answer["reservation_id"].as_str()?;
        // If a failover has forgotten the first answer, a retry may have completed the id differently.
        let known = self.known.iter_mut().find(|known| canonical(&known.id) == canonical(id))?;
        id.clone_into(&mut known.id);
        known.holds = units(&answer["items"]);
        Some(known.clone())
    }
}

fn reserve_of(id: &str, options: &str, buyer: &str, items: &str) -> Vec<String> {
    words(&format!("INV.RESERVE {id}{options}{buyer} ITEMS {items}"))
}

/// The buyers change over time, because each may have only a few units.
fn buyer(dice: &mut Dice, number: u64) -> String {
    format!("b{}", number / 400 * 4 + dice.roll(4))
}

fn lifetime(dice: &mut Dice) -> String {
    match dice.roll(8) {
        0 => " EX 1".to_owned(),
        1 => " PX 50".to_owned(),
        _ => format!(" PX {}", 100 + dice.roll(900)),
    }
}

/// Some items, and whether the product with a limit is among them.
fn order(dice: &mut Dice, shop: &Shop, basics: bool) -> (String, bool) {
    let mut items = Units::new();
    for _ in 0..=dice.roll(3) {
        let name = dice.weighted(&[
            (4, "P"),
            (3, "Q"),
            (3, "RARE"),
            (2, "L"),
            (2, "F"),
            (3, "W"),
            (1, "W@a"),
            (1, "W@c"),
        ]);
        // One line of W, or the split of one would depend on the others.
        if (name == "L" && basics) || (name.starts_with('W') && items.keys().any(|sku| sku.contains('W'))) {
            continue;
        }
        let most = if name == "W" { 9 } else { 3 };
        items.insert(shop.id(name), dice.up_to(most));
    }
    if items.is_empty() {
        items.insert(shop.id("P"), 1);
    }
    let has_limit = items.contains_key(&shop.id("L"));
    let items: Vec<String> = items.iter().map(|(sku, units)| format!("{sku} {units}")).collect();
    (items.join(" "), has_limit)
}

/// A part of what a reservation holds.
fn part_of(dice: &mut Dice, holds: &Units) -> Option<String> {
    let skus: Vec<(&String, &i64)> = holds.iter().collect();
    let (sku, units) = *skus.get(dice.place(skus.len().max(1)))?;
    Some(format!("{sku} {}", dice.up_to(u64::try_from(*units).ok()?)))
}
