//! What a reservation may answer, written from docs/commands.md alone: it shares no code with the module.
//!
//! [`Group::after`] takes what is known of some reservations, carries out one ask in every way that the contract allows, and keeps
//! the ways that agree with what the client was told. What is not known stays open until an answer tells it: which items
//! PARTIAL took, which warehouses a split chose, when a RESERVE without an answer was carried out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::ask::{Ask, Asked, Life, Seen, Units, Wish, add, canonical, minus, product_of, units};

/// A time that is known to lie in this range, in Unix ms.
pub type Range = (i64, i64);

/// Later than every deadline.
pub const NEVER: i64 = i64::MAX / 4;

/// When the call was carried out.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// What the clock of the server may have shown.
    pub now: Range,
    /// The latest time that any clock had shown by then. A deadline before it may have passed.
    pub latest: i64,
}

/// A time is rounded to ms, and a server reads its clock at the beginning of a command.
const ROUNDING: i64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Live,
    Committed,
    RolledBack,
    Expired,
    Replaced,
}

impl Phase {
    /// The error with which a command is refused.
    fn code(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Committed => "COMMITTED",
            Self::RolledBack => "ROLLEDBACK",
            Self::Expired => "EXPIRED",
            Self::Replaced => "REPLACED",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Live => "reserved",
            Self::Committed => "committed",
            Self::RolledBack => "rolled_back",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
        }
    }
}

/// A reservation that was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Made {
    phase: Phase,
    deadline: Range,
    /// What it holds; after the deadline, what that returned.
    items: Option<Units>,
    /// What was sold and returned of it. Unknown if it is unknown what it held.
    sold: Option<Units>,
    returned: Option<Units>,
    wish: Wish,
    /// Whether a part of it was sold or returned, so that a RESERVE may not recognise it.
    in_parts: bool,
    /// Its id, if the module completed it and a client was told.
    name: Option<String>,
    successor: Option<String>,
}

/// An answer that is repeated for a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Remembered {
    asked: String,
    /// The deadline, or the answer of a RESERVE, if a client was told.
    number: Option<i64>,
}

/// Some reservations and the tokens of their calls: everything on which their answers depend, except the stock.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    made: BTreeMap<String, Made>,
    tokens: BTreeMap<String, Remembered>,
}

/// What the server says.
enum Says {
    Ok,
    Code(&'static str),
    /// A reservation, as RESERVE and REPLACE show it.
    Reservation(String),
    Deadline(String),
    View(String),
}

impl Group {
    /// The states in which this ask can leave the group, if it was answered like this. None if nothing explains the answer.
    pub fn after(&self, asked: &Asked, times: Times, hold_ttl: i64) -> Vec<Self> {
        let mut after = Vec::new();
        for (group, asked) in self.named(asked) {
            for group in group.with_deadlines(&asked.ask, times) {
                for (says, next) in group.ways(&asked, times, hold_ttl) {
                    after.extend(next.told(&says, &asked));
                }
            }
        }
        after.sort();
        after.dedup();
        after
    }

    /// Finds out which reservation a generated id means. It may be the one that its RESERVE has made. But if a failover has
    /// forgotten that, the same RESERVE may make another one, and the old id is unknown like any other.
    fn named<'a>(&self, asked: &'a Asked) -> Vec<(Self, Cow<'a, Asked>)> {
        let mut ways = vec![(self.clone(), Cow::Borrowed(asked))];
        for name in &asked.names {
            let mut next = Vec::new();
            for (mut group, asked) in ways {
                let before = group.clone();
                let known =
                    if group.made.contains_key(name) { None } else { group.made.get_mut(&canonical(name)) };
                let may_be_other = match known.as_ref().map(|made| &made.name) {
                    Some(Some(known)) => known != name,
                    Some(None) | None => true,
                };
                if may_be_other {
                    let mut of_name = asked.clone();
                    of_name.to_mut().ask.rename(&canonical(name), name);
                    next.push((before, of_name));
                }
                if let Some(made) = known.filter(|made| made.name.as_ref().is_none_or(|known| known == name))
                {
                    made.name = Some(name.clone());
                    next.push((group, asked));
                }
            }
            ways = next;
        }
        ways
    }

    /// The group with each of its live reservations in question either still live, or expired, as far as the clocks allow it.
    fn with_deadlines(&self, ask: &Ask, times: Times) -> Vec<Self> {
        let mut groups = vec![self.clone()];
        for id in ask.ids() {
            let mut next = Vec::new();
            for group in groups {
                let Some(made) = group.made.get(id).filter(|made| made.phase == Phase::Live) else {
                    next.push(group);
                    continue;
                };
                let deadline = made.deadline;
                if deadline.0 <= times.latest + ROUNDING {
                    let mut expired = group.clone();
                    if let Some(made) = expired.made.get_mut(id) {
                        made.phase = Phase::Expired;
                        // Only whether it has passed matters from now on, until a client is told.
                        made.deadline = (deadline.0, deadline.1.min(times.latest + ROUNDING));
                    }
                    next.push(expired);
                }
                if deadline.1 >= times.now.0 - ROUNDING {
                    let mut live = group;
                    if let Some(made) = live.made.get_mut(id) {
                        made.deadline.0 = deadline.0.max(times.now.0 - ROUNDING);
                    }
                    next.push(live);
                }
            }
            groups = next;
        }
        groups
    }

    /// Every answer that the contract allows, with the group after it.
    fn ways(&self, asked: &Asked, times: Times, hold_ttl: i64) -> Vec<(Says, Self)> {
        let token = asked.token.as_ref().map(|token| format!("{} {token}", key_of(&asked.ask)));
        let request = request_of(&asked.ask);
        let known = token.as_ref().and_then(|token| self.tokens.get(token));
        if let Some(known) = known {
            return if known.asked == request {
                self.ways_again(&asked.ask)
            } else {
                // The end of a reservation is another reason to refuse.
                let mut ways = vec![(Says::Code("MISMATCH"), self.clone())];
                for id in asked.ask.ids() {
                    ways.extend(self.made.get(id).map(|made| (Says::Code(made.phase.code()), self.clone())));
                }
                ways
            };
        }
        let mut ways = match &asked.ask {
            Ask::Reserve { id, wish } => self.reserve(id, wish, times, hold_ttl),
            Ask::Replace { old, new, wish } => self.replace(old, new, wish, times, hold_ttl),
            Ask::Commit { id, late, part } => self.commit(id, *late, part.as_ref()),
            Ask::Rollback { id, fence, part } => self.rollback(id, *fence, part.as_ref(), times),
            Ask::Extend { id, life } => self.extend(id, *life, times, hold_ttl),
            Ask::Get { id } => vec![(Says::View(id.clone()), self.clone())],
        };
        if let Some(token) = token {
            for (says, group) in &mut ways {
                if !matches!(says, Says::Code(_)) {
                    let remembered = Remembered { asked: request.clone(), number: None };
                    group.tokens.insert(token.clone(), remembered);
                }
            }
        }
        ways
    }

    /// The answer to a token that is known.
    fn ways_again(&self, ask: &Ask) -> Vec<(Says, Self)> {
        let of_new = |id: &String| match self.made.get(id) {
            Some(Made { phase: Phase::Live, .. }) => Says::Reservation(id.clone()),
            Some(made) => Says::Code(made.phase.code()),
            None => Says::Code("NOTFOUND"),
        };
        let says = match ask {
            Ask::Reserve { id, wish } => {
                let mut ways = vec![(of_new(id), self.clone())];
                if let Some(made) = self.made.get(id).filter(|made| made.phase == Phase::Live) {
                    // It was changed since, by a REPLACE or in parts.
                    if made.wish.items != wish.items {
                        ways.clear();
                    }
                    if ways.is_empty() || made.in_parts {
                        ways.push((Says::Code("MISMATCH"), self.clone()));
                    }
                }
                return ways;
            }
            Ask::Replace { new, .. } => of_new(new),
            Ask::Extend { id, .. } => Says::Deadline(id.clone()),
            Ask::Commit { .. } | Ask::Rollback { .. } | Ask::Get { .. } => Says::Ok,
        };
        vec![(says, self.clone())]
    }

    fn with(&self, id: &str, made: Made) -> Self {
        let mut group = self.clone();
        group.made.insert(id.to_owned(), made);
        group
    }

    /// The refusals for lack of units. Whether there were enough is a question about the skus.
    fn short(&self) -> Vec<(Says, Self)> {
        vec![(Says::Code("INSUFFICIENT"), self.clone()), (Says::Code("LIMIT"), self.clone())]
    }

    fn reserve(&self, id: &str, wish: &Wish, times: Times, hold_ttl: i64) -> Vec<(Says, Self)> {
        match self.made.get(id) {
            None => {
                let made = self.with(id, new(wish, times, hold_ttl));
                let mut ways = vec![(Says::Reservation(id.to_owned()), made)];
                ways.extend(self.short());
                ways
            }
            Some(made) if made.phase == Phase::Live => {
                let is_same = made.wish.items == wish.items
                    && (wish.buyer.is_none() || wish.buyer == made.wish.buyer)
                    && (made.wish.partial == wish.partial);
                let again = (Says::Reservation(id.to_owned()), self.clone());
                let other = (Says::Code("MISMATCH"), self.clone());
                if is_same && !made.in_parts {
                    vec![again]
                } else if made.wish.items != wish.items && !made.in_parts {
                    vec![other]
                } else {
                    vec![again, other]
                }
            }
            Some(made) => vec![(Says::Code(made.phase.code()), self.clone())],
        }
    }

    fn replace(
        &self,
        old: &str,
        new_id: &str,
        wish: &Wish,
        times: Times,
        hold_ttl: i64,
    ) -> Vec<(Says, Self)> {
        let (before, present) = (self.made.get(old), self.made.get(new_id));
        if old == new_id {
            return self.change(old, wish, times, hold_ttl);
        }
        let is_live = |made: Option<&Made>| made.is_some_and(|made| made.phase == Phase::Live);
        let was_replaced_by_it = before
            .is_some_and(|made| made.successor.as_deref() == Some(new_id) && made.phase == Phase::Replaced);
        // What speaks against the old reservation, and against the new one.
        let mut codes = Vec::new();
        if let Some(made) = before {
            if made.phase == Phase::Committed || (made.phase == Phase::Replaced && !was_replaced_by_it) {
                codes.push(made.phase.code());
            }
        }
        if let Some(made) = present {
            if made.phase != Phase::Live {
                codes.push(made.phase.code());
            } else if !is_live(before) && made.wish.items != wish.items {
                codes.push("MISMATCH");
            }
        }
        if !codes.is_empty() {
            return codes.into_iter().map(|code| (Says::Code(code), self.clone())).collect();
        }
        if was_replaced_by_it && present.is_none() {
            return vec![(Says::Code("REPLACED"), self.clone())];
        }
        let done = |made: Made| {
            let mut group = self.with(new_id, made);
            let mut ended = before.cloned().unwrap_or_else(|| Made {
                sold: Some(Units::new()),
                returned: Some(Units::new()),
                items: Some(Units::new()),
                ..new(wish, times, hold_ttl)
            });
            ended.phase = Phase::Replaced;
            ended.successor = Some(new_id.to_owned());
            group.made.insert(old.to_owned(), ended);
            (Says::Reservation(new_id.to_owned()), group)
        };
        match present {
            Some(made) if !is_live(before) => {
                // Made for the same items: nothing changes but the old one.
                let mut ways = vec![done(made.clone())];
                let is_same = made.wish.partial == wish.partial && !made.in_parts;
                let says_the_same =
                    |asked: &Option<String>, known: &Option<String>| asked.is_none() || asked == known;
                if !is_same
                    || !says_the_same(&wish.data, &made.wish.data)
                    || !says_the_same(&wish.buyer, &made.wish.buyer)
                {
                    ways.push((Says::Code("MISMATCH"), self.clone()));
                }
                ways
            }
            _ => {
                let mut made = new(wish, times, hold_ttl);
                let buyers: Vec<&String> = [before, present]
                    .into_iter()
                    .flatten()
                    .filter(|made| made.phase == Phase::Live)
                    .filter_map(|made| made.wish.buyer.as_ref())
                    .collect();
                made.wish.buyer = wish.buyer.clone().or_else(|| buyers.first().copied().cloned());
                if let Some(present) = present {
                    made.sold.clone_from(&present.sold);
                    made.returned.clone_from(&present.returned);
                    made.name.clone_from(&present.name);
                }
                let mut ways = vec![done(made)];
                ways.extend(self.short());
                if wish.buyer.is_none() && buyers.windows(2).any(|pair| pair[0] != pair[1]) {
                    ways = vec![(Says::Code("ERR"), self.clone())];
                }
                // A product with a limit needs a buyer.
                if wish.buyer.is_none() && buyers.is_empty() {
                    ways.push((Says::Code("ERR"), self.clone()));
                }
                ways
            }
        }
    }

    /// REPLACE in place.
    fn change(&self, id: &str, wish: &Wish, times: Times, hold_ttl: i64) -> Vec<(Says, Self)> {
        let says = || Says::Reservation(id.to_owned());
        match self.made.get(id) {
            Some(made) if made.phase == Phase::Live => {
                let mut changed = new(wish, times, hold_ttl);
                if wish.life == Life::Default {
                    changed.deadline = made.deadline;
                }
                changed.wish.buyer = wish.buyer.clone().or_else(|| made.wish.buyer.clone());
                changed.wish.data = wish.data.clone().or_else(|| made.wish.data.clone());
                changed.sold.clone_from(&made.sold);
                changed.returned.clone_from(&made.returned);
                changed.name.clone_from(&made.name);
                let mut ways = vec![(says(), self.with(id, changed))];
                ways.extend(self.short());
                if made.wish.items == wish.items {
                    // It may count as sent again. Then nothing changes.
                    ways.push((says(), self.clone()));
                }
                ways
            }
            Some(made) => vec![(Says::Code(made.phase.code()), self.clone())],
            None => self.reserve(id, wish, times, hold_ttl),
        }
    }

    fn commit(&self, id: &str, late: bool, part: Option<&Units>) -> Vec<(Says, Self)> {
        let Some(made) = self.made.get(id) else { return vec![(Says::Code("NOTFOUND"), self.clone())] };
        match (made.phase, part) {
            (Phase::Live, Some(part)) => self.part(id, made, part, Phase::Committed),
            (Phase::Live, None) => vec![(Says::Ok, self.with(id, sold_out(made)))],
            (Phase::Committed, None) => vec![(Says::Ok, self.clone())],
            (Phase::Expired, None) if late => {
                let mut ways = vec![(Says::Ok, self.with(id, sold_out(made)))];
                ways.extend(self.short());
                ways
            }
            (phase, _) => vec![(Says::Code(phase.code()), self.clone())],
        }
    }

    fn rollback(&self, id: &str, fence: bool, part: Option<&Units>, times: Times) -> Vec<(Says, Self)> {
        let Some(made) = self.made.get(id) else {
            if !fence {
                return vec![(Says::Code("NOTFOUND"), self.clone())];
            }
            let nothing =
                Wish { life: Life::Default, partial: false, buyer: None, data: None, items: Units::new() };
            let fenced =
                Made { phase: Phase::RolledBack, items: Some(Units::new()), ..new(&nothing, times, 0) };
            return vec![(Says::Ok, self.with(id, Made { deadline: (0, NEVER), ..fenced }))];
        };
        match (made.phase, part) {
            (Phase::Live, Some(part)) => self.part(id, made, part, Phase::RolledBack),
            (Phase::Live | Phase::Expired, None) => {
                let mut ended = made.clone();
                ended.returned = sum(&made.returned, &made.items);
                ended.items = made.items.as_ref().map(|_| Units::new());
                ended.phase = Phase::RolledBack;
                vec![(Says::Ok, self.with(id, ended))]
            }
            (Phase::RolledBack, None) => vec![(Says::Ok, self.clone())],
            (phase, _) => vec![(Says::Code(phase.code()), self.clone())],
        }
    }

    /// Sells or returns a part. What ends with its last part has ended like that part.
    fn part(&self, id: &str, made: &Made, part: &Units, end: Phase) -> Vec<(Says, Self)> {
        let err = (Says::Code("ERR"), self.clone());
        let mut next = Made { in_parts: true, ..made.clone() };
        let side = if end == Phase::Committed { &mut next.sold } else { &mut next.returned };
        let Some(items) = &made.items else {
            *side = None;
            let ended = Made { phase: end, ..next.clone() };
            return vec![err, (Says::Ok, self.with(id, next)), (Says::Ok, self.with(id, ended))];
        };
        let Some(left) = minus(items, part) else { return vec![err] };
        *side = sum(side, &Some(part.clone()));
        if left.is_empty() {
            next.phase = end;
        }
        next.items = Some(left);
        vec![(Says::Ok, self.with(id, next))]
    }

    fn extend(&self, id: &str, life: Life, times: Times, hold_ttl: i64) -> Vec<(Says, Self)> {
        match self.made.get(id) {
            None => vec![(Says::Code("NOTFOUND"), self.clone())],
            Some(made) if made.phase == Phase::Live => {
                let extended = Made { deadline: deadline(life, times, hold_ttl), ..made.clone() };
                vec![(Says::Deadline(id.to_owned()), self.with(id, extended))]
            }
            Some(made) => vec![(Says::Code(made.phase.code()), self.clone())],
        }
    }

    /// The group, with what its client was told. `None` if the client was told something else.
    fn told(mut self, says: &Says, asked: &Asked) -> Option<Self> {
        let answer = match (&asked.seen, says) {
            (Seen::Unknown, _) => return Some(self),
            (Seen::Refused(code, _), Says::Code(other)) => return (code == other).then_some(self),
            (Seen::Refused(..), _) | (Seen::Answered(_), Says::Code(_)) => return None,
            (Seen::Answered(answer), _) => answer,
        };
        match says {
            Says::Ok => (answer == "OK").then_some(self),
            Says::Code(_) => None,
            Says::Deadline(id) => {
                let number = answer.as_i64()?;
                if let Some(token) = self.token_of(asked) {
                    // The first answer is repeated, whatever the deadline is now.
                    if let Some(first) = token.number {
                        return (first == number).then_some(self);
                    }
                    token.number = Some(number);
                    let made = self.made.get_mut(id)?;
                    if lies_in(number, made.deadline) {
                        made.deadline = (number, number);
                    }
                    return Some(self);
                }
                let made = self.made.get_mut(id)?;
                made.deadline = lies_in(number, made.deadline).then_some((number, number))?;
                Some(self)
            }
            Says::Reservation(id) => self.shown(id, asked, answer),
            Says::View(id) => self.viewed(id, answer),
        }
    }

    fn token_of(&mut self, asked: &Asked) -> Option<&mut Remembered> {
        let token = asked.token.as_ref()?;
        self.tokens.get_mut(&format!("{} {token}", key_of(&asked.ask)))
    }

    /// RESERVE or REPLACE has shown the reservation.
    fn shown(mut self, id: &str, asked: &Asked, answer: &Json) -> Option<Self> {
        // MRESERVE shows only the deadline.
        let (number, items, name) = match answer {
            Json::Number(number) => (number.as_i64()?, None, None),
            _ => (
                answer["expires_at"].as_i64()?,
                Some(units(&answer["items"])),
                answer["reservation_id"].as_str(),
            ),
        };
        let is_reserve = matches!(asked.ask, Ask::Reserve { .. });
        let first = self.token_of(asked).filter(|_| is_reserve);
        let is_first_again = match first {
            Some(token) => {
                let known = token.number;
                token.number = Some(number);
                if known.is_some_and(|known| known != number) {
                    return None;
                }
                known.is_some()
            }
            None => false,
        };
        let made = self.made.get_mut(id)?;
        if let Some(name) = name {
            if (name != id && canonical(name) != id) || made.name.as_ref().is_some_and(|known| known != name)
            {
                return None;
            }
            made.name = Some(name.to_owned());
        }
        // A token may show an answer from before the latest EXTEND or part.
        if is_first_again || (asked.token.is_some() && is_reserve && !lies_in(number, made.deadline)) {
            return Some(self);
        }
        made.deadline = lies_in(number, made.deadline).then_some((number, number))?;
        let Some(items) = items else { return Some(self) };
        match &made.items {
            Some(known) if *known != items && !(asked.token.is_some() && is_reserve && made.in_parts) => {
                return None;
            }
            Some(_) => {}
            None => {
                is_of(&items, &made.wish).then_some(())?;
                made.items = Some(items);
            }
        }
        Some(self)
    }

    /// INV.GET has shown the reservation.
    fn viewed(mut self, id: &str, answer: &Json) -> Option<Self> {
        let Some(made) = self.made.get_mut(id) else { return answer.is_null().then_some(self) };
        if answer["state"] != made.phase.name() {
            return None;
        }
        if let (Some(name), true) = (answer["reservation_id"].as_str(), canonical(id).ends_with('*')) {
            if made.name.as_ref().is_some_and(|known| known != name) {
                return None;
            }
            made.name = Some(name.to_owned());
        }
        if made.phase == Phase::Replaced
            && made.successor.as_deref().map(canonical) != answer["replaced_by"].as_str().map(canonical)
        {
            return None;
        }
        let number = answer["expires_at"].as_i64()?;
        let shown = units(&answer["items"]);
        if made.phase == Phase::Live {
            made.deadline = lies_in(number, made.deadline).then_some((number, number))?;
            if made.items.as_ref().is_some_and(|known| *known != shown) {
                return None;
            }
            made.items = Some(shown);
            return Some(self);
        }
        let (Some(items), Some(sold), Some(returned)) = (&made.items, &made.sold, &made.returned) else {
            return Some(self);
        };
        let mut all = items.clone();
        add(&mut all, sold);
        add(&mut all, returned);
        // Until it is released, an overdue reservation may show only what it still holds.
        let is_overdue = made.phase == Phase::Expired && answer["resolved_at"].is_null();
        if (shown != all && !(is_overdue && shown == *items))
            || !(answer["sold"].is_null() || units(&answer["sold"]) == *sold)
        {
            return None;
        }
        Some(self)
    }
}

fn lies_in(number: i64, range: Range) -> bool {
    range.0 - ROUNDING <= number && number <= range.1.saturating_add(ROUNDING)
}

fn deadline(life: Life, times: Times, hold_ttl: i64) -> Range {
    match life {
        Life::Until(at) => (at, at),
        Life::For(ms) => (times.now.0 + ms, times.now.1.saturating_add(ms)),
        Life::Default => (times.now.0 + hold_ttl, times.now.1.saturating_add(hold_ttl)),
    }
}

/// A reservation that is made for this wish. If the items are not just those that were asked for, they are not known yet.
fn new(wish: &Wish, times: Times, hold_ttl: i64) -> Made {
    let may_differ = wish.partial || wish.items.keys().any(|sku| may_be_split(sku));
    Made {
        phase: Phase::Live,
        deadline: deadline(wish.life, times, hold_ttl),
        items: (!may_differ).then(|| wish.items.clone()),
        sold: Some(Units::new()),
        returned: Some(Units::new()),
        wish: wish.clone(),
        in_parts: false,
        name: None,
        successor: None,
    }
}

/// Whether the sku is a product in warehouses. By agreement with the load, its name is W.
fn may_be_split(sku: &str) -> bool {
    product_of(sku) == sku && sku.rsplit(':').next() == Some("W")
}

/// Whether these items may be the answer to this wish: of each product as much as was asked, or with PARTIAL at most as much.
fn is_of(items: &Units, wish: &Wish) -> bool {
    let by_product = |units: &Units| {
        let mut sums = Units::new();
        for (sku, count) in units {
            *sums.entry(product_of(sku).to_owned()).or_default() += count;
        }
        sums
    };
    let (items, asked) = (by_product(items), by_product(&wish.items));
    if wish.partial {
        items.iter().all(|(product, count)| asked.get(product).is_some_and(|most| count <= most))
    } else {
        items == asked
    }
}

fn sum(one: &Option<Units>, other: &Option<Units>) -> Option<Units> {
    let mut sum = one.clone()?;
    add(&mut sum, other.as_ref()?);
    Some(sum)
}

fn sold_out(made: &Made) -> Made {
    Made {
        phase: Phase::Committed,
        sold: sum(&made.sold, &made.items),
        items: made.items.as_ref().map(|_| Units::new()),
        ..made.clone()
    }
}

/// To what a token belongs: the command and the reservation.
fn key_of(ask: &Ask) -> String {
    match ask {
        Ask::Reserve { id, .. } => format!("RESERVE {id}"),
        Ask::Replace { new, .. } => format!("REPLACE {new}"),
        Ask::Commit { id, .. } => format!("COMMIT {id}"),
        Ask::Rollback { id, .. } => format!("ROLLBACK {id}"),
        Ask::Extend { id, .. } => format!("EXTEND {id}"),
        Ask::Get { id } => format!("GET {id}"),
    }
}

/// What is compared when a token is used again.
fn request_of(ask: &Ask) -> String {
    match ask {
        Ask::Reserve { wish, .. } => format!("{:?} {}", wish.items, wish.partial),
        Ask::Replace { old, wish, .. } => format!("{old} {:?} {}", wish.items, wish.partial),
        Ask::Commit { late, part, .. } => format!("{late} {part:?}"),
        Ask::Rollback { fence, part, .. } => format!("{fence} {part:?}"),
        Ask::Extend { life, .. } => format!("{life:?}"),
        Ask::Get { .. } => String::new(),
    }
}
