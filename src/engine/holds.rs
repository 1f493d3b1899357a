//! The index of live reservations: by id, by the moment at which the sweep looks at them, and by sku.
//!
//! Each stands once, in a numbered slot; the three orders hold numbers. Skus are numbered too, with the units that are
//! held of each. So a reservation takes a small part of what its keys take, and the first due one of a sku is found
//! without walking over the others.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::inventory::quantity::{Quantity, UnixMs};
use crate::inventory::reservation::{Line, Record};
use crate::inventory::sku::{ReservationId, Sku};

/// The number of a slot.
type Slot = u32;

/// The number of a sku.
type SkuNumber = u32;

/// A place in the order by deadline, where a walk goes on: behind the reservation that was looked at last.
pub type Place = (UnixMs, Slot);

/// A live reservation.
#[derive(Debug)]
struct Hold {
    id: ReservationId,
    deadline: UnixMs,
    /// When the sweep looks at it next: its deadline, or later where it did not go when it was opened.
    wake: UnixMs,
    lines: Lines,
    /// It appeared without a command of ours, so nobody knows that its units were taken.
    by_hand: bool,
    /// An old outcome of its id lies there, its time over.
    doubted: bool,
}

/// What a reservation holds. Most have one line.
#[derive(Debug)]
enum Lines {
    One(SkuNumber, Quantity),
    Many(Box<[(SkuNumber, Quantity)]>),
}

impl Lines {
    fn iter(&self) -> impl Iterator<Item = (SkuNumber, Quantity)> {
        let (one, many) = match self {
            Lines::One(sku, quantity) => (Some((*sku, *quantity)), None),
            Lines::Many(lines) => (None, Some(lines.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Holds {
    slots: Vec<Option<Hold>>,
    free: Vec<Slot>,
    hasher: DefaultHashBuilder,
    by_id: HashTable<Slot>,
    by_wake: BTreeSet<Place>,
    by_sku: BTreeSet<(SkuNumber, UnixMs, Slot)>,
    skus: Skus,
    /// Bytes that ids and lines take outside the slots.
    outside: usize,
}

impl Holds {
    /// Enters a reservation, in place of what is known of its id.
    pub fn enter(&mut self, record: &Record, deadline: UnixMs, by_hand: bool) {
        self.leave(&record.id);
        let mut lines = record.items.iter().map(|line| (self.skus.hold(line), line.quantity));
        let lines = match (lines.next(), lines.len()) {
            (Some((sku, quantity)), 0) => Lines::One(sku, quantity),
            (first, _) => Lines::Many(first.into_iter().chain(lines).collect()),
        };
        let Some(slot) = self.free.pop().or_else(|| {
            self.slots.push(None);
            Slot::try_from(self.slots.len().saturating_sub(1)).ok()
        }) else {
            // More than four billion: the keys stay the truth, the server's own expiry takes over.
            return;
        };
        self.by_wake.insert((deadline, slot));
        for (sku, _) in lines.iter() {
            self.by_sku.insert((sku, deadline, slot));
        }
        let hold = Hold { id: record.id.clone(), deadline, wake: deadline, lines, by_hand, doubted: false };
        self.outside = self.outside.saturating_add(outside(&hold));
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(hold);
        }
        let hash = self.hasher.hash_one(record.id.as_str());
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.by_id.insert_unique(hash, slot, |slot| hasher.hash_one(id_of(slots, *slot)));
    }

    /// Takes a reservation out.
    pub fn leave(&mut self, id: &ReservationId) {
        let hash = self.hasher.hash_one(id.as_str());
        let slots = &self.slots;
        let Ok(entry) = self.by_id.find_entry(hash, |slot| id_of(slots, *slot) == id.as_str()) else {
            return;
        };
        let (slot, _) = entry.remove();
        self.free.push(slot);
        let Some(hold) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        self.outside = self.outside.saturating_sub(outside(&hold));
        self.by_wake.remove(&(hold.wake, slot));
        for (sku, quantity) in hold.lines.iter() {
            self.by_sku.remove(&(sku, hold.wake, slot));
            self.skus.unhold(sku, quantity);
        }
    }

    fn slot(&self, id: &ReservationId) -> Option<Slot> {
        if self.by_id.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(id.as_str());
        self.by_id.find(hash, |slot| id_of(&self.slots, *slot) == id.as_str()).copied()
    }

    fn at(&self, slot: Slot) -> Option<&Hold> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn get(&self, id: &ReservationId) -> Option<&Hold> {
        self.at(self.slot(id)?)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// The deadline of a reservation.
    pub fn deadline(&self, id: &ReservationId) -> Option<UnixMs> {
        self.get(id).map(|hold| hold.deadline)
    }

    /// What a reservation holds.
    pub fn lines(&self, id: &ReservationId) -> Option<Vec<Line>> {
        let lines = self.get(id)?.lines.iter();
        Some(
            lines
                .filter_map(|(sku, quantity)| Some(Line { sku: self.skus.name(sku)?.clone(), quantity }))
                .collect(),
        )
    }

    /// Whether it appeared without a command of ours.
    pub fn is_by_hand(&self, id: &ReservationId) -> bool {
        self.get(id).is_some_and(|hold| hold.by_hand)
    }

    /// Whether its outcome can be written without a look at what lies there: RESERVE has looked at its id.
    pub fn is_looked_at(&self, id: &ReservationId) -> bool {
        self.get(id).is_some_and(|hold| !hold.by_hand && !hold.doubted)
    }

    /// An old outcome of this reservation lies there, its time over.
    pub fn doubt(&mut self, id: &ReservationId) {
        if let Some(slot) = self.slot(id)
            && let Some(Some(hold)) = self.slots.get_mut(slot as usize)
        {
            hold.doubted = true;
        }
    }

    /// The one to look at first, if it is due.
    pub fn next_due(&self, now: UnixMs) -> Option<&ReservationId> {
        let (wake, slot) = self.by_wake.first()?;
        (now > *wake).then(|| self.at(*slot)).flatten().map(|hold| &hold.id)
    }

    /// The one that holds `sku` and is to be looked at first, if it is due.
    pub fn next_due_of(&self, sku: &Sku, now: UnixMs) -> Option<&ReservationId> {
        let sku = self.skus.number(sku)?;
        let (_, _, slot) = self
            .by_sku
            .range((sku, UnixMs::MIN, 0)..)
            .next()
            .filter(|(of, wake, _)| *of == sku && now > *wake)?;
        self.at(*slot).map(|hold| &hold.id)
    }

    /// It did not go when it was opened: look again at `wake`.
    pub fn postpone(&mut self, id: &ReservationId, wake: UnixMs) {
        let Some(slot) = self.slot(id) else { return };
        let Some(Some(hold)) = self.slots.get_mut(slot as usize) else { return };
        self.by_wake.remove(&(hold.wake, slot));
        self.by_wake.insert((wake, slot));
        for (sku, _) in hold.lines.iter() {
            self.by_sku.remove(&(sku, hold.wake, slot));
            self.by_sku.insert((sku, wake, slot));
        }
        hold.wake = wake;
    }

    /// The first one behind `place` by deadline, with its own place and its deadline.
    pub fn behind(&self, place: Option<Place>) -> Option<(Place, &ReservationId, UnixMs)> {
        let from = place.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let next = self.by_wake.range((from, std::ops::Bound::Unbounded)).next()?;
        self.at(next.1).map(|hold| (*next, &hold.id, hold.deadline))
    }

    /// Whether a reservation holds units of this product, wherever they are kept.
    pub fn is_of(&self, id: &ReservationId, product: &str) -> bool {
        let skus = self.get(id).into_iter().flat_map(|hold| hold.lines.iter());
        skus.filter_map(|(sku, _)| self.skus.name(sku)).any(|sku| sku.product() == product)
    }

    /// Units of a sku that are held, by these reservations and by what [`Holds::hold`] was told of.
    pub fn held(&self, sku: &Sku) -> i64 {
        self.skus
            .number(sku)
            .and_then(|number| self.skus.entry(number))
            .map_or(0, |entry| i64::try_from(entry.held).unwrap_or(i64::MAX))
    }

    /// The first sku of which units are held at this number or behind it, with its number.
    pub fn held_sku(&self, from: SkuNumber) -> Option<(SkuNumber, &Sku)> {
        let entries = self.skus.entries.iter().enumerate().skip(from as usize);
        let mut held = entries.filter_map(|(number, entry)| Some((number, entry.as_ref()?)));
        held.next().and_then(|(number, entry)| Some((SkuNumber::try_from(number).ok()?, &entry.sku)))
    }

    /// These units are held by something else than a live reservation.
    pub fn hold(&mut self, lines: &[Line]) {
        for line in lines {
            self.skus.hold(line);
        }
    }

    /// The reverse of [`Holds::hold`].
    pub fn unhold(&mut self, lines: &[Line]) {
        for Line { sku, quantity } in lines {
            if let Some(number) = self.skus.number(sku) {
                self.skus.unhold(number, *quantity);
            }
        }
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        // A node of a tree is three quarters full, a table holds four bytes and a mark for each.
        let in_tree = |count: usize, size: usize| count.saturating_mul(size).saturating_mul(4).div_ceil(3);
        [
            self.slots.capacity().saturating_mul(size_of::<Option<Hold>>()),
            self.free.capacity().saturating_mul(size_of::<Slot>()),
            self.by_id.capacity().saturating_mul(size_of::<Slot>().saturating_add(1)),
            in_tree(self.by_wake.len(), size_of::<Place>()),
            in_tree(self.by_sku.len(), size_of::<(SkuNumber, UnixMs, Slot)>()),
            self.outside,
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }
}

fn id_of(slots: &[Option<Hold>], slot: Slot) -> &str {
    slots.get(slot as usize).and_then(Option::as_ref).map_or("", |hold| hold.id.as_str())
}

/// What a reservation takes outside its slot. An allocation has a head, and comes in steps of 16 bytes.
fn outside(hold: &Hold) -> usize {
    let allocation = |bytes: usize| bytes.saturating_add(8).next_multiple_of(16);
    let lines = match &hold.lines {
        Lines::One(..) => 0,
        Lines::Many(lines) => allocation(size_of_val(&**lines)),
    };
    allocation(hold.id.as_str().len()).saturating_add(lines)
}

/// Skus of which units are held, numbered.
#[derive(Debug, Default)]
struct Skus {
    numbers: HashMap<Sku, SkuNumber>,
    entries: Vec<Option<Held>>,
    free: Vec<SkuNumber>,
}

#[derive(Debug)]
struct Held {
    sku: Sku,
    /// More than 0: a sku of which nothing is held has no entry. Exact for any number of records, also of those that
    /// someone else wrote: a number is given away again only when nothing refers to it.
    held: i128,
}

impl Skus {
    fn number(&self, sku: &Sku) -> Option<SkuNumber> {
        self.numbers.get(sku).copied()
    }

    fn entry(&self, number: SkuNumber) -> Option<&Held> {
        self.entries.get(number as usize)?.as_ref()
    }

    fn name(&self, number: SkuNumber) -> Option<&Sku> {
        self.entry(number).map(|entry| &entry.sku)
    }

    /// Adds to what is held of a sku, and tells its number.
    fn hold(&mut self, line: &Line) -> SkuNumber {
        let units = i128::from(line.quantity.units());
        if let Some(number) = self.number(&line.sku) {
            if let Some(Some(entry)) = self.entries.get_mut(number as usize) {
                entry.held = entry.held.saturating_add(units);
            }
            return number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            SkuNumber::try_from(self.entries.len().saturating_sub(1)).unwrap_or(SkuNumber::MAX)
        });
        if let Some(entry) = self.entries.get_mut(number as usize) {
            *entry = Some(Held { sku: line.sku.clone(), held: units });
        }
        self.numbers.insert(line.sku.clone(), number);
        number
    }

    fn unhold(&mut self, number: SkuNumber, quantity: Quantity) {
        let Some(entry) = self.entries.get_mut(number as usize) else { return };
        let Some(held) = entry.as_mut() else { return };
        held.held = held.held.saturating_sub(i128::from(quantity.units()));
        if held.held <= 0 {
            self.numbers.remove(&held.sku);
            *entry = None;
            self.free.push(number);
        }
    }
}
