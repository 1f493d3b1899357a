//! A walk over the stock of all products on all masters.

use std::collections::HashSet;

use redis::{Value, cmd, from_redis_value};

use crate::failure::Failure;
use crate::server::masters::Masters;
use crate::server::node::Node;
use crate::stock::{Stock, parse_entry};

/// Products in a page: enough that the time on the way does not matter, few enough that no other client waits long.
const PAGE: usize = 500;

/// Which products are walked over.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only products that match this pattern.
    pub pattern: Option<String>,
    /// Only products that are low.
    pub is_low: bool,
}

/// A product with its stock, or with the reason why it cannot be read.
pub type Found = (String, Result<Stock, String>);

/// Calls `each` with every page, each product once. A product that exists during the whole walk is met.
///
/// # Errors
///
/// The first failure of a server, or of `each`.
pub fn walk(
    masters: &mut Masters,
    query: &Query,
    mut each: impl FnMut(&mut Node, Vec<Found>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // The server may list a product twice, and while slots move, so may two masters.
    let mut met = HashSet::new();
    for node in masters.nodes() {
        let mut cursor = "0".to_owned();
        loop {
            let mut command = cmd("INV.STOCKSCAN");
            command.arg(&cursor).arg("COUNT").arg(PAGE);
            if let Some(pattern) = &query.pattern {
                command.arg("MATCH").arg(pattern);
            }
            if query.is_low {
                command.arg("LOW");
            }
            let answer = node.demand(&command)?;
            let (next, entries): (String, Vec<Value>) = from_redis_value(answer)
                .map_err(|error| Failure::refused(format!("{}: INV.STOCKSCAN: {error}", node.name())))?;
            let mut page: Vec<Found> = entries.into_iter().filter_map(parse_entry).collect();
            page.retain(|(product, _)| met.insert(product.clone()));
            if !page.is_empty() {
                each(node, page)?;
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
    }
    Ok(())
}
