//! What customers of a shop may conclude from the answers to their calls.
//!
//! When several customers send the lines of `common/lines.rs` at the same time, no model can know in which order the server
//! carries them out. But each reservation has only one customer. So [`Told`] keeps the states in which each reservation may
//! be: a call that is sent adds the states to which it may lead, and its answer excludes all other states.

use std::collections::{BTreeMap, BTreeSet};

use crate::dice::Dice;
use crate::harness::{Json, code};
use crate::lines::{CUSTOMER_CALLS, Life, Line, Lines, elements};

/// The skus that customers ask for. W is kept in warehouses.
pub const SKUS: &[&str] = &["P", "Q", "R", "RARE", "W@north", "W@south", "W@east", "W"];

/// The calls of a customer whose ids all begin with `prefix`.
pub fn lines(prefix: String, life: impl Fn(&mut Dice) -> Life + Send + 'static) -> Lines {
    Lines::new(life).with_prefix(prefix).with_skus(SKUS).with_calls(CUSTOMER_CALLS)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Absent,
    Reserved,
    Expired,
    Committed,
    RolledBack,
    Replaced,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Absent, Self::Reserved, Self::Expired, Self::Committed, Self::RolledBack, Self::Replaced];

    /// What INV.GET answers.
    fn of(found: &Json) -> Self {
        let name = found["state"].as_str();
        let state = Self::ALL.into_iter().find(|state| state.name() == name);
        state.unwrap_or_else(|| panic!("{found} is in an unknown state"))
    }

    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Absent => return None,
            Self::Reserved => "reserved",
            Self::Expired => "expired",
            Self::Committed => "committed",
            Self::RolledBack => "rolled_back",
            Self::Replaced => "replaced",
        })
    }

    /// The code with which a call is refused that needs a live reservation.
    fn refusal(self) -> &'static str {
        match self {
            Self::Absent => "NOTFOUND",
            Self::Reserved => "MISMATCH",
            Self::Expired => "EXPIRED",
            Self::Committed => "COMMITTED",
            Self::RolledBack => "ROLLEDBACK",
            Self::Replaced => "REPLACED",
        }
    }
}

/// What is known of one reservation.
#[derive(Clone, Debug)]
struct Known {
    /// Its possible states before the call that waits for its answer.
    before: BTreeSet<State>,
    /// Its possible states now.
    now: BTreeSet<State>,
    /// The units of its smallest RESERVE.
    asked: i64,
    /// The units of all parts that were asked for, answered or not.
    parts: i64,
}

/// The possible states of each reservation.
#[derive(Clone, Debug, Default)]
pub struct Told(BTreeMap<String, Known>);

impl Told {
    /// A call is sent. From now on it may be carried out, even if no answer arrives.
    pub fn send(&mut self, line: &Line) {
        elements(line).iter().for_each(|element| self.send_one(element));
    }

    fn send_one(&mut self, line: &Line) {
        if line[0] == "INV.REPLACE" {
            for (id, next) in [(&line[1], State::Replaced), (&line[2], State::Reserved)] {
                let known = self.open(id);
                if next == State::Reserved {
                    known.asked = known.asked.min(units_of(line));
                }
                if next == State::Reserved || line[1] != line[2] {
                    known.now.insert(next);
                }
            }
            return;
        }
        let Some(id) = id_of(line) else { return };
        let known = self.open(id);
        match line[0].as_str() {
            "INV.RESERVE" => known.asked = known.asked.min(units_of(line)),
            _ => known.parts += units_of(line),
        }
        let ways = known.before.iter().flat_map(|state| ways(line, *state, known.parts >= known.asked));
        known.now.extend(ways.map(|(_, next)| next));
    }

    /// What is known of a reservation when a call about it is sent.
    fn open(&mut self, id: &str) -> &mut Known {
        let absent = || BTreeSet::from([State::Absent]);
        let known = self.0.entry(id.to_owned()).or_insert_with(|| Known {
            before: absent(),
            now: absent(),
            asked: i64::MAX,
            parts: 0,
        });
        // A reservation expires by itself.
        if known.now.contains(&State::Reserved) {
            known.now.insert(State::Expired);
        }
        known.before = known.now.clone();
        known
    }

    /// INV.REPLACE is answered: with success, it tells the states of both reservations.
    fn hear_of_replaced(&mut self, line: &Line, short: &str) -> bool {
        let (old, new) = (&line[1], &line[2]);
        let (before_old, before_new) = (self.0[old].before.clone(), self.0[new].before.clone());
        let may_be = |states: &BTreeSet<State>, all: &[State]| all.iter().any(|state| states.contains(state));
        if short == "OK" {
            let known = self.0.get_mut(new).expect("it was sent");
            known.now = BTreeSet::from([State::Reserved]);
            if old == new {
                return may_be(&before_new, &[State::Absent, State::Reserved]);
            }
            self.0.get_mut(old).expect("it was sent").now = BTreeSet::from([State::Replaced]);
            let others = [State::Absent, State::Reserved, State::Expired, State::RolledBack, State::Replaced];
            return may_be(&before_new, &[State::Absent, State::Reserved]) && may_be(&before_old, &others);
        }
        for (id, before) in [(old, &before_old), (new, &before_new)] {
            self.0.get_mut(id).expect("it was sent").now = before.clone();
        }
        let has_token = line.iter().any(|word| word == "ONCE");
        let is_code_of = |state: &State| state.refusal() == short && (*state != State::Absent || has_token);
        // Two reservations of different buyers, and the call does not say whose the new one is.
        let may_have_two_buyers = old != new
            && [&before_old, &before_new].iter().all(|states| states.contains(&State::Reserved))
            && !line.iter().any(|word| word == "BUYER");
        // A product may have a limit, which needs a buyer.
        let may_lack_a_buyer = !line.iter().any(|word| word == "BUYER");
        ["INSUFFICIENT", "LIMIT", "OOM"].contains(&short)
            || (short == "ERR" && (may_have_two_buyers || may_lack_a_buyer))
            || (short == "MISMATCH" && has_token)
            || before_old.iter().chain(&before_new).any(is_code_of)
    }

    /// The call that was sent last is answered. The error says that its customer could not expect this answer.
    pub fn hear(&mut self, line: &Line, answer: &Result<Json, String>) -> Result<(), String> {
        if !line[0].starts_with("INV.M") {
            return self.hear_one(line, answer);
        }
        // Each element has its own answer, unless the whole call is refused. All of them are heard, whatever one of them says.
        let elements = elements(line);
        let answers: Vec<Result<Json, String>> = match answer {
            Ok(answers) => answers.as_array().expect("an array").iter().map(of_element).collect(),
            Err(refusal) => vec![Err(refusal.clone()); elements.len()],
        };
        assert_eq!(answers.len(), elements.len(), "answers to {line:?}");
        let mut heard = Ok(());
        for (element, answer) in elements.iter().zip(&answers) {
            heard = heard.and(self.hear_one(element, answer));
        }
        heard
    }

    fn hear_one(&mut self, line: &Line, answer: &Result<Json, String>) -> Result<(), String> {
        let short = match answer {
            Err(refusal) => code(refusal),
            Ok(found) if line[0] == "INV.GET" => State::of(found).name().unwrap_or("NOTFOUND"),
            Ok(_) => "OK",
        };
        let call = line.join(" ");
        if line[0] == "INV.REPLACE" {
            let states = format!("{} and {}", self.states(&line[1]), self.states(&line[2]));
            let is_expected = self.hear_of_replaced(line, short);
            return is_expected.then_some(()).ok_or_else(|| {
                format!("{call} was answered {answer:?}, but the reservations were {states}")
            });
        }
        let Some(known) = id_of(line).and_then(|id| self.0.get_mut(id)) else {
            let is_expected = is_expected(line, short);
            return is_expected.then_some(()).ok_or_else(|| format!("{call} was answered {answer:?}"));
        };
        let may_end = known.parts >= known.asked;
        let after = |before: &BTreeSet<State>| -> BTreeSet<State> {
            let ways = before.iter().flat_map(|state| ways(line, *state, may_end));
            ways.filter(|(way, _)| *way == short).map(|(_, next)| next).collect()
        };
        known.now = after(&known.before);
        if !known.now.is_empty() {
            return Ok(());
        }
        // If the server has forgotten something, its answer is all that is known.
        known.now = after(&State::ALL.into());
        Err(format!("{call} was answered {answer:?}, but the reservation was {:?}", known.before))
    }

    /// What is known of a reservation, for messages.
    pub fn states(&self, id: &str) -> String {
        format!("{:?}", self.0.get(id))
    }

    /// The ids of all reservations that any call named.
    pub fn ids(&self) -> Vec<&String> {
        self.0.keys().collect()
    }

    /// Whether the answer to INV.GET shows a possible state.
    pub fn allows(&self, id: &str, found: &Json) -> bool {
        let (state, states) = (State::of(found), &self.0[id].now);
        states.contains(&state) || (state == State::Expired && states.contains(&State::Reserved))
    }

    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// An answer in the array that answers a call on many reservations.
fn of_element(answer: &Json) -> Result<Json, String> {
    match answer.as_str().and_then(|text| text.strip_prefix('-')) {
        Some(refusal) => Err(refusal.to_owned()),
        None => Ok(answer.clone()),
    }
}

/// The id of the reservation that a call names.
fn id_of(line: &Line) -> Option<&str> {
    let names_one =
        ["INV.RESERVE", "INV.COMMIT", "INV.ROLLBACK", "INV.EXTEND", "INV.GET"].contains(&line[0].as_str());
    names_one.then(|| line[1].as_str())
}

/// The units that the items of a call sum up to.
fn units_of(line: &Line) -> i64 {
    // PARTIAL may hold less.
    if line.iter().any(|word| word == "PARTIAL") {
        return 1;
    }
    let items = line.iter().skip_while(|word| *word != "ITEMS").skip(1);
    items.skip(1).step_by(2).map(|units| units.parse::<i64>().expect("a number of units")).sum()
}

/// The possible answers to a call about a reservation in this state, each with the state after it. `may_end`: the parts that
/// were asked for may be all that the reservation held.
fn ways(line: &Line, state: State, may_end: bool) -> Vec<(&'static str, State)> {
    use State::{Absent, Committed, Expired, Replaced, Reserved, RolledBack};
    let has = |word: &str| line.iter().any(|known| known == word);
    let verb = line[0].as_str();
    let (is_part, has_token) = (has("ITEMS"), has("ONCE"));
    let mut ways = match (verb, state) {
        ("INV.GET", state) => return vec![(state.name().unwrap_or("NOTFOUND"), state)],
        ("INV.RESERVE", Absent) => {
            let mut ways = vec![("OK", Reserved), ("INSUFFICIENT", Absent)];
            // A product may have a limit, which needs a buyer.
            ways.push((if has("BUYER") { "LIMIT" } else { "ERR" }, Absent));
            ways
        }
        ("INV.RESERVE" | "INV.EXTEND", Reserved) => vec![("OK", Reserved)],
        ("INV.COMMIT" | "INV.ROLLBACK", Reserved) if is_part => {
            // ERR: the reservation does not hold this part.
            let mut ways = vec![("OK", Reserved), ("ERR", Reserved)];
            if may_end {
                ways.push(("OK", if verb == "INV.COMMIT" { Committed } else { RolledBack }));
            }
            ways
        }
        ("INV.COMMIT", Reserved) => vec![("OK", Committed)],
        ("INV.COMMIT", Expired) if has("LATE") => {
            vec![("OK", Committed), ("INSUFFICIENT", Expired), ("LIMIT", Expired), ("ERR", Expired)]
        }
        ("INV.COMMIT", Committed) if !is_part => vec![("OK", Committed)],
        ("INV.ROLLBACK", Reserved) => vec![("OK", RolledBack)],
        ("INV.ROLLBACK", Expired | RolledBack) if !is_part => vec![("OK", RolledBack)],
        ("INV.ROLLBACK", Absent) if has("FENCE") => vec![("OK", RolledBack)],
        (_, state) => vec![(state.refusal(), state)],
    };
    match verb {
        // MISMATCH: other items than before. OOM: the memory of the server is full.
        "INV.RESERVE" if state == Reserved => ways.extend([("MISMATCH", state), ("OOM", state)]),
        // Only a new hold or a longer one is refused while the memory of the server is full.
        "INV.RESERVE" | "INV.EXTEND" => ways.push(("OOM", state)),
        _ => {}
    }
    if has_token && state != Absent {
        // A token that was used for another call.
        ways.push(("MISMATCH", state));
        // A repeated call with a token has the answer of the first one, whatever has happened since.
        let was_answered_before_it_was_replaced = verb == "INV.ROLLBACK" && state == Replaced;
        if verb == "INV.EXTEND" || (is_part && verb != "INV.RESERVE") || was_answered_before_it_was_replaced {
            ways.push(("OK", state));
        }
    }
    ways
}

/// Whether this may be the answer to a call that names no reservation.
fn is_expected(line: &Line, answer: &str) -> bool {
    match line[0].as_str() {
        // ERR: both warehouses are the same. MISMATCH: the token was used for another transfer.
        "INV.TRANSFER" => ["OK", "INSUFFICIENT", "ERR", "MISMATCH", "OOM"].contains(&answer),
        // W itself is no sku while it is kept in warehouses.
        "INV.AUDIT" => answer == "OK" || (answer == "ERR" && line[1] == "W"),
        _ => answer == "OK",
    }
}
