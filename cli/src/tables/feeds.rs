//! The rows of `feed`, `epoch` and `gap`.

use std::time::Instant;

use postgres::{Client, Error, Row, Transaction};

use crate::mirror::book::Position;
use crate::mirror::entry::EntryId;
use crate::mirror::feed::{Feed, Mending, OPENING, mending_named};

/// All feeds.
pub fn load(client: &mut Client) -> Result<Vec<Feed>, Error> {
    let rows = client.query(
        "SELECT feed.feed, key, epoch, replication_id, entry_ms, entry_seq, part, entries_read, entries_behind, mending
         FROM feed JOIN epoch USING (feed, epoch)",
        &[],
    )?;
    Ok(rows.iter().map(feed).collect())
}

fn feed(row: &Row) -> Feed {
    let read: i64 = row.get(7);
    let since = Instant::now();
    let position = Position { entry: EntryId { ms: row.get(4), seq: row.get(5) }, part: row.get(6) };
    let mending = |event: &str| Mending { event: mending_named(event), since };
    Feed {
        number: row.get(0),
        key: row.get(1),
        epoch: row.get(2),
        replication_id: row.get(3),
        position,
        written: position,
        read: (read != UNKNOWN).then_some(read),
        behind: row.get(8),
        mending: row.get::<_, Option<&str>>(9).map(mending),
        looks: std::collections::VecDeque::new(),
        due: since,
        pause: std::time::Duration::ZERO,
        place: 0,
        is_suspect: false,
    }
}

/// In the column `entries_read`.
const UNKNOWN: i64 = -1;

/// Enters feeds of which nothing has been read.
pub fn add(client: &mut Client, keys: &[String], replication_id: &str) -> Result<Vec<Feed>, Error> {
    let mut transaction = client.transaction()?;
    let rows = transaction.query(
        "WITH new AS (
             INSERT INTO feed (key, epoch, entry_ms, entry_seq, part, entries_read, mending)
             SELECT key, 1, 0, 0, 1, 0, $3 FROM unnest($1::text[]) AS key
             RETURNING *
         ), history AS (
             INSERT INTO epoch (feed, epoch, replication_id, reason, after_ms, after_seq, lost)
             SELECT feed, 1, $2, 'the first one', 0, 0, 0 FROM new
         )
         SELECT feed, key, epoch, $2 AS replication_id, entry_ms, entry_seq, part, entries_read, entries_behind, mending FROM new",
        &[&keys, &replication_id, &OPENING],
    )?;
    transaction.commit()?;
    Ok(rows.iter().map(feed).collect())
}

/// How a feed was, and how it is.
#[derive(Clone, Debug)]
pub struct Advance {
    /// The number of the feed.
    pub feed: i32,
    /// Its epoch.
    pub epoch: i32,
    /// How far it was read before.
    pub from: Position,
    /// How far it has been read now.
    pub to: Position,
    /// How many entries were ever appended up to there.
    pub read: Option<i64>,
    /// How many follow.
    pub behind: i64,
    /// What explains differences.
    pub mending: Option<&'static str>,
}

/// Moves the positions of feeds. Returns whether all were where they had been left: otherwise another program has written here.
pub fn advance(transaction: &mut Transaction<'_>, feeds: &[Advance]) -> Result<bool, Error> {
    if feeds.is_empty() {
        return Ok(true);
    }
    let small = |number: fn(&Advance) -> i32| -> Vec<i32> { feeds.iter().map(number).collect() };
    let large = |number: fn(&Advance) -> i64| -> Vec<i64> { feeds.iter().map(number).collect() };
    let mending: Vec<Option<&str>> = feeds.iter().map(|feed| feed.mending).collect();
    let moved = transaction.execute(
        "UPDATE feed SET entry_ms = new.to_ms, entry_seq = new.to_seq, part = new.to_part, entries_read = new.entries_read,
                         entries_behind = new.behind, mending = new.mending, read_at = now()
         FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[], $7::bigint[],
                     $8::integer[], $9::bigint[], $10::bigint[], $11::text[])
              AS new (feed, epoch, ms, seq, part, to_ms, to_seq, to_part, entries_read, behind, mending)
         WHERE feed.feed = new.feed AND feed.epoch = new.epoch AND feed.entry_ms = new.ms AND feed.entry_seq = new.seq
               AND feed.part = new.part",
        &[
            &small(|feed| feed.feed),
            &small(|feed| feed.epoch),
            &large(|feed| feed.from.entry.ms),
            &large(|feed| feed.from.entry.seq),
            &small(|feed| feed.from.part),
            &large(|feed| feed.to.entry.ms),
            &large(|feed| feed.to.entry.seq),
            &small(|feed| feed.to.part),
            &large(|feed| feed.read.unwrap_or(UNKNOWN)),
            &large(|feed| feed.behind),
            &mending,
        ],
    )?;
    Ok(moved == feeds.len() as u64)
}

/// Enters entries that were removed before they were read.
pub fn add_gap(
    transaction: &mut Transaction<'_>,
    feed: i32,
    epoch: i32,
    after: EntryId,
    entries: i64,
) -> Result<(), Error> {
    // While the feed is trimmed faster than it is read, each reading finds more.
    let grown = transaction.execute(
        "UPDATE gap SET entries = entries + $3 WHERE feed = $1 AND epoch = $2 AND mended_at IS NULL",
        &[&feed, &epoch, &entries],
    )?;
    if grown == 0 {
        transaction.execute(
            "INSERT INTO gap (feed, epoch, after_ms, after_seq, entries) VALUES ($1, $2, $3, $4, $5)",
            &[&feed, &epoch, &after.ms, &after.seq, &entries],
        )?;
    }
    Ok(())
}

/// Begins a new history of a feed after the entry `fork`, the last one that both have in common, and marks the later movements of the
/// history before as lost. Returns their number. `mending` explains the differences, if there can be any.
pub fn begin_epoch(
    client: &mut Client,
    feed: &mut Feed,
    reason: &str,
    fork: Option<EntryId>,
    mending: Mending,
) -> Result<i64, Error> {
    let after = feed.position.entry;
    let epoch = feed.epoch;
    let mut transaction = client.transaction()?;
    let lost = match fork {
        // A change that was noticed at the last common entry may have happened before it.
        Some(_) => transaction
            .query_one(
                "WITH lost AS (
                     UPDATE stock_movement SET lost_in = $2
                     WHERE feed = $1 AND (entry_ms, entry_seq) > ($3, $4) AND lost_in IS NULL
                     RETURNING part
                 )
                 SELECT count(*) FROM lost WHERE part = 1",
                &[&feed.number, &epoch, &after.ms, &after.seq],
            )?
            .get(0),
        // The feed begins anew, which says nothing about the stock.
        None => 0_i64,
    };
    transaction.execute(
        "INSERT INTO epoch (feed, epoch, replication_id, reason, after_ms, after_seq, lost) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[&feed.number, &epoch, &feed.replication_id, &reason, &after.ms, &after.seq, &lost],
    )?;
    if lost > 0 || fork.is_none() {
        feed.mending = Some(mending);
    }
    let mending = feed.mending.map(|mending| mending.event);
    transaction.execute(
        "UPDATE feed SET epoch = $2, entry_ms = $3, entry_seq = $4, part = 1, entries_read = $5, mending = $6 WHERE feed = $1",
        &[&feed.number, &epoch, &after.ms, &after.seq, &if fork.is_some() { UNKNOWN } else { 0 }, &mending],
    )?;
    transaction.commit()?;
    Ok(lost)
}

/// Begins new histories of feeds of which nothing was lost, at their positions.
pub fn begin_whole_epochs(
    client: &mut Client,
    feeds: &[i32],
    replication_id: &str,
    reason: &str,
) -> Result<(), Error> {
    client.execute(
        "WITH new AS (UPDATE feed SET epoch = epoch + 1 WHERE feed = ANY($1) RETURNING *)
         INSERT INTO epoch (feed, epoch, replication_id, reason, after_ms, after_seq, lost)
         SELECT feed, epoch, $2, $3, entry_ms, entry_seq, 0 FROM new",
        &[&feeds, &replication_id, &reason],
    )?;
    Ok(())
}

/// Enters that the tables have been compared with everything, and that these feeds are mended.
pub fn compared(client: &mut Client, mended: &[i32]) -> Result<(), Error> {
    let mut transaction = client.transaction()?;
    if !mended.is_empty() {
        transaction.execute("UPDATE feed SET mending = NULL WHERE feed = ANY($1)", &[&mended])?;
        transaction.execute(
            "UPDATE gap SET mended_at = now() WHERE feed = ANY($1) AND mended_at IS NULL",
            &[&mended],
        )?;
    }
    transaction
        .execute("UPDATE mirror SET compared_at = now(), opened_at = coalesce(opened_at, now())", &[])?;
    transaction.commit()
}

/// Up to so many skus of which there is something.
pub fn sample(client: &mut Client, most: i64) -> Result<Vec<String>, Error> {
    let rows = client.query(
        "SELECT sku FROM stock WHERE available <> 0 OR reserved <> 0 ORDER BY random() LIMIT $1",
        &[&most],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
