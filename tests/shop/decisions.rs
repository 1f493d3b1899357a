//! The tables of the document, of the code in Rust, and of the code in Python are the same.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::example::crew::python;
use crate::example::protocol::{OrderState, Payment, Reservation, action, step};

const DOCUMENT: &str = include_str!("../../docs/orders-in-sql.md");

/// A table of the document, by row and column. Its first heading is this one.
fn table(heading: &str) -> BTreeMap<(String, String), String> {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with(&format!("| {heading} |")));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let mut rows = rows.take_while(|line| line.starts_with('|')).map(cells);
    let columns = rows.next().unwrap_or_else(|| panic!("no table {heading}"));
    let mut found = BTreeMap::new();
    for row in rows.skip(1) {
        for (column, cell) in columns.iter().zip(&row).skip(1) {
            found.insert((row[0].clone(), column.clone()), cell.clone());
        }
    }
    found
}

fn python_tables() -> Json {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shop/shop.py");
    let output = python().args([script, "table"]).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_document_and_both_languages_decide_the_same_for_every_pair_of_states() {
    let python = python_tables();
    let mut document = table("order");
    for order in OrderState::ALL {
        for reservation in Reservation::ALL {
            let decided = action(order, reservation).name();
            assert_eq!(
                python["action"][order.name()][reservation.name()],
                decided,
                "{order:?} {reservation:?}"
            );
            // The document has placed orders in a table of their own.
            if order != OrderState::Placed {
                let pair = (order.name().to_owned(), reservation.name().to_owned());
                assert_eq!(document.remove(&pair).as_deref(), Some(decided), "{pair:?}");
            }
        }
    }
    assert!(document.is_empty(), "the document has more: {document:?}");
}

#[test]
fn the_document_and_both_languages_decide_the_same_about_the_payment_of_a_placed_order() {
    let python = python_tables();
    let mut document = table("payment");
    for payment in Payment::ALL {
        for (index, (column, in_time)) in [("in time", true), ("too late", false)].into_iter().enumerate() {
            let decided = step(payment, in_time).name();
            assert_eq!(python["step"][payment.name()][index], decided, "{payment:?}");
            let pair = (payment.name().to_owned(), column.to_owned());
            assert_eq!(document.remove(&pair).as_deref(), Some(decided), "{pair:?}");
        }
    }
    assert!(document.is_empty(), "the document has more: {document:?}");
}

#[test]
fn the_document_shows_the_schema_and_the_statements_as_they_are() {
    let schema = include_str!("../../examples/shop/schema.sql");
    // Each block of SQL is in the schema, line by line.
    let blocks = DOCUMENT.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut lines = 0;
    for line in blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty()) {
        assert!(schema.lines().any(|known| known == line), "the schema has no such line: {line}");
        lines += 1;
    }
    assert!(lines > 15, "only {lines} lines of SQL were found");
}
