//! Finds the last entry that a feed has in common with what the tables say, after a failover, a restart, or the loss of the feed.
//!
//! A replica that is promoted has the beginning of what its master had. So the newest entry that both have, with the same content,
//! is where the two histories part. The id alone does not tell: ids can come again.

use std::collections::HashMap;

use super::book::is_same;
use super::entry::EntryId;
use super::feed::Feed;
use super::source;
use super::wire::trouble;
use crate::failure::Failure;
use crate::server::node::Node;
use crate::tables::{Tables, failed, rows};

/// So many entries are compared at a time.
const STEP: usize = 1000;

/// The last entry that both have in common; `None` if there is none.
pub fn find(node: &mut Node, tables: &mut Tables, feed: &Feed) -> Result<Option<EntryId>, Failure> {
    let mut from = feed.position.entry;
    if from == EntryId::ZERO {
        return Ok(None);
    }
    loop {
        let entries = source::read_backwards(node, &feed.key, from, STEP)
            .map_err(|error| trouble(&node.name(), &error))?;
        let ids: Vec<EntryId> =
            entries.iter().filter(|entry| entry.change.is_some()).map(|entry| entry.id).collect();
        let known =
            rows::movements_at(&mut tables.client, feed.number, &ids).map_err(|error| failed(&error))?;
        let known: HashMap<EntryId, _> =
            known.iter().map(|movement| (movement.position.entry, movement)).collect();
        let common = entries.iter().find(|entry| {
            let movement = known.get(&entry.id);
            entry.change.as_ref().zip(movement).is_some_and(|(change, movement)| is_same(change, movement))
        });
        if let Some(entry) = common {
            return Ok(Some(entry.id));
        }
        match entries.last() {
            Some(oldest) if entries.len() == STEP => from = before(oldest.id),
            _ => return Ok(None),
        }
    }
}

/// The highest id below this one.
const fn before(id: EntryId) -> EntryId {
    match id.seq {
        0 => EntryId { ms: id.ms - 1, seq: i64::MAX },
        seq => EntryId { ms: id.ms, seq: seq - 1 },
    }
}
