//! What a rebuild reads of the server, and what it writes there.

use std::collections::BTreeMap;

use redis::{Cmd, Value, cmd};

use super::plan::{Fate, Moment};
use crate::document::Document;
use crate::failure::Failure;
use crate::keys::{
    AVAILABLE, FLOOR, LIMIT, OUTCOME, RESERVATION, RESERVED, THRESHOLD, WAREHOUSES, product_of, warehouse_of,
};
use crate::mirror::entry::Units;
use crate::mirror::source;
use crate::mirror::wire::{fields, text, transactions, trouble};
use crate::server::masters::Masters;
use crate::server::node::Node;
use crate::server::style::Style;
use crate::tables::settings::Setting;

/// The server, and how it names its keys.
pub struct Server {
    /// Its masters.
    pub masters: Masters,
    /// How it names its keys.
    pub style: Style,
}

impl Server {
    /// The clock and the settings of the server.
    pub fn moment(&mut self) -> Result<Moment, Failure> {
        let node = self.first()?;
        let name = node.name();
        let time = node.ask(&cmd("TIME")).map_err(|error| trouble(&name, &error))?;
        let Value::Array(parts) = time else {
            return Err(Failure::refused(format!("{name} does not answer TIME")));
        };
        let mut parts = parts.into_iter().filter_map(text).filter_map(|part| part.parse::<i64>().ok());
        let (seconds, micros) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut number = |parameter: &str, default: i64| -> Result<i64, Failure> {
            match node.ask(cmd("CONFIG").arg("GET").arg(parameter)) {
                Ok(reply) => {
                    fields(reply).pop().and_then(|(_, value)| text(value)?.parse().ok()).ok_or_else(|| {
                        Failure::refused(format!(
                            "{name} has no parameter {parameter}: the module is not loaded"
                        ))
                    })
                }
                Err(error) if error.code() == Some("NOPERM") => Ok(default),
                Err(error) => Err(trouble(&name, &error)),
            }
        };
        Ok(Moment {
            now: seconds * 1000 + micros / 1000,
            outcome_ttl: number("inv.outcome-ttl-ms", 86_400_000)?,
            hold_ttl: number("inv.hold-ttl-ms", 900_000)?,
        })
    }

    /// A key of the inventory that the server has, if there is one.
    pub fn any_key(&mut self) -> Result<Option<String>, Failure> {
        for node in self.masters.nodes() {
            let name = node.name();
            for pattern in ["stock:*", "reservation:*", "inventory:outcome:*"] {
                let mut cursor = "0".to_owned();
                loop {
                    let (next, keys) =
                        source::scan(node, &cursor, pattern).map_err(|error| trouble(&name, &error))?;
                    if let Some(key) = keys.into_iter().next() {
                        return Ok(Some(key));
                    }
                    cursor = next;
                    if cursor == "0" {
                        break;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Removes everything from the database.
    pub fn flush(&mut self) -> Result<(), Failure> {
        for node in self.masters.nodes() {
            node.demand(&cmd("FLUSHDB"))?;
        }
        Ok(())
    }

    /// The texts of keys, each of the sku or id beside it.
    pub fn values(&mut self, keys: &[(String, String)]) -> Result<Vec<Option<String>>, Failure> {
        let is_cluster = self.masters.is_cluster();
        let mut by_place: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, (id, _)) in keys.iter().enumerate() {
            by_place.entry(self.masters.place_of(&self.style.feed_of(id))?).or_default().push(at);
        }
        let mut found = vec![None; keys.len()];
        for (place, places) in by_place {
            let names: Vec<String> =
                places.iter().filter_map(|at| keys.get(*at)).map(|(_, key)| key.clone()).collect();
            let node = self.at(place)?;
            let name = node.name();
            let values = source::values(node, &names, is_cluster).map_err(|error| trouble(&name, &error))?;
            for (at, value) in places.into_iter().zip(values) {
                if let Some(slot) = found.get_mut(at) {
                    *slot = value;
                }
            }
        }
        Ok(found)
    }

    /// The counters of skus or quotas; `None` if neither exists.
    pub fn counters(&mut self, skus: &[String]) -> Result<Vec<Option<Units>>, Failure> {
        let keys: Vec<(String, String)> = skus
            .iter()
            .flat_map(|sku| [AVAILABLE, RESERVED].map(|prefix| (sku.clone(), self.style.of_sku(prefix, sku))))
            .collect();
        let values = self.values(&keys)?;
        let units = values.chunks(2).map(|pair| match pair {
            [available, reserved] => source::units(available.as_deref(), reserved.as_deref()).0,
            _ => None,
        });
        Ok(units.collect())
    }

    /// Whether each of these reservations has a record, or else an outcome.
    pub fn documents(&mut self, ids: &[String]) -> Result<Vec<Option<Document>>, Failure> {
        let keys: Vec<(String, String)> = ids
            .iter()
            .flat_map(|id| [RESERVATION, OUTCOME].map(|prefix| (id.clone(), self.style.of_id(prefix, id))))
            .collect();
        let values = self.values(&keys)?;
        let documents = ids.iter().zip(values.chunks(2)).map(|(id, pair)| {
            let json = pair.iter().flatten().next()?;
            Document::read(id, json)
        });
        Ok(documents.collect())
    }

    /// The priority of a warehouse, as the tables have it; `None` if the product does not have it.
    pub fn priority(&mut self, key: &str, sku: &str, warehouse: &str) -> Result<Option<String>, Failure> {
        let place = self.masters.place_of(&self.style.feed_of(sku))?;
        let node = self.at(place)?;
        let score = node.demand(cmd("ZSCORE").arg(key).arg(warehouse))?;
        Ok(text(score).and_then(|score| source::priority(&score)))
    }

    /// Writes settings.
    pub fn write_settings(&mut self, settings: &[(Setting, String)]) -> Result<(), Failure> {
        let mut commands = Vec::new();
        for (Setting { kind, name }, value) in settings {
            let command = match (kind.as_str(), warehouse_of(name)) {
                ("warehouse", Some(warehouse)) => {
                    let score = if value == "closed" { "+inf" } else { value };
                    let key = self.style.of_sku(WAREHOUSES, product_of(name));
                    cmd("ZADD").arg(key).arg(score).arg(warehouse).take()
                }
                ("floor", _) => cmd("SET").arg(self.style.of_sku(FLOOR, name)).arg(value).take(),
                ("limit", _) => cmd("SET").arg(self.style.of_sku(LIMIT, name)).arg(value).take(),
                ("threshold", _) => cmd("SET").arg(self.style.of_sku(THRESHOLD, name)).arg(value).take(),
                _ => continue,
            };
            commands.push((name.clone(), command));
        }
        self.send(commands)
    }

    /// Writes counters that do not exist.
    pub fn write_counters(&mut self, counters: &[(String, Units)]) -> Result<(), Failure> {
        let mut commands = Vec::new();
        for (sku, units) in counters {
            let set = |prefix: &str, units: i64| {
                let key = self.style.of_sku(prefix, sku);
                (sku.clone(), cmd("SET").arg(key).arg(units).arg("NX").take())
            };
            commands.push(set(AVAILABLE, units.available));
            if units.reserved != 0 {
                commands.push(set(RESERVED, units.reserved));
            }
        }
        self.send(commands)
    }

    /// Writes reservations that neither have a record nor an outcome: each with the units that it moves, at once.
    pub fn write_reservations(&mut self, fates: &[(String, Fate)]) -> Result<(), Failure> {
        let mut blocks: BTreeMap<usize, Vec<Vec<Cmd>>> = BTreeMap::new();
        for (id, fate) in fates {
            let block = match fate {
                Fate::Live { record, deadline, moved } => {
                    let mut block = Vec::new();
                    for (sku, units) in moved {
                        block.push(cmd("DECRBY").arg(self.style.of_sku(AVAILABLE, sku)).arg(*units).take());
                        block.push(cmd("INCRBY").arg(self.style.of_sku(RESERVED, sku)).arg(*units).take());
                    }
                    block.push(self.set(RESERVATION, id, record, *deadline));
                    block
                }
                Fate::Ended { outcome, until } => vec![self.set(OUTCOME, id, outcome, *until)],
                Fate::Forgotten => continue,
            };
            let place = self.masters.place_of(&self.style.feed_of(id))?;
            blocks.entry(place).or_default().push(block);
        }
        for (place, blocks) in blocks {
            let node = self.at(place)?;
            let name = node.name();
            for answer in transactions(node, &blocks).map_err(|error| trouble(&name, &error))? {
                for value in answer.map_err(|error| trouble(&name, &error))? {
                    if let Value::ServerError(error) = value {
                        return Err(trouble(&name, &error.into()));
                    }
                }
            }
        }
        Ok(())
    }

    fn set(&self, prefix: &str, id: &str, document: &Document, until: i64) -> Cmd {
        cmd("SET").arg(self.style.of_id(prefix, id)).arg(document.write()).arg("PXAT").arg(until).take()
    }

    /// Sends commands to the masters of their skus.
    fn send(&mut self, commands: Vec<(String, Cmd)>) -> Result<(), Failure> {
        let mut by_place: BTreeMap<usize, Vec<Cmd>> = BTreeMap::new();
        for (id, command) in commands {
            let place = self.masters.place_of(&self.style.feed_of(&id))?;
            by_place.entry(place).or_default().push(command);
        }
        for (place, commands) in by_place {
            let node = self.at(place)?;
            let name = node.name();
            for answer in node.ask_all(&commands).map_err(|error| trouble(&name, &error))? {
                answer.map_err(|error| trouble(&name, &error))?;
            }
        }
        Ok(())
    }

    fn first(&mut self) -> Result<&mut Node, Failure> {
        self.at(0)
    }

    fn at(&mut self, place: usize) -> Result<&mut Node, Failure> {
        let name = self.masters.name();
        self.masters
            .nodes()
            .get_mut(place)
            .ok_or_else(|| Failure::connection(format!("{name} has no master")))
    }
}
