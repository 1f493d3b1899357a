//! The rows of `stock`, `stock_movement` and `reservation`: read by name, and written many at a time.

use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use postgres::{Client, Error, Row, Transaction};

use super::{ms, time};
use crate::document::Lines;
use crate::mirror::book::{Changes, Movement, Position, Reservation};
use crate::mirror::entry::{EntryId, Units};

/// The units of these skus.
pub fn stock(client: &mut Client, skus: &[String]) -> Result<Vec<(String, Units)>, Error> {
    let rows = client.query("SELECT sku, available, reserved FROM stock WHERE sku = ANY($1)", &[&skus])?;
    Ok(rows.iter().map(|row| (row.get(0), Units { available: row.get(1), reserved: row.get(2) })).collect())
}

/// The columns of a reservation, in the order of [`reservation`].
pub const RESERVATION: &str = "id, feed, state, held::text, sold::text, returned::text, created_at, expires_at, resolved_at, buyer, \
                               data, replaced_by, document";

/// These reservations.
pub fn reservations(client: &mut Client, ids: &[String]) -> Result<Vec<(String, Reservation)>, Error> {
    let query = format!("SELECT {RESERVATION} FROM reservation WHERE id = ANY($1)");
    Ok(client.query(&query, &[&ids])?.iter().map(reservation).collect())
}

/// Reads a row of [`RESERVATION`].
pub fn reservation(row: &Row) -> (String, Reservation) {
    let reservation = Reservation {
        feed: row.get(1),
        state: row.get(2),
        held: lines(row.get(3)),
        sold: lines(row.get(4)),
        returned: lines(row.get(5)),
        created_at: ms(row.get(6)),
        expires_at: row.get::<_, Option<_>>(7).map(ms),
        resolved_at: row.get::<_, Option<_>>(8).map(ms),
        buyer: row.get(9),
        data: row.get(10),
        replaced_by: row.get(11),
        document: row.get(12),
    };
    (row.get(0), reservation)
}

fn lines(json: &str) -> Lines {
    serde_json::from_str(json).unwrap_or_default()
}

/// Movements of a feed at these entries that the server is not known to have lost.
pub fn movements_at(client: &mut Client, feed: i32, ids: &[EntryId]) -> Result<Vec<Movement>, Error> {
    let (ms_of, seq_of): (Vec<i64>, Vec<i64>) = ids.iter().map(|id| (id.ms, id.seq)).unzip();
    let rows = client.query(
        "SELECT movement.* FROM unnest($2::bigint[], $3::bigint[]) AS wanted (ms, seq), LATERAL (
             SELECT epoch, entry_ms, entry_seq, part, event, sku, quantity, available_change, reserved_change, available,
                    reserved, reservation, replaces, note, by_user, at
             FROM stock_movement
             WHERE feed = $1 AND entry_ms = wanted.ms AND entry_seq = wanted.seq AND part = 1 AND lost_in IS NULL
         ) AS movement",
        &[&feed, &ms_of, &seq_of],
    )?;
    Ok(rows.iter().map(|row| movement(feed, row)).collect())
}

/// The movements at these entries, each of another feed.
pub fn movements_of(client: &mut Client, places: &[(i32, EntryId)]) -> Result<Vec<Movement>, Error> {
    let feeds: Vec<i32> = places.iter().map(|(feed, _)| *feed).collect();
    let (ms_of, seq_of): (Vec<i64>, Vec<i64>) = places.iter().map(|(_, id)| (id.ms, id.seq)).unzip();
    let rows = client.query(
        "SELECT movement.* FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS wanted (feed, ms, seq), LATERAL (
             SELECT epoch, entry_ms, entry_seq, part, event, sku, quantity, available_change, reserved_change, available,
                    reserved, reservation, replaces, note, by_user, at, feed
             FROM stock_movement
             WHERE feed = wanted.feed AND entry_ms = wanted.ms AND entry_seq = wanted.seq AND part = 1 AND lost_in IS NULL
         ) AS movement",
        &[&feeds, &ms_of, &seq_of],
    )?;
    Ok(rows.iter().map(|row| movement(row.get(16), row)).collect())
}

fn movement(feed: i32, row: &Row) -> Movement {
    Movement {
        feed,
        epoch: row.get(0),
        position: Position { entry: EntryId { ms: row.get(1), seq: row.get(2) }, part: row.get(3) },
        event: row.get(4),
        sku: row.get(5),
        quantity: row.get(6),
        change: Units { available: row.get(7), reserved: row.get(8) },
        after: Units { available: row.get(9), reserved: row.get(10) },
        reservation: row.get(11),
        replaces: row.get(12),
        note: row.get(13),
        user: row.get(14),
        at: ms(row.get(15)),
    }
}

/// Writes what has changed in the book.
pub fn write(
    transaction: &mut Transaction<'_>,
    changes: &Changes,
    reservations: &[(String, Reservation)],
) -> Result<(), Error> {
    copy_movements(transaction, &changes.movements)?;
    write_stock(transaction, changes)?;
    write_reservations(transaction, reservations)
}

fn copy_movements(transaction: &mut Transaction<'_>, movements: &[Movement]) -> Result<(), Error> {
    if movements.is_empty() {
        return Ok(());
    }
    const TYPES: [Type; 17] = [
        Type::INT4,
        Type::INT4,
        Type::INT8,
        Type::INT8,
        Type::INT4,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TIMESTAMPTZ,
    ];
    let copy = transaction.copy_in(
        "COPY stock_movement (feed, epoch, entry_ms, entry_seq, part, event, sku, quantity, available_change, reserved_change,
                              available, reserved, reservation, replaces, note, by_user, at)
         FROM STDIN (FORMAT binary)",
    )?;
    let mut copy = BinaryCopyInWriter::new(copy, &TYPES);
    for movement in movements {
        let Movement { feed, epoch, position, event, sku, quantity, change, after, .. } = movement;
        let at = time(movement.at);
        let row: [&(dyn ToSql + Sync); 17] = [
            feed,
            epoch,
            &position.entry.ms,
            &position.entry.seq,
            &position.part,
            event,
            sku,
            quantity,
            &change.available,
            &change.reserved,
            &after.available,
            &after.reserved,
            &movement.reservation,
            &movement.replaces,
            &movement.note,
            &movement.user,
            &at,
        ];
        copy.write(&row)?;
    }
    copy.finish().map(|_| ())
}

fn write_stock(transaction: &mut Transaction<'_>, changes: &Changes) -> Result<(), Error> {
    let gone: Vec<&str> =
        changes.stock.iter().filter(|(_, row)| row.units.is_none()).map(|(sku, _)| sku.as_str()).collect();
    if !gone.is_empty() {
        transaction.execute("DELETE FROM stock WHERE sku = ANY($1)", &[&gone])?;
    }
    let rows: Vec<_> = changes.stock.iter().filter_map(|(sku, row)| Some((sku, row, row.units?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let skus: Vec<&str> = rows.iter().map(|(sku, ..)| sku.as_str()).collect();
    let numbers =
        |number: fn(Units) -> i64| -> Vec<i64> { rows.iter().map(|(_, _, units)| number(*units)).collect() };
    let places = |number: fn(Position) -> i64| -> Vec<i64> {
        rows.iter().map(|(_, row, _)| number(row.position)).collect()
    };
    let small = |number: fn(i32, i32, i32) -> i32| -> Vec<i32> {
        rows.iter().map(|(_, row, _)| number(row.feed, row.epoch, row.position.part)).collect()
    };
    let times: Vec<_> = rows.iter().map(|(_, row, _)| time(row.at)).collect();
    transaction.execute(
        "INSERT INTO stock (sku, available, reserved, feed, epoch, entry_ms, entry_seq, part, at)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::bigint[], $7::bigint[],
                              $8::integer[], $9::timestamptz[])
         ON CONFLICT (sku) DO UPDATE SET
             available = excluded.available, reserved = excluded.reserved, feed = excluded.feed, epoch = excluded.epoch,
             entry_ms = excluded.entry_ms, entry_seq = excluded.entry_seq, part = excluded.part, at = excluded.at",
        &[
            &skus,
            &numbers(|units| units.available),
            &numbers(|units| units.reserved),
            &small(|feed, _, _| feed),
            &small(|_, epoch, _| epoch),
            &places(|position| position.entry.ms),
            &places(|position| position.entry.seq),
            &small(|_, _, part| part),
            &times,
        ],
    )?;
    Ok(())
}

fn write_reservations(
    transaction: &mut Transaction<'_>,
    rows: &[(String, Reservation)],
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = rows.iter().map(|(id, _)| id.as_str()).collect();
    let feeds: Vec<i32> = rows.iter().map(|(_, row)| row.feed).collect();
    let states: Vec<&str> = rows.iter().map(|(_, row)| row.state.as_str()).collect();
    let json = |lines: fn(&Reservation) -> &Lines| -> Vec<String> {
        rows.iter().map(|(_, row)| serde_json::to_string(lines(row)).unwrap_or_default()).collect()
    };
    let texts = |text: fn(&Reservation) -> Option<&String>| -> Vec<Option<&str>> {
        rows.iter().map(|(_, row)| text(row).map(String::as_str)).collect()
    };
    let times = |at: fn(&Reservation) -> Option<i64>| -> Vec<_> {
        rows.iter().map(|(_, row)| at(row).map(time)).collect::<Vec<_>>()
    };
    transaction.execute(
        "INSERT INTO reservation (id, feed, state, held, sold, returned, created_at, expires_at, resolved_at, buyer, data,
                                  replaced_by, document)
         SELECT id, feed, state, held::jsonb, sold::jsonb, returned::jsonb, created_at, expires_at, resolved_at, buyer, data,
                replaced_by, document
         FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                     $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::text[])
              AS new (id, feed, state, held, sold, returned, created_at, expires_at, resolved_at, buyer, data, replaced_by,
                      document)
         ON CONFLICT (id) DO UPDATE SET
             feed = excluded.feed, state = excluded.state, held = excluded.held, sold = excluded.sold,
             returned = excluded.returned, created_at = excluded.created_at, expires_at = excluded.expires_at,
             resolved_at = excluded.resolved_at, buyer = excluded.buyer, data = excluded.data,
             replaced_by = excluded.replaced_by, document = excluded.document",
        &[
            &ids,
            &feeds,
            &states,
            &json(|row| &row.held),
            &json(|row| &row.sold),
            &json(|row| &row.returned),
            &times(|row| Some(row.created_at)),
            &times(|row| row.expires_at),
            &times(|row| row.resolved_at),
            &texts(|row| row.buyer.as_ref()),
            &texts(|row| row.data.as_ref()),
            &texts(|row| row.replaced_by.as_ref()),
            &texts(|row| row.document.as_ref()),
        ],
    )?;
    Ok(())
}
