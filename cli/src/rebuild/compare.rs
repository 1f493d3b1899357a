//! Compares a server with what the tables say that it should contain.

use std::collections::BTreeSet;

use serde::Serialize;

use super::plan::{Counters, Fate, Moment, first_of_quota, plan};
use super::server::Server;
use crate::document::Document;
use crate::failure::Failure;
use crate::keys::{FLOOR, LIMIT, THRESHOLD, WAREHOUSES, is_quota, product_of, warehouse_of};
use crate::mirror::book::Reservation;
use crate::mirror::entry::Units;
use crate::tables::rebuilding::{self, Counted, Row};
use crate::tables::settings::Setting;
use crate::tables::{Tables, failed};

/// Something of which tables and server do not say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `stock`, `quota`, `reservation`, `outcome`, `floor` and so on.
    pub kind: String,
    /// The sku, the product or the id.
    pub name: String,
    /// What the tables say.
    pub tables: String,
    /// What the server has.
    pub server: String,
}

/// What a comparison has found.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// The differences.
    pub differences: Vec<Difference>,
    /// How many skus were compared.
    pub skus: usize,
    /// How many live reservations.
    pub live: usize,
    /// How many reservations that have ended.
    pub ended: usize,
    /// How many settings.
    pub settings: usize,
}

/// Calls a function with each page of the reservations that matter now.
pub fn for_each_page(
    tables: &mut Tables,
    moment: Moment,
    mut take: impl FnMut(Vec<Row>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let since = moment.now - moment.outcome_ttl;
    let mut after = String::new();
    loop {
        let page = rebuilding::reservations_after(&mut tables.client, &after, since)
            .map_err(|error| failed(&error))?;
        let Some((last, ..)) = page.last() else { return Ok(()) };
        after.clone_from(last);
        take(page)?;
    }
}

/// Calls a function with each page of a table of counters.
pub fn for_each_counter(
    tables: &mut Tables,
    table: Counted,
    mut take: impl FnMut(Vec<(String, Units)>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let page =
            rebuilding::counters_after(&mut tables.client, table, &after).map_err(|error| failed(&error))?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after.clone_from(last);
        take(page)?;
    }
}

/// Compares everything.
pub fn compare(tables: &mut Tables, server: &mut Server, moment: Moment) -> Result<Comparison, Failure> {
    let mut found = Comparison::default();
    let mut counters = Counters::default();
    for_each_page(tables, moment, |page| {
        let ids: Vec<String> = page.iter().map(|(id, ..)| id.clone()).collect();
        for ((id, row, successor), document) in page.into_iter().zip(server.documents(&ids)?) {
            compare_reservation(&mut found, &mut counters, (&id, &row, successor), document, moment);
        }
        Ok(())
    })?;
    let mut known = BTreeSet::new();
    for table in [Counted::Stock, Counted::Quota] {
        for_each_counter(tables, table, |page| {
            let skus: Vec<String> = page.iter().map(|(sku, _)| sku.clone()).collect();
            for ((sku, units), has) in page.into_iter().zip(server.counters(&skus)?) {
                let first = match table {
                    Counted::Stock => counters.first(&sku, units),
                    Counted::Quota => first_of_quota(units),
                };
                found.compare_counters(&sku, counters.last(&sku, first), has);
                known.insert(sku);
            }
            Ok(())
        })?;
    }
    // Of these there are no rows, but reservations.
    let others: BTreeSet<String> =
        counters.live().chain(counters.held()).filter(|sku| !known.contains(*sku)).cloned().collect();
    let others: Vec<String> = others.into_iter().collect();
    for (sku, has) in others.iter().zip(server.counters(&others)?) {
        let first = counters.first(sku, Units::default());
        let first = if is_quota(sku) { Units::default() } else { first };
        found.compare_counters(sku, counters.last(sku, first), has);
    }
    let settings = rebuilding::settings(&mut tables.client).map_err(|error| failed(&error))?;
    found.compare_settings(server, &settings)?;
    Ok(found)
}

fn compare_reservation(
    found: &mut Comparison,
    counters: &mut Counters,
    (id, row, successor): (&str, &Reservation, Option<i64>),
    document: Option<Document>,
    moment: Moment,
) {
    let is_live = document.as_ref().is_some_and(|document| document.state.is_none());
    // Whether a deadline that passes just now has passed is the server's decision.
    let moment = if is_live && row.is_live() { Moment { now: 0, ..moment } } else { moment };
    let plan = plan(id, row, successor, moment);
    counters.add(row, &plan);
    let held = |document: &Document| serde_json::to_string(&document.held()).unwrap_or_default();
    let has = match &document {
        None => "unknown".to_owned(),
        Some(document) => match &document.state {
            None => format!("holds {} until {}", held(document), document.expires_at),
            Some(state) => state.clone(),
        },
    };
    let (kind, should) = match &plan.fate {
        Fate::Forgotten => return,
        Fate::Live { record, .. } => {
            found.live += 1;
            let deadline = match &document {
                Some(document) if plan.lacks_deadline => document.expires_at,
                _ => record.expires_at,
            };
            ("reservation", format!("holds {} until {deadline}", held(record)))
        }
        Fate::Ended { outcome, .. } => {
            found.ended += 1;
            ("outcome", outcome.state.clone().unwrap_or_default())
        }
    };
    if should != has {
        found.add(kind, id, should, has);
    }
}

impl Comparison {
    fn add(&mut self, kind: &str, name: &str, tables: String, server: String) {
        self.differences.push(Difference { kind: kind.to_owned(), name: name.to_owned(), tables, server });
    }

    fn compare_counters(&mut self, sku: &str, should: Units, has: Option<Units>) {
        self.skus += 1;
        if has.unwrap_or_default() == should {
            return;
        }
        let show = |units: Units| format!("available {}, reserved {}", units.available, units.reserved);
        let kind = if is_quota(sku) { "quota" } else { "stock" };
        self.add(kind, sku, show(should), has.map_or_else(|| "unknown".to_owned(), show));
    }

    fn compare_settings(
        &mut self,
        server: &mut Server,
        settings: &[(Setting, String)],
    ) -> Result<(), Failure> {
        self.settings = settings.len();
        let mut keys = Vec::new();
        for (Setting { kind, name }, _) in settings {
            let prefix = match kind.as_str() {
                "floor" => FLOOR,
                "limit" => LIMIT,
                "threshold" => THRESHOLD,
                _ => continue,
            };
            keys.push((name.clone(), server.style.of_sku(prefix, name)));
        }
        let mut values = server.values(&keys)?.into_iter();
        for (Setting { kind, name }, value) in settings {
            let has = match warehouse_of(name).filter(|_| kind == "warehouse") {
                Some(warehouse) => {
                    server.priority(&server.style.of_sku(WAREHOUSES, product_of(name)), name, warehouse)?
                }
                None => values.next().flatten(),
            };
            if has.as_ref() != Some(value) {
                self.add(kind, name, value.clone(), has.unwrap_or_else(|| "none".to_owned()));
            }
        }
        Ok(())
    }
}
