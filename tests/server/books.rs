//! Bookkeeping over the keys of a shop: where each unit is, for tests in which one might get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Client, Json, SOON, wait_until};

/// Reads everything at once, so that no release happens in between. On a cluster node it reads every slot.
const READ: &str = "#!lua flags=allow-cross-slot-keys
local found = {}
for _, pattern in ipairs({'stock:available:*', 'stock:reserved:*', 'reservation:*', 'inventory:outcome:*'}) do
  for _, key in ipairs(redis.call('KEYS', pattern)) do
    if redis.call('TYPE', key).ok == 'string' then
      found[#found + 1] = key
      found[#found + 1] = redis.call('GET', key) or ''
    end
  end
end
return found";

/// Units by sku.
pub type Units = BTreeMap<String, i64>;

/// The state of one database according to its keys.
#[derive(Clone, Debug, Default)]
pub struct Books {
    pub available: Units,
    pub reserved: Units,
    /// Units held by live reservations.
    pub held: Units,
    /// Units sold according to outcomes and partly sold reservations.
    pub sold: Units,
    /// The ids of the live reservations.
    pub live: BTreeSet<String>,
    /// How each remembered reservation ended.
    pub ended: BTreeMap<String, String>,
}

impl Books {
    /// Reads the client's selected database.
    pub fn read(shop: &mut Client) -> Self {
        let found = shop.ask(["EVAL", READ, "0"]);
        let texts: Vec<&str> = found.as_array().expect("an array").iter().filter_map(Json::as_str).collect();
        let mut books = Self::default();
        for pair in texts.chunks(2) {
            books.enter(pair[0], pair[1]);
        }
        books
    }

    /// Waits until the reserved counter of every sku is what live reservations hold, and reads then.
    #[track_caller]
    pub fn balanced(shop: &mut Client) -> Self {
        let mut books = Self::read(shop);
        wait_until("each reserved counter is the sum over the live reservations", SOON, || {
            books = Self::read(shop);
            books.is_balanced()
        });
        books
    }

    /// The books of a cluster, combined from those of its masters.
    pub fn of_all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            let sums = [
                (&mut all.available, part.available),
                (&mut all.reserved, part.reserved),
                (&mut all.held, part.held),
                (&mut all.sold, part.sold),
            ];
            for (sum, units) in sums {
                units.into_iter().for_each(|(sku, units)| *sum.entry(sku).or_default() += units);
            }
            all.live.extend(part.live);
            all.ended.extend(part.ended);
        }
        all
    }

    /// Whether the reserved counter of every sku is what live reservations hold.
    pub fn is_balanced(&self) -> bool {
        self.unbalanced().is_empty()
    }

    /// The skus whose reserved counter differs from what live reservations hold, with both numbers.
    pub fn unbalanced(&self) -> Vec<(String, i64, i64)> {
        let skus: BTreeSet<&String> = self.reserved.keys().chain(self.held.keys()).collect();
        let units = |units: &Units, sku: &String| units.get(sku).copied().unwrap_or(0);
        let both =
            skus.into_iter().map(|sku| (sku.clone(), units(&self.reserved, sku), units(&self.held, sku)));
        both.filter(|(_, reserved, held)| reserved != held).collect()
    }

    /// Available and reserved units of each sku.
    pub fn on_hand(&self) -> Units {
        let mut units = sum(&[&self.available, &self.reserved]);
        units.retain(|sku, _| !sku.contains("@@"));
        units
    }

    /// All units that ever existed, if units only come and go through reservations.
    pub fn units(&self) -> Units {
        let mut units = sum(&[&self.available, &self.reserved, &self.sold]);
        units.retain(|sku, _| !sku.contains("@@"));
        units
    }

    fn enter(&mut self, key: &str, value: &str) {
        if let Some(sku) = key.strip_prefix("stock:available:") {
            self.available.insert(untagged(sku), value.parse().expect("an integer"));
        } else if let Some(sku) = key.strip_prefix("stock:reserved:") {
            self.reserved.insert(untagged(sku), value.parse().expect("an integer"));
        } else if let Some(id) = key.strip_prefix("reservation:") {
            // A value that is not a record of this id is foreign and holds nothing.
            let record: Json = serde_json::from_str(value).unwrap_or_default();
            if record["reservation_id"] == id {
                self.live.insert(id.to_owned());
                add(&mut self.held, &record["items"]);
                add_quotas(&mut self.held, &record);
                add(&mut self.sold, &record["sold"]);
            }
        } else if let Some(id) = key.strip_prefix("inventory:outcome:") {
            let outcome: Json = serde_json::from_str(value).expect("JSON");
            let state = outcome["state"].as_str().expect("a state");
            self.ended.insert(id.to_owned(), state.to_owned());
            // A reservation sold in parts lists what was sold; otherwise all of it was.
            let sold = match &outcome["sold"] {
                Json::Null if state == "committed" => &outcome["items"],
                sold => sold,
            };
            add(&mut self.sold, sold);
        }
    }
}

/// A sku as replies and documents name it. In a cluster, the key has braces around the product.
fn untagged(sku: &str) -> String {
    if let Some((product, buyer)) = sku.split_once("@@") {
        return format!("{}@@{buyer}", untagged(product));
    }
    let whole = sku.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    whole.unwrap_or(sku).to_owned()
}

/// Adds what a record holds of the quotas of its buyer.
fn add_quotas(units: &mut Units, record: &Json) {
    for line in record["quota"].as_array().into_iter().flatten() {
        let product = line["product_id"].as_str().expect("a product");
        let sku = format!("{product}@@{}", record["buyer"].as_str().expect("a buyer"));
        *units.entry(sku).or_default() += line["quantity"].as_i64().expect("a number");
    }
}

fn add(units: &mut Units, lines: &Json) {
    for line in lines.as_array().into_iter().flatten() {
        let product = line["product_id"].as_str().expect("a product");
        let sku = match line["warehouse"].as_str() {
            Some(warehouse) => format!("{product}@{warehouse}"),
            None => product.to_owned(),
        };
        *units.entry(sku).or_default() += line["quantity"].as_i64().expect("a number");
    }
}

fn sum(parts: &[&Units]) -> Units {
    let mut sum = Units::new();
    for (sku, units) in parts.iter().flat_map(|part| part.iter()) {
        *sum.entry(sku.clone()).or_default() += units;
    }
    sum
}

/// Waits until this time, by the clock that the servers share with this test. It needs no running server.
pub fn sleep_past(deadline: i64) {
    wait_until("the clock is past the deadline", SOON, || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis();
        i128::try_from(now).expect("a time") > i128::from(deadline)
    });
}

/// A number of `INFO inv`.
pub fn counted(shop: &mut Client, field: &str) -> i64 {
    shop.info("inv", field).parse().unwrap_or_else(|_| panic!("INFO inv has no number {field}"))
}

/// A count as INFO shows it.
pub fn many(count: usize) -> i64 {
    i64::try_from(count).expect("a small number")
}
