//! The rows of `setting` and `quota`, and pages of names for a comparison with the server.

use postgres::{Client, Error, GenericClient};

use crate::mirror::entry::Units;

/// A floor, a threshold, a limit, or the priority of a warehouse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Setting {
    /// `floor`, `threshold`, `limit` or `warehouse`.
    pub kind: String,
    /// The sku or the product.
    pub name: String,
}

/// Writes settings that differ. Those without a value are removed.
pub fn write(client: &mut Client, settings: &[(Setting, Option<String>)]) -> Result<(), Error> {
    if settings.is_empty() {
        return Ok(());
    }
    let column = |text: fn(&Setting) -> &String, has_value: bool| -> Vec<&str> {
        let rows = settings.iter().filter(|(_, value)| value.is_some() == has_value);
        rows.map(|(setting, _)| text(setting).as_str()).collect()
    };
    let values: Vec<&str> = settings.iter().filter_map(|(_, value)| value.as_deref()).collect();
    client.execute(
        "INSERT INTO setting (kind, name, value) SELECT DISTINCT ON (kind, name) * FROM unnest($1::text[], $2::text[], $3::text[])
              AS new (kind, name, value)
         ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value WHERE setting.value <> excluded.value",
        &[&column(|setting| &setting.kind, true), &column(|setting| &setting.name, true), &values],
    )?;
    client.execute(
        "DELETE FROM setting USING unnest($1::text[], $2::text[]) AS gone (kind, name)
         WHERE setting.kind = gone.kind AND setting.name = gone.name",
        &[&column(|setting| &setting.kind, false), &column(|setting| &setting.name, false)],
    )?;
    Ok(())
}

/// Writes quotas that differ. Those without counters are removed.
pub fn write_quotas(
    client: &mut impl GenericClient,
    quotas: &[(String, Option<Units>)],
) -> Result<(), Error> {
    let gone: Vec<&str> =
        quotas.iter().filter(|(_, units)| units.is_none()).map(|(sku, _)| sku.as_str()).collect();
    if !gone.is_empty() {
        client.execute("DELETE FROM quota WHERE sku = ANY($1)", &[&gone])?;
    }
    let rows: Vec<(&str, Units)> =
        quotas.iter().filter_map(|(sku, units)| Some((sku.as_str(), (*units)?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let skus: Vec<&str> = rows.iter().map(|(sku, _)| *sku).collect();
    let available: Vec<i64> = rows.iter().map(|(_, units)| units.available).collect();
    let reserved: Vec<i64> = rows.iter().map(|(_, units)| units.reserved).collect();
    client.execute(
        "INSERT INTO quota (sku, available, reserved)
         SELECT DISTINCT ON (sku) * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new (sku, available, reserved)
         ON CONFLICT (sku) DO UPDATE SET available = excluded.available, reserved = excluded.reserved
         WHERE (quota.available, quota.reserved) <> (excluded.available, excluded.reserved)",
        &[&skus, &available, &reserved],
    )?;
    Ok(())
}

/// The size of a page.
pub const PAGE: i64 = 1000;

/// The next skus of `stock` after this one.
pub fn skus_after(client: &mut Client, after: &str) -> Result<Vec<String>, Error> {
    names(client, "SELECT sku FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2", after)
}

/// The next quotas.
pub fn quotas_after(client: &mut Client, after: &str) -> Result<Vec<String>, Error> {
    names(client, "SELECT sku FROM quota WHERE sku > $1 ORDER BY sku LIMIT $2", after)
}

/// The next reservations that hold units.
pub fn live_after(client: &mut Client, after: &str) -> Result<Vec<String>, Error> {
    names(client, "SELECT id FROM reservation WHERE held <> '{}' AND id > $1 ORDER BY id LIMIT $2", after)
}

fn names(client: &mut Client, query: &str, after: &str) -> Result<Vec<String>, Error> {
    Ok(client.query(query, &[&after, &PAGE])?.iter().map(|row| row.get(0)).collect())
}

/// The next settings.
pub fn settings_after(client: &mut Client, after: &Setting) -> Result<Vec<Setting>, Error> {
    let rows = client.query(
        "SELECT kind, name FROM setting WHERE (kind, name) > ($1, $2) ORDER BY kind, name LIMIT $3",
        &[&after.kind, &after.name, &PAGE],
    )?;
    Ok(rows.iter().map(|row| Setting { kind: row.get(0), name: row.get(1) }).collect())
}
