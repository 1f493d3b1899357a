//! Converts a real server's replies to the short form of the simulation and the model: see
//! `engine/calls.rs`.

use std::collections::BTreeSet;

use crate::harness::Json;
use crate::lines::BETWEEN;

/// The reply to a call, or the refusal.
pub fn short(call: &[String], reply: &Json) -> Result<String, String> {
    if let Some(refusal) = reply.as_str().and_then(|text| text.strip_prefix('-')) {
        return Err(refusal.to_owned());
    }
    let list = |entries: Vec<String>| entries.join("; ");
    let number = |field: &Json| field.as_i64().expect("a number").to_string();
    let of = |field: &Json, names: &[&str]| {
        names.iter().map(|name| number(&field[*name])).collect::<Vec<_>>().join(" ")
    };
    const UNITS: &[&str] = &["available", "reserved", "reservable"];
    Ok(match (call[0].as_str(), reply) {
        (_, Json::Null) => "null".to_owned(),
        ("INV.RESERVE" | "INV.REPLACE", reply) => {
            let short = match reply["short"].as_array() {
                Some(short) if !short.is_empty() => format!(" short {}", items(&reply["short"])),
                Some(_) | None => String::new(),
            };
            format!("OK {} {}{short}", number(&reply["expires_at"]), items(&reply["items"]))
        }
        ("INV.MRESERVE" | "INV.MCOMMIT" | "INV.MROLLBACK", Json::Array(answers)) => {
            let one = |answer: &Json| match answer.as_str() {
                Some(text) => text.trim_start_matches('-').to_owned(),
                None => format!("OK {}", number(answer)),
            };
            answers.iter().map(one).collect::<Vec<_>>().join(BETWEEN)
        }
        ("INV.GET", reply) => text(&reply["state"]),
        ("INV.STOCK", Json::Array(views)) => list(
            views
                .iter()
                .map(|view| if view.is_null() { "null".to_owned() } else { of(view, UNITS) })
                .collect(),
        ),
        ("INV.AUDIT" | "INV.REPAIR", reply) => of(reply, &["reserved", "held"]),
        ("INV.QUOTA", reply) => {
            let shown = |name| if reply[name].is_null() { "null".to_owned() } else { number(&reply[name]) };
            ["limit", "held", "bought", "left"].map(shown).join(" ")
        }
        ("INV.AUDITSCAN", reply) => {
            let found = reply[1].as_array().expect("what was found").iter();
            let stray = |found: &Json| found["stray"].as_i64().unwrap_or(0);
            list(
                found
                    .map(|found| format!("{} {} {}", text(&found["sku"]), found["drift"], stray(found)))
                    .collect(),
            )
        }
        ("INV.STOCKSCAN", reply) => {
            let found = reply[1].as_array().expect("what was found").iter();
            let units = |view: &Json| format!("{} {}", text(&view["product_id"]), of(view, UNITS));
            // SCAN may find a key twice.
            list(found.map(units).collect::<BTreeSet<_>>().into_iter().collect())
        }
        ("INV.SCAN", reply) => {
            let id = |one: &Json| text(if one.is_object() { &one["reservation_id"] } else { one });
            list(reply[1].as_array().expect("what was found").iter().map(id).collect())
        }
        ("INV.ALERTS", reply) => reply.as_array().expect("alerts").len().to_string(),
        (_, Json::String(text)) => text.clone(),
        (_, reply) => reply.to_string(),
    })
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_else(|| panic!("{json} is not text")).to_owned()
}

fn items(lines: &Json) -> String {
    let line = |line: &Json| {
        let warehouse = line["warehouse"].as_str().map(|name| format!("@{name}")).unwrap_or_default();
        format!("{}{warehouse} {}", text(&line["product_id"]), line["quantity"])
    };
    lines.as_array().expect("lines").iter().map(line).collect::<Vec<_>>().join(" ")
}
