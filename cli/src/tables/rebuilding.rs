//! What `inv rebuild` reads of the tables, page by page.

use postgres::{Client, Error};

use super::rows::{RESERVATION, reservation};
use super::settings::{PAGE, Setting};
use super::{ms, time};
use crate::mirror::book::Reservation;
use crate::mirror::entry::Units;

/// A reservation, and the deadline of the one that replaced it.
pub type Row = (String, Reservation, Option<i64>);

/// The next reservations after this id, of those that hold units or have ended after `since` (Unix ms).
pub fn reservations_after(client: &mut Client, after: &str, since: i64) -> Result<Vec<Row>, Error> {
    let columns =
        RESERVATION.split(", ").map(|column| format!("reservation.{column}")).collect::<Vec<_>>().join(", ");
    let query = format!(
        "SELECT {columns}, successor.expires_at
         FROM reservation LEFT JOIN reservation AS successor ON successor.id = reservation.replaced_by
         WHERE reservation.id > $1
               AND (reservation.held <> '{{}}' OR reservation.resolved_at > $2 OR successor.expires_at > $2)
         ORDER BY reservation.id LIMIT $3"
    );
    let rows = client.query(&query, &[&after, &time(since), &PAGE])?;
    Ok(rows
        .iter()
        .map(|row| {
            let (id, reservation) = reservation(row);
            (id, reservation, row.get::<_, Option<_>>(13).map(ms))
        })
        .collect())
}

/// The next skus of a table after this one, with their units: `stock` or `quota`.
pub fn counters_after(
    client: &mut Client,
    table: Counted,
    after: &str,
) -> Result<Vec<(String, Units)>, Error> {
    let query = match table {
        Counted::Stock => "SELECT sku, available, reserved FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2",
        Counted::Quota => "SELECT sku, available, reserved FROM quota WHERE sku > $1 ORDER BY sku LIMIT $2",
    };
    let rows = client.query(query, &[&after, &PAGE])?;
    Ok(rows.iter().map(|row| (row.get(0), Units { available: row.get(1), reserved: row.get(2) })).collect())
}

/// A table of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// `stock`.
    Stock,
    /// `quota`.
    Quota,
}

/// All settings.
pub fn settings(client: &mut Client) -> Result<Vec<(Setting, String)>, Error> {
    let rows = client.query("SELECT kind, name, value FROM setting ORDER BY kind, name", &[])?;
    Ok(rows.iter().map(|row| (Setting { kind: row.get(0), name: row.get(1) }, row.get(2))).collect())
}

/// Notes that a rebuild has begun or ended. Until it has ended, no mirror works.
pub fn set_rebuilding(client: &mut Client, is_rebuilding: bool) -> Result<(), Error> {
    client
        .execute("UPDATE mirror SET rebuilding = CASE WHEN $1 THEN now() END", &[&is_rebuilding])
        .map(|_| ())
}
