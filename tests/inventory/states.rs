//! What each command does in each state, including every refusal.

use redis_inventory::inventory::ending::Ending;
use redis_inventory::inventory::outcome::Outcome;
use redis_inventory::inventory::reservation::Record;
use redis_inventory::inventory::state::{Decision, Rollback, State};

use super::{id, lines, record};

const DEADLINE: i64 = 1900;

fn held() -> Record {
    record("R", "P 5, Q 1")
}

fn live() -> State {
    State::Live(held(), DEADLINE)
}

fn outcome(ending: Ending) -> Outcome {
    Outcome::of(&held(), DEADLINE, ending, 2500, &lines("P 5, Q 1"))
}

fn ended(ending: Ending) -> State {
    State::Ended(outcome(ending))
}

fn lapsed(settled: bool) -> State {
    State::Lapsed { at: DEADLINE, settled }
}

/// A state, and the refusal of a command in it.
type Refused = (State, &'static str);

const NOT_FOUND: &str = "NOTFOUND reservation R is unknown: it was never made, its key was deleted, or its outcome is no longer remembered (inv.outcome-ttl-ms). Check the order in your own database before you retry";
const FOREIGN: &str = "FOREIGN the key of reservation R is not a record of this module, but perhaps one of a script, or a copy: end it with the program that created it, or use a new id";
const COMMITTED: &str = "COMMITTED reservation R was committed at 2500: use a new id for a new order";
const ROLLED_BACK: &str = "ROLLEDBACK reservation R was rolled back at 2500: use a new id for a new order";
const FORGOTTEN: &str = "EXPIRED reservation R expired at 1900, and its outcome is not remembered (inv.outcome-ttl-ms): retry with a new id";
const EXPIRED: &str = "EXPIRED reservation R expired at 1900: retry with a new id, or sell its units with INV.COMMIT R LATE if they are still available";

#[test]
fn an_id_that_is_free_can_be_reserved() {
    for state in [State::Unknown, lapsed(true)] {
        assert_eq!(state.reserve(&id("R"), &lines("P 5"), false), Ok(Decision::Proceed));
    }
}

#[test]
fn the_same_items_again_are_answered_from_the_live_reservation() {
    for asked in ["P 5, Q 1", "Q 1, P 5"] {
        let answer = live().reserve(&id("R"), &lines(asked), false);
        assert_eq!(answer, Ok(Decision::Already((held(), DEADLINE))), "{asked}");
    }
}

#[test]
fn the_same_items_again_are_those_that_were_asked_whatever_parts_have_gone() {
    let left = Record { sold: lines("P 2"), returned: lines("Q 1"), ..record("R", "P 3") };
    let answer = State::Live(left.clone(), DEADLINE).reserve(&id("R"), &lines("P 5, Q 1"), false);
    assert_eq!(answer, Ok(Decision::Already((left.clone(), DEADLINE))));
    let refusal = State::Live(left, DEADLINE).reserve(&id("R"), &lines("P 3"), false).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "MISMATCH reservation R already exists with other items (P 5, Q 1): use a new id"
    );
}

#[test]
fn an_id_is_used_once() {
    let mismatch = "MISMATCH reservation R already exists with other items (P 5, Q 1): use a new id";
    let refused: [Refused; 7] = [
        (live(), mismatch),
        (State::Live(record("R", "P 5, Q 1"), DEADLINE + 7), mismatch),
        (lapsed(false), EXPIRED),
        (ended(Ending::Committed), COMMITTED),
        (ended(Ending::RolledBack), ROLLED_BACK),
        (ended(Ending::Expired), EXPIRED),
        (State::Foreign, FOREIGN),
    ];
    for (state, refusal) in refused {
        for asked in ["P 5", "P 5, Q 2", "P 5, Q@north 1", "P 5, Q 1, S 1"] {
            let answer = state.clone().reserve(&id("R"), &lines(asked), false);
            assert_eq!(answer.unwrap_err().to_string(), refusal, "{asked}");
        }
    }
}

#[test]
fn a_live_reservation_is_committed_and_a_committed_one_is_left_alone() {
    assert_eq!(live().commit(&id("R")), Ok(Some((held(), DEADLINE))));
    assert_eq!(ended(Ending::Committed).commit(&id("R")), Ok(None));
}

#[test]
fn nothing_else_is_committed() {
    let refused: [Refused; 6] = [
        (State::Unknown, NOT_FOUND),
        (lapsed(true), FORGOTTEN),
        (lapsed(false), EXPIRED),
        (ended(Ending::RolledBack), ROLLED_BACK),
        (ended(Ending::Expired), EXPIRED),
        (State::Foreign, FOREIGN),
    ];
    for (state, refusal) in refused {
        assert_eq!(state.commit(&id("R")).unwrap_err().to_string(), refusal);
    }
}

#[test]
fn a_live_reservation_is_rolled_back_and_one_whose_units_are_back_is_left_alone() {
    assert_eq!(live().rollback(&id("R")), Ok(Rollback::Return(held(), DEADLINE)));
    for state in [ended(Ending::RolledBack), lapsed(true), lapsed(false)] {
        assert_eq!(state.rollback(&id("R")), Ok(Rollback::Already));
    }
}

#[test]
fn a_rollback_after_the_deadline_renames_the_outcome() {
    let expired = outcome(Ending::Expired);
    assert_eq!(ended(Ending::Expired).rollback(&id("R")), Ok(Rollback::Rename(expired)));
}

#[test]
fn nothing_else_is_rolled_back() {
    let refused: [Refused; 3] =
        [(State::Unknown, NOT_FOUND), (ended(Ending::Committed), COMMITTED), (State::Foreign, FOREIGN)];
    for (state, refusal) in refused {
        assert_eq!(state.rollback(&id("R")).unwrap_err().to_string(), refusal);
    }
}

#[test]
fn only_a_live_reservation_is_taken_from_in_parts_or_extended() {
    assert_eq!(live().live(&id("R")), Ok((held(), DEADLINE)));
    let refused: [Refused; 7] = [
        (State::Unknown, NOT_FOUND),
        (lapsed(true), FORGOTTEN),
        (lapsed(false), EXPIRED),
        (ended(Ending::Committed), COMMITTED),
        (ended(Ending::RolledBack), ROLLED_BACK),
        (ended(Ending::Expired), EXPIRED),
        (State::Foreign, FOREIGN),
    ];
    for (state, refusal) in refused {
        assert_eq!(state.live(&id("R")).unwrap_err().to_string(), refusal);
    }
}
