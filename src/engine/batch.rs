//! `INV.MRESERVE`, `INV.MCOMMIT` and `INV.MROLLBACK`: one call on many reservations.
//!
//! Each element is decided as if it came alone, in order, and gets its own answer. All of them are written and replicated
//! together: see `draft`.

use super::draft::Draft;
use super::effect::units_of;
use super::feed::Event;
use super::keyspace::{Keyspace, Ranking, Tally};
use super::load_repair;
use super::places::{self, check_work};
use super::reserve::{self, ReserveRequest, Verdict};
use super::resolve::{check_counters, end_effect, rename_effect};
use super::settle::give_back_all;
use super::supply::Budget;
use super::sweep::{catch_up, settled_state_alone};
use crate::inventory::ending::Ending;
use crate::inventory::key::Key;
use crate::inventory::quantity::UnixMs;
use crate::inventory::refusal::Refusal;
use crate::inventory::reservation::Record;
use crate::inventory::sku::ReservationId;
use crate::inventory::state::{Rollback, State};

/// The maximum number of reservations in one call, whatever `inv.max-batch` says.
pub const MOST_RESERVATIONS: usize = 1000;

/// The maximum number of lines in one call, for all its reservations together.
pub const MOST_LINES: usize = 1000;

/// The maximum size, in bytes, of the free texts of the reservations that one call ends. A text is read, and stored and
/// replicated again with the outcome: this many bytes take more than a millisecond.
const MOST_DATA: usize = 512 << 10;

/// The number of lines of stored records and outcomes that one call reads. Reading them takes two milliseconds.
const MOST_READ: usize = 16_384;

/// The bytes of a free text that take as long to read as a line.
const BYTES_A_LINE: usize = 128;

/// Reserves for each request, or says why not. Returns the deadlines.
///
/// # Errors
///
/// `ERR` if the products have too many warehouses in total. Everything else concerns one element.
pub fn reserve_each<K: Keyspace>(
    keys: &mut K,
    requests: &[ReserveRequest],
) -> Result<Vec<Result<UnixMs, Refusal>>, Refusal> {
    check_places(keys, requests)?;
    catch_up(keys);
    keys.ledger(|ledger| ledger.holds.fetch(requests.iter().map(|request| &request.id)));
    let mut budget = Budget::default();
    let mut work = Work::default();
    let mut draft = Draft::new(keys, requests.len());
    let mut holds = false;
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        let state = work.read(&mut draft, &request.id);
        answers.push(match reserve::decide(&mut draft, request, state, &mut budget) {
            Ok(Verdict::Answered(reserved)) => Ok(reserved.expires_at),
            Ok(Verdict::Already(_, expires_at)) => Ok(expires_at),
            Ok(Verdict::Hold(record, _)) => {
                let expires_at = record.expires_at;
                draft.hold(record);
                holds = true;
                Ok(expires_at)
            }
            Err(refusal) => Err(refusal),
        });
    }
    draft.write();
    if holds {
        load_repair::mark(keys);
    }
    Ok(answers)
}

/// Sells what each of these reservations holds, or says why not.
pub fn commit_each<K: Keyspace>(keys: &mut K, ids: &[ReservationId]) -> Vec<Result<(), Refusal>> {
    end_each(keys, ids, Ending::Committed)
}

/// Returns what each of these reservations holds, or says why not.
pub fn roll_back_each<K: Keyspace>(keys: &mut K, ids: &[ReservationId]) -> Vec<Result<(), Refusal>> {
    end_each(keys, ids, Ending::RolledBack)
}

fn end_each<K: Keyspace>(keys: &mut K, ids: &[ReservationId], ending: Ending) -> Vec<Result<(), Refusal>> {
    catch_up(keys);
    keys.ledger(|ledger| ledger.holds.fetch(ids.iter()));
    let mut work = Work::default();
    let mut draft = Draft::new(keys, ids.len());
    let answers = ids.iter().map(|id| end(&mut draft, &mut work, id, ending)).collect();
    draft.write();
    answers
}

/// Ends one whole reservation, as COMMIT or ROLLBACK does.
fn end<K: Keyspace>(
    draft: &mut Draft<'_, K>,
    work: &mut Work,
    id: &ReservationId,
    ending: Ending,
) -> Result<(), Refusal> {
    let state = work.read(draft, id)?;
    let live = match ending {
        Ending::Committed => state.commit(id)?,
        Ending::RolledBack | Ending::Expired | Ending::Replaced => match state.rollback(id)? {
            Rollback::Already => None,
            Rollback::Rename(outcome) => {
                let renamed = rename_effect(draft, id, outcome);
                draft.accept(id, renamed, Tally::RolledBack);
                None
            }
            Rollback::Return(record, deadline) => Some((record, deadline)),
        },
    };
    let Some((record, deadline)) = live else { return Ok(()) };
    work.end(&record)?;
    let lines = &record.items;
    check_counters(draft, &record, lines, ending)?;
    let end = end_effect(draft, &record, deadline, ending, lines);
    let told = match ending {
        Ending::Committed => (Event::Committed, Tally::Committed),
        Ending::RolledBack | Ending::Expired | Ending::Replaced => (Event::RolledBack, Tally::RolledBack),
    };
    let quota = give_back_all(draft, &record.quota, ending);
    draft.end(id, lines, lines.iter().map(|line| units_of(line, ending)).chain(quota), end, told);
    Ok(())
}

/// The work that one call has done, which is bounded.
#[derive(Default)]
struct Work {
    /// The lines that it has read from records and outcomes, and their free texts, counted as lines.
    read: usize,
    /// The lines of the reservations that it ends.
    moved: usize,
    /// The bytes of their free texts.
    data: usize,
}

impl Work {
    /// Reads the state of a reservation.
    fn read<K: Keyspace>(&mut self, draft: &mut Draft<'_, K>, id: &ReservationId) -> Result<State, Refusal> {
        if self.read > MOST_READ {
            return Err(Refusal::CallFull(id.clone()));
        }
        let state = settled_state_alone(draft, id)?.ours(id)?;
        let (lines, data) = match &state {
            State::Live(record, _) => (record.items.len(), record.data.as_ref()),
            State::Ended(outcome) => (outcome.items.len(), outcome.data.as_ref()),
            State::Unknown | State::Lapsed { .. } | State::Foreign => (0, None),
        };
        let data = data.map_or(0, String::len).div_euclid(BYTES_A_LINE);
        self.read = self.read.saturating_add(lines).saturating_add(data);
        Ok(state)
    }

    /// Counts the lines and the free text of a reservation that is to end. The first one may have any number.
    ///
    /// # Errors
    ///
    /// [`Refusal::CallFull`] (`TRYAGAIN`) if there are too many.
    fn end(&mut self, record: &Record) -> Result<(), Refusal> {
        let moved = self.moved.saturating_add(record.items.len());
        let data = self.data.saturating_add(record.data.as_ref().map_or(0, String::len));
        if self.moved > 0 && (moved > MOST_LINES || data > MOST_DATA) {
            return Err(Refusal::CallFull(record.id.clone()));
        }
        (self.moved, self.data) = (moved, data);
        Ok(())
    }
}

/// Checks the number of warehouses that the lines of all requests have to be picked from.
///
/// # Errors
///
/// `ERR` if there are too many.
fn check_places<K: Keyspace>(keys: &mut K, requests: &[ReserveRequest]) -> Result<(), Refusal> {
    let mut places = 0_usize;
    for line in requests.iter().flat_map(|request| &request.items) {
        let product = line.sku.product();
        if line.sku.warehouse().is_some() || keys.ledger(|ledger| ledger.has_no_warehouses(product)) {
            continue;
        }
        let found = match keys.ranking(Key::Warehouses(product), 0) {
            Ranking::Absent | Ranking::Other(_) => 0,
            Ranking::Members(members) => members.len(),
            // A set that has more than a product may have is not examined, and only its own element is refused.
            Ranking::TooMany(count) if count > places::MOST => 0,
            Ranking::TooMany(count) => count,
        };
        places = places.saturating_add(found);
        check_work(places)?;
    }
    Ok(())
}
