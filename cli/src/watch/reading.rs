//! What a reading requests and returns.

use crate::stock::Stock;

/// Reservations that a reading lists, by deadline.
pub const NEAREST: usize = 200;

/// About how many products a page of the walk over all products has. The next reading continues from there.
pub const WALKED: usize = 100;

/// Products whose stock a reading requests.
pub const STOCKS: usize = 200;

/// Alerts that a reading lists.
pub const ALERTS: usize = 100;

/// The newest entries of the feed that a reading inspects.
pub const CHANGES: usize = 500;

/// What a reading requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The products whose stock is requested.
    pub products: Vec<String>,
    /// Only reservations of this product.
    pub of: Option<Search>,
    /// The cursor at which the walk over all products continues.
    pub walk: String,
    /// Only alerts from this time on, in Unix ms.
    pub since: i64,
    /// The last entry of the feed that was seen.
    pub after: Option<String>,
}

/// A search for the reservations of one product. They may be far apart among a million, so it continues from reading to reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The product.
    pub product: String,
    /// The reservations found so far.
    pub known: Vec<String>,
    /// The cursor at which it continues.
    pub from: String,
}

/// What the server answered.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The server's clock minus this machine's, in ms, if the user may read INFO.
    pub ahead: Option<i64>,
    /// INFO, if the user may read it.
    pub info: Option<Info>,
    /// The stock of the requested products, and of those that the walk has met.
    pub stock: Vec<(String, Result<Stock, Absence>)>,
    /// Reservations by deadline.
    pub nearest: Vec<Reservation>,
    /// There are more reservations than those.
    pub is_cut: bool,
    /// If only one product's reservations were requested: the product, and the cursor of the search; `0` at its end.
    pub of: Option<(String, String)>,
    /// The cursor at which the walk over all products continues; `0` at its end. `None` if the user may not walk.
    pub walk: Option<String>,
    /// Newest first.
    pub alerts: Vec<Alert>,
    /// Oldest first.
    pub changes: Vec<Change>,
    /// There were more changes than those.
    pub are_changes_cut: bool,
    /// What could not be read, and why.
    pub notes: Vec<String>,
}

/// The server according to INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Name and version.
    pub server: String,
    /// The run id, which changes with a restart.
    pub run: String,
    /// Live reservations, in all databases.
    pub holds: u64,
    /// Totals since the start.
    pub totals: Totals,
}

/// Totals, which only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Reservations made.
    pub reserved: u64,
    /// Sold.
    pub committed: u64,
    /// Returned by a command.
    pub rolled_back: u64,
    /// Returned at their deadline.
    pub expired: u64,
    /// Refused because there was not enough stock. Only INFO has this.
    pub short: u64,
}

/// Why a product has no stock to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// There is no such product, or it is on another node.
    NotHere,
    /// The user may not see it.
    Hidden,
    /// A counter is not a number, or the server refused for another reason.
    Unreadable,
}

/// A live reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: String,
    /// Unix ms by the server's clock; unknown if the user may not read it.
    pub expires_at: Option<i64>,
    /// Its lines.
    pub items: Vec<Item>,
    /// The shop's DATA.
    pub data: String,
}

/// A line of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The product.
    pub product: String,
    /// If the product has warehouses.
    pub warehouse: Option<String>,
    /// Units.
    pub quantity: i64,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The product.
    pub product: String,
    /// `LOW_STOCK`, `OUT_OF_STOCK`, `BACK_IN_STOCK`.
    pub kind: String,
    /// Units that were available then.
    pub available: i64,
    /// The threshold then.
    pub threshold: i64,
    /// Unix ms by the server's clock.
    pub timestamp: i64,
}

/// An entry of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its id in the stream.
    pub entry: String,
    /// `reserved`, `committed`, ...
    pub event: String,
    /// The product of its sku, or of its alert.
    pub product: String,
    /// The reservation that caused it, if any. A reservation with several lines causes several entries.
    pub reservation: Option<String>,
    /// Unix ms by the server's clock.
    pub timestamp: i64,
}

/// Why a reading failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server rejects this user; trying again is useless.
    Refused(String),
    /// It may work later.
    Lost(String),
}
