//! `INV.RESERVE`: holds stock, all or nothing.

use super::change::{Cause, Change, Writes};
use super::effects::Effect;
use super::keyspace::{Keyspace, Tally};
use super::supply::{Budget, Supply, Terms};
use super::sweep::settled_state;
use super::{alerts, allowance, feed, load_repair, once, sweep};
use crate::inventory::allocation::Split;
use crate::inventory::lifetime::Lifetime;
use crate::inventory::line::Line;
use crate::inventory::once::{Answer, Once, Reserved};
use crate::inventory::quantity::UnixMs;
use crate::inventory::refusal::{Rank, Refusal, both, put_off};
use crate::inventory::reservation::Record;
use crate::inventory::sku::ReservationId;
use crate::inventory::state::{Decision, State};

/// A request to hold stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReserveRequest {
    /// The id. If the client left it to the module, this is the generated id.
    pub id: ReservationId,
    /// The lifetime.
    pub lifetime: Lifetime,
    /// The client's free text.
    pub data: Option<String>,
    /// The buyer, if the client names one.
    pub buyer: Option<String>,
    /// How a line may be split if it names a product with warehouses.
    pub split: Split,
    /// Whether to take as much of each line as there is.
    pub partial: bool,
    /// The requested lines. There is at least one, and each sku occurs once.
    pub items: Vec<Line>,
    /// The client's token.
    pub once: Option<Once>,
}

/// Holds the units. If an equal request was answered before, returns the same answer.
///
/// # Errors
///
/// Of all refusals that apply, the one with the lowest [`Rank`] is returned: for example, `MISMATCH` if the id or token
/// was used for something else, the code of the outcome if the reservation has ended, or `INSUFFICIENT`.
pub fn reserve<K: Keyspace>(keys: &mut K, request: &ReserveRequest) -> Result<Reserved, Refusal> {
    let id = &request.id;
    let state = settled_state(keys, id).and_then(|state| state.ours(id));
    let mut budget = Budget::default();
    let (record, moves) = match decide(keys, request, state, &mut budget)? {
        Verdict::Answered(reserved) => return Ok(reserved),
        Verdict::Already(record, expires_at) => {
            let reserved = Reserved::of(record, expires_at);
            once::remember_alone(keys, request.once.as_ref(), &Answer::Reserved(reserved.clone()));
            return Ok(reserved);
        }
        Verdict::Hold(record, moves) => (record, moves),
    };
    // After this point nothing may fail.
    let deadline = record.expires_at;
    let reserved = Reserved {
        id: id.clone(),
        expires_at: deadline,
        items: record.items.clone(),
        short: record.missing().to_vec(),
    };
    let mut effects = vec![Effect::Hold { record, deadline }];
    if request.once.is_some() {
        effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Reserved(reserved.clone())));
    }
    Change {
        writes: Writes::Effects(effects),
        cause: Cause::Reservation(feed::Event::Reserved, id, &reserved.items),
        moves,
        tally: Some((Tally::Reserved, 1)),
    }
    .carry_out(keys);
    load_repair::mark(keys);
    Ok(reserved)
}

/// What a request leads to.
pub(super) enum Verdict {
    /// The token has this answer, and nothing is left to do.
    Answered(Reserved),
    /// An equal request made this live reservation, whose deadline is given.
    Already(Record, UnixMs),
    /// Hold the stock of this record, with these changes of available units. Its deadline is the one in the record.
    Hold(Record, alerts::Moves),
}

/// Decides a request for an id in this state. Overdue units that it needs are released.
#[inline]
pub(super) fn decide<K: Keyspace>(
    keys: &mut K,
    request: &ReserveRequest,
    state: Result<State, Refusal>,
    budget: &mut Budget,
) -> Result<Verdict, Refusal> {
    let id = &request.id;
    let now = keys.now();
    let supply = put_off(Rank::Foreign, Supply::read(keys, &request.items, None));
    let seen = once::look_up(keys, request.once.as_ref());
    let ((state, supply), seen) = both(both(state, supply), seen)?;
    match seen {
        once::Seen::Answered(Answer::Reserved(reserved)) => {
            return answer_again(keys, request, state, reserved).map(Verdict::Answered);
        }
        once::Seen::Answered(other @ (Answer::Ok | Answer::Number(_))) => {
            return Err(once::unexpected(&other));
        }
        once::Seen::New | once::Seen::Other(_) => {}
    }
    let ((), decision) = both(seen.unless_other(), state.reserve(id, &request.items, request.partial))?;
    if let Decision::Already((record, expires_at)) = decision {
        record.check_buyer(request.buyer.as_deref())?;
        return Ok(Verdict::Already(record, expires_at));
    }
    let deadline = request.lifetime.deadline(now, now, keys.settings().lifetimes());
    let (mut supply, deadline) = both(supply, deadline)?;
    if sweep::settle_remembered(keys, id) {
        supply = Supply::read(keys, &request.items, None)?;
    }
    let buyer = request.buyer.as_deref();
    let terms = Terms { split: request.split, partial: request.partial, buyer, ..Terms::default() };
    let (lines, quota) = allowance::pick(keys, &mut supply, &request.items, &terms, budget)?;
    let shelves = supply.shelves(keys, &lines)?;
    shelves.check_room(&lines)?;
    let moves = shelves.moves(&lines);
    let mut record = Record::new(id.clone(), now, deadline, lines.into_owned(), request.data.clone())
        .asked_for(&request.items);
    if request.buyer.is_some() {
        record.buyer.clone_from(&request.buyer);
        record.quota = quota;
    }
    if request.partial {
        record = record.partly(&request.items);
    }
    Ok(Verdict::Hold(record, moves))
}

/// Answers a command whose token was used before. Then the answer was `reserved`.
///
/// While that reservation is live, the answer is the same. After it has ended, the answer is how it ended, because the
/// customer no longer holds the stock. If nothing is known about it, the answer is `NOTFOUND`: the units were held
/// once, and a retry must not hold them again.
fn answer_again<K: Keyspace>(
    keys: &mut K,
    request: &ReserveRequest,
    state: State,
    reserved: Reserved,
) -> Result<Reserved, Refusal> {
    let id = &reserved.id;
    // A generated id is a new one in each retry, so the id of the stored answer decides.
    let state = if *id == request.id { state } else { settled_state(keys, id)? };
    match state {
        State::Live(..) => state.reserve(id, &request.items, request.partial).map(|_| reserved),
        State::Unknown | State::Lapsed { .. } | State::Ended(_) | State::Foreign => {
            Err(state.live(id).err().unwrap_or_else(|| Refusal::NotFound(id.clone())))
        }
    }
}
