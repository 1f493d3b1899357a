//! Units that no product counts: in a place such as `PROD-9@X` that is not one of the product's warehouses, or under the own name of
//! a product that has warehouses. INV.STOCKSCAN shows neither; docs/warehouses.md explains both.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use redis::{Cmd, Value, cmd, from_redis_value};

use crate::failure::Failure;
use crate::keys::{AVAILABLE, FLOOR, RESERVED, is_quota, product_of};
use crate::mirror::source;
use crate::server::masters::Masters;
use crate::server::node::Node;
use crate::server::reason;
use crate::server::style::Style;

/// Skus that are read at once.
const BATCH: usize = 500;

/// What the walk over the products has met.
#[derive(Debug, Default)]
pub struct Met {
    /// Products with warehouses.
    pub with_warehouses: BTreeSet<String>,
    /// Their warehouses, as skus.
    pub places: HashSet<String>,
}

/// A sku that no product counts.
#[derive(Debug)]
pub enum Loose {
    /// Its product has no warehouses: it is a sku like any other, and is reserved under its whole name.
    Own { available: i64, reserved: i64, floor: i64 },
    /// The product has warehouses and this is none of them: the units cannot be reserved.
    Stray { available: i64, reserved: i64 },
    /// It cannot be read.
    Unreadable(String),
}

/// Finds them, of products that match.
///
/// # Errors
///
/// If a server fails. The inner error says that the user may not look for them.
pub fn find(
    masters: &mut Masters,
    style: Style,
    pattern: Option<&str>,
    met: &Met,
) -> Result<Result<BTreeMap<String, Loose>, String>, Failure> {
    let mut found = BTreeMap::new();
    let mut own_names: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for product in &met.with_warehouses {
        own_names.entry(masters.place_of(&style.feed_of(product))?).or_default().push(product.clone());
    }
    for (place, node) in masters.nodes().iter_mut().enumerate() {
        let mut skus: BTreeSet<String> = own_names.remove(&place).unwrap_or_default().into_iter().collect();
        for pattern in patterns(style, pattern) {
            if let Err(refusal) = scan(node, style, &pattern, met, &mut skus)? {
                return Ok(Err(refusal));
            }
        }
        let skus: Vec<String> = skus.into_iter().collect();
        for skus in skus.chunks(BATCH) {
            if let Err(refusal) = read(node, style, skus, met, &mut found)? {
                return Ok(Err(refusal));
            }
        }
    }
    Ok(Ok(found))
}

/// The patterns of the keys of such skus.
fn patterns(style: Style, pattern: Option<&str>) -> Vec<String> {
    let Some(pattern) = pattern else { return vec!["stock:*@*".to_owned()] };
    let prefixes = [AVAILABLE, RESERVED, FLOOR];
    let of = |id: String| prefixes.map(|prefix| format!("{prefix}{id}@*"));
    match style {
        Style::Plain => of(pattern.to_owned()).to_vec(),
        // A product may have braces of its own.
        Style::Tagged => [of(format!("{{{pattern}}}")), of(pattern.to_owned())].concat(),
    }
}

fn scan(
    node: &mut Node,
    style: Style,
    pattern: &str,
    met: &Met,
    skus: &mut BTreeSet<String>,
) -> Result<Result<(), String>, Failure> {
    let name = node.name();
    let mut cursor = "0".to_owned();
    loop {
        let (next, keys) = match source::scan(node, &cursor, pattern) {
            Ok(page) => page,
            Err(error) if error.code() == Some("NOPERM") => return Ok(Err(reason::text(&error))),
            Err(error) => return Err(reason::failure(&name, &error)),
        };
        for key in keys {
            let rest = [AVAILABLE, RESERVED, FLOOR].iter().find_map(|prefix| key.strip_prefix(prefix));
            let sku = rest.and_then(|rest| style.sku_in(rest));
            skus.extend(sku.filter(|sku| !is_quota(sku) && !met.places.contains(sku)));
        }
        if next == "0" {
            return Ok(Ok(()));
        }
        cursor = next;
    }
}

fn read(
    node: &mut Node,
    style: Style,
    skus: &[String],
    met: &Met,
    found: &mut BTreeMap<String, Loose>,
) -> Result<Result<(), String>, Failure> {
    let name = node.name();
    let reads: Vec<Cmd> = skus
        .iter()
        .map(|sku| {
            let keys = [AVAILABLE, RESERVED, FLOOR].map(|prefix| style.of_sku(prefix, sku));
            cmd("MGET").arg(&keys).take()
        })
        .collect();
    let answers = node.ask_all(&reads).map_err(|error| reason::failure(&name, &error))?;
    for (sku, answer) in skus.iter().zip(answers) {
        let loose = match answer {
            Ok(values) => judge(values, met.with_warehouses.contains(product_of(sku))),
            Err(error) if error.code() == Some("NOPERM") => return Ok(Err(reason::text(&error))),
            // Its slot moves.
            Err(error) => Some(Loose::Unreadable(reason::text(&error))),
        };
        if let Some(loose) = loose {
            found.insert(sku.clone(), loose);
        }
    }
    Ok(Ok(()))
}

/// What these texts of its counters and its floor say; `None` if there is nothing.
fn judge(values: Value, has_warehouses: bool) -> Option<Loose> {
    let Ok(texts) = from_redis_value::<[Option<String>; 3]>(values) else {
        return Some(Loose::Unreadable("its counters are not texts".to_owned()));
    };
    let numbers = texts.map(|text| match text {
        None => Ok(None),
        Some(text) => text.parse::<i64>().map(Some).map_err(|_| text),
    });
    match numbers {
        [Ok(None), Ok(None), Ok(None)] => None,
        [Ok(available), Ok(reserved), Ok(floor)] => {
            let (available, reserved) = (available.unwrap_or_default(), reserved.unwrap_or_default());
            match has_warehouses {
                true if available == 0 && reserved == 0 => None,
                true => Some(Loose::Stray { available, reserved }),
                false => Some(Loose::Own { available, reserved, floor: floor.unwrap_or_default() }),
            }
        }
        [Err(text), ..] | [_, Err(text), _] | [.., Err(text)] => {
            Some(Loose::Unreadable(format!("'{text}' is not an integer")))
        }
    }
}
