//! What an import would change.

use std::collections::{HashMap, HashSet};

use redis::{RedisResult, Value, cmd, from_redis_value};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::import::commands::Import;
use crate::import::row::{Count, Fault, Kind, Row};
use crate::import::table::Table;
use crate::output::{Output, number_of, plain};
use crate::server::deliver::{Request, deliver};
use crate::server::masters::Masters;
use crate::server::reason;
use crate::stock::{Stock, Units, parse_stock};

/// Products whose stock is requested at once.
const BATCH: usize = 500;

#[derive(Debug, Serialize)]
struct Preview<'a> {
    id: &'a str,
    dry_run: bool,
    rows: usize,
    changes: Vec<Change>,
    /// Rows that say what is so already.
    same: usize,
    /// Rows whose units an earlier run of this import has changed.
    repeated: usize,
    empty: usize,
    failed: Vec<Fault>,
}

/// What one row would change.
#[derive(Debug, Serialize)]
struct Change {
    line: usize,
    sku: String,
    /// There is no such product yet.
    is_new: bool,
    columns: Vec<Difference>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Difference {
    column: &'static str,
    /// `None` if it is not known.
    before: Option<String>,
    after: String,
}

/// Compares the file with the server and prints the differences.
pub fn show(table: &Table, import: &Import, masters: &mut Masters, output: Output) -> Result<Exit, Failure> {
    let mut preview = Preview {
        id: &import.id,
        dry_run: true,
        rows: table.rows.len() + table.faults.len() + table.empty,
        changes: Vec::new(),
        same: 0,
        repeated: 0,
        empty: table.empty,
        failed: table.faults.clone(),
    };
    let progress = output.progress("rows", Some(table.rows.len() as u64));
    for rows in table.rows.chunks(BATCH) {
        let stock = read(masters, rows)?;
        let remembered = remembered(import, masters, rows)?;
        for row in rows {
            match stock.get(row.product()) {
                Some(Err(reason)) => preview.failed.push(row.fault(reason.clone())),
                Some(Ok(stock)) => {
                    let is_repeated = remembered.contains(&row.line);
                    preview.repeated += usize::from(is_repeated);
                    let columns = differences(row, stock.as_ref(), is_repeated);
                    if columns.is_empty() {
                        preview.same += 1;
                    } else {
                        let (line, sku, is_new) = (row.line, row.sku.clone(), stock.is_none());
                        preview.changes.push(Change { line, sku, is_new, columns });
                    }
                }
                None => {}
            }
        }
        progress.add(rows.len() as u64);
    }
    drop(progress);
    preview.failed.sort_by_key(|fault| fault.line);
    let exit = if preview.failed.is_empty() { Exit::Done } else { Exit::Findings };
    if output.is_json {
        output.print_json(&preview)?;
    } else {
        output.print(&plain(&preview.text()))?;
    }
    Ok(exit)
}

type Known = HashMap<String, Result<Option<Stock>, String>>;

/// The stock of the products of these rows; `None` for a product that does not exist.
fn read(masters: &mut Masters, rows: &[Row]) -> Result<Known, Failure> {
    let mut products: Vec<&str> = rows.iter().map(Row::product).collect();
    products.sort_unstable();
    products.dedup();
    let request = |product: &&str| {
        let mut command = cmd("INV.STOCK");
        command.arg(*product);
        Request { id: (*product).to_owned(), command }
    };
    let answers = deliver(masters, &products.iter().map(request).collect::<Vec<_>>(), || None).complete()?;
    let known = |answer| match answer {
        Ok(answer) => parse_stock(answer).transpose(),
        Err(error) => Err(reason::text(&error)),
    };
    Ok(products.into_iter().map(str::to_owned).zip(answers.into_iter().map(known)).collect())
}

/// The lines of the rows whose tokens the server remembers, as far as the user may know.
fn remembered(import: &Import, masters: &mut Masters, rows: &[Row]) -> Result<HashSet<usize>, Failure> {
    let questions = rows.iter().filter_map(|row| Some((row.line, import.remembers(row)?)));
    let (lines, requests): (Vec<usize>, Vec<Request>) = questions.unzip();
    // A user who may not ask sees every row as new.
    if !import.may_ask(rows, masters) {
        return Ok(HashSet::new());
    }
    let answers = deliver(masters, &requests, || None).complete()?;
    let is_remembered = |answer: RedisResult<Value>| {
        answer.is_ok_and(|answer| from_redis_value::<bool>(answer).unwrap_or_default())
    };
    let known = lines.into_iter().zip(answers);
    Ok(known.filter_map(|(line, answer)| is_remembered(answer).then_some(line)).collect())
}

/// What a row says that is not so already. If its units have been changed before, they are not changed again.
fn differences(row: &Row, stock: Option<&Stock>, is_repeated: bool) -> Vec<Difference> {
    let place = stock.and_then(|stock| {
        stock.warehouses.iter().find(|place| Some(place.warehouse.as_str()) == row.warehouse())
    });
    // Of a warehouse that does not exist yet, nothing is known.
    let known = match row.warehouse() {
        Some(_) => place.map(|place| (place.units, place.floor)),
        None => stock.map(|stock| (stock.units, stock.floor)),
    };
    let mut differences = Vec::new();
    let mut differ = |column, before: Option<String>, after: String| {
        if before.as_ref() != Some(&after) {
            differences.push(Difference { column, before, after });
        }
    };
    for setting in &row.settings {
        let before = match setting.kind {
            Kind::Priority => place.map(|place| place.priority.to_uppercase()),
            Kind::Threshold => stock.map(|stock| match stock.threshold {
                ..0 => "OFF".to_owned(),
                threshold => threshold.to_string(),
            }),
            // INV.STOCK does not tell it.
            Kind::Limit => None,
            Kind::Floor => Some(known.map_or(0, |(_, floor)| floor).to_string()),
        };
        differ(setting.kind.column(), before, setting.value.clone());
    }
    if let Some(count) = row.count.filter(|_| !is_repeated) {
        let units = known.map_or(Units::default(), |(units, _)| units);
        let is_known = known.is_some();
        let before = |units: i64| is_known.then(|| units.to_string());
        match count {
            Count::Available(after) => differ("available", before(units.available), after.to_string()),
            Count::OnHand(after) => differ("on_hand", before(units.on_hand()), after.to_string()),
            Count::Adjust(delta) => {
                let after = units.available.saturating_add(delta);
                differ("available", before(units.available), after.to_string());
            }
        }
    }
    differences
}

impl Preview<'_> {
    fn text(&self) -> String {
        let mut text = format!(
            "{}: {} would change something, {} would change nothing, {} would fail",
            number_of(self.rows, "row"),
            self.changes.len(),
            self.same,
            self.failed.len()
        );
        if self.repeated > 0 {
            text += &format!(", {} had been imported with this id before", self.repeated);
        }
        if self.empty > 0 {
            text += &format!(", {} have no value", self.empty);
        }
        text += " (dry run)\n";
        for Change { line, sku, is_new, columns } in &self.changes {
            let columns: Vec<String> = columns
                .iter()
                .map(|Difference { column, before, after }| match before {
                    Some(before) => format!("{column} {before} -> {after}"),
                    None => format!("{column} {after}"),
                })
                .collect();
            let new = if *is_new { "new, " } else { "" };
            text += &format!("line {line}: {sku}: {new}{}\n", columns.join(", "));
        }
        for Fault { line, sku, reason } in &self.failed {
            text += &format!("line {line}: {sku}: {reason}\n");
        }
        text
    }
}
