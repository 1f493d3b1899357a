//! The forms in which effects are replicated.
//!
//! AOF files are kept indefinitely, so words and versions may be added here but never changed.

use std::borrow::Cow;
use std::ops::Range;

use super::effect::{Effect, are_of_many, moved, units_of};
use super::keyspace::Argument;
use crate::inventory::alert::OFF;
use crate::inventory::ending::Ending;
use crate::inventory::key::{Key, OnceName, Watched, watched};
use crate::inventory::line::Line;
use crate::inventory::outcome::Outcome;
use crate::inventory::priority::Priority;
use crate::inventory::quantity::{UnixMs, parse_integer};
use crate::inventory::refusal::Refusal;
use crate::inventory::reservation::Record;
use crate::inventory::sku::{KeyStyle, Product, ReservationId, Sku};

/// The effects of a command in the form in which they are replicated.
pub(super) enum Forms<'a> {
    /// All effects together, in the packed form.
    Packed(Packed<'a>),
    /// Each effect in the general form.
    General(KeyStyle, Vec<Form<'a>>),
}

impl<'a> Forms<'a> {
    /// The form of these effects: the packed form if they have one.
    pub(super) fn of(effects: &'a [Effect], style: KeyStyle) -> Self {
        match Packed::of(effects, style) {
            Some(packed) => Self::Packed(packed),
            None => Self::General(style, effects.iter().map(Effect::form).collect()),
        }
    }

    /// The document that the effect with this index stores. Empty if it stores none.
    pub(super) fn document(&self, index: usize) -> &[u8] {
        match self {
            Self::Packed(packed) => packed.document(index),
            Self::General(_, forms) => match forms.get(index).map(|form| &form.second) {
                Some(Second::Document(document)) => document,
                Some(Second::Number(_)) | None => &[],
            },
        }
    }

    /// The arguments of `INV.APPLY`.
    pub(super) fn arguments(&self) -> Vec<Argument<'_>> {
        match self {
            Self::Packed(Packed { header, documents, id, .. }) => {
                vec![*header, Argument::Text(documents), Argument::Key(Key::Reservation(id))]
            }
            Self::General(style, forms) => {
                let mut arguments = Vec::with_capacity(forms.len().saturating_mul(4).saturating_add(1));
                arguments.push(Argument::Word(version(*style)));
                for Form { word, subject, first, second } in forms {
                    let second = match second {
                        Second::Number(number) => Argument::Number(*number),
                        Second::Document(document) => Argument::Text(document),
                    };
                    let subject = Argument::Text(subject.as_bytes());
                    arguments.extend([
                        Argument::Word(word.text()),
                        subject,
                        Argument::Number(*first),
                        second,
                    ]);
                }
                arguments
            }
        }
    }
}

/// The effects that `INV.APPLY` carries out, as its arguments say.
pub(super) struct Parsed<'a> {
    /// How the keys are named.
    pub(super) style: KeyStyle,
    pub(super) effects: Vec<Effect>,
    /// For each effect that stores a document, the document as the master stored it. The others ignore their entry.
    pub(super) documents: Vec<&'a [u8]>,
}

impl<'a> Parsed<'a> {
    /// Reads the arguments of `INV.APPLY`.
    ///
    /// # Errors
    ///
    /// `ERR` if the arguments are not in a form that this version knows.
    pub(super) fn read(arguments: &[&'a [u8]]) -> Result<Self, Refusal> {
        if let [header, document, key] = arguments
            && header.contains(&b' ')
        {
            return Packed::read(header, document, key).ok_or_else(|| unreadable("unknown effect"));
        }
        let (number, mut rest) = arguments.split_first().ok_or_else(|| unreadable("no version"))?;
        let mut styles = [KeyStyle::Plain, KeyStyle::Tagged].into_iter();
        let style = styles.find(|style| version(*style).as_bytes() == *number);
        let style = style.ok_or_else(|| unreadable("unknown version"))?;
        let (mut effects, mut documents) = (Vec::new(), Vec::new());
        while let Some(([word, subject, first, second], behind)) = rest.split_first_chunk::<4>() {
            let word = Word::ALL.into_iter().find(|known| known.text().as_bytes() == *word);
            let effect = word
                .zip(parse_integer(first))
                .and_then(|(word, first)| word.read(subject, first, second, style));
            effects.push(effect.ok_or_else(|| unreadable("unknown effect"))?);
            documents.push(*second);
            rest = behind;
        }
        if rest.is_empty() {
            Ok(Self { style, effects, documents })
        } else {
            Err(unreadable("incomplete effect"))
        }
    }
}

/// Reads the arguments of `INV.APPLY`. Returns the key style and the effects.
///
/// # Errors
///
/// `ERR` if the arguments are not in a form that this version knows.
pub fn parse(arguments: &[&[u8]]) -> Result<(KeyStyle, Vec<Effect>), Refusal> {
    Parsed::read(arguments).map(|Parsed { style, effects, .. }| (style, effects))
}

fn unreadable(what: &str) -> Refusal {
    Refusal::invalid(format!("INV.APPLY: {what}: this module may be older than its master's"))
}

/// The version of the general form: the first argument. The version also says how the keys are named, because a copy writes
/// the keys that its master wrote, whatever its own configuration says.
const fn version(style: KeyStyle) -> &'static str {
    match style {
        KeyStyle::Plain => "1",
        KeyStyle::Tagged => "2",
    }
}

/// The general form of one effect: a word, a subject, and two values.
pub(super) struct Form<'a> {
    word: Word,
    subject: &'a str,
    first: i64,
    second: Second<'a>,
}

/// The second value of an effect.
enum Second<'a> {
    /// A number.
    Number(i64),
    /// The stored document. The same bytes are written to the key and replicated.
    Document(Cow<'a, [u8]>),
}

/// The words of the replicated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Hold,
    Record,
    Units,
    End,
    Once,
    Threshold,
    NoAlerts,
    Floor,
    Limit,
    Rank,
    Closed,
    Unrank,
    Clear,
    Outcome,
}

impl Word {
    const ALL: [Word; 14] = [
        Word::Hold,
        Word::Record,
        Word::Units,
        Word::End,
        Word::Once,
        Word::Threshold,
        Word::NoAlerts,
        Word::Floor,
        Word::Limit,
        Word::Rank,
        Word::Closed,
        Word::Unrank,
        Word::Clear,
        Word::Outcome,
    ];

    fn text(self) -> &'static str {
        match self {
            Word::Hold => "HOLD",
            Word::Record => "RECORD",
            Word::Units => "UNITS",
            Word::End => "END",
            Word::Once => "ONCE",
            Word::Threshold => "THRESHOLD",
            Word::NoAlerts => "NOALERTS",
            Word::Floor => "FLOOR",
            Word::Limit => "LIMIT",
            Word::Rank => "RANK",
            Word::Closed => "CLOSED",
            Word::Unrank => "UNRANK",
            Word::Clear => "CLEAR",
            Word::Outcome => "OUTCOME",
        }
    }

    /// Reads an effect with this word from the form that [`Effect::form`] writes. Returns `None` if a value is not
    /// valid.
    fn read(self, subject: &[u8], first: i64, second: &[u8], style: KeyStyle) -> Option<Effect> {
        let reservation = || ReservationId::parse(subject, style).ok();
        let record = || Record::from_json(&reservation()?, second, style);
        let outcome = |id: &ReservationId| Outcome::from_json(id, second, style);
        let sku = || Sku::replicated(subject, style);
        let place = || sku().filter(|sku| sku.warehouse().is_some());
        let product = || Product::parse(subject, style).ok();
        let deadline = first;
        Some(match self {
            Word::Hold => Effect::Hold { record: record()?, deadline },
            Word::Record => Effect::Record { record: record()?, deadline },
            Word::Units => Effect::Units { sku: sku()?, available: first, reserved: parse_integer(second)? },
            Word::End => {
                let id = reservation()?;
                Effect::End { outcome: outcome(&id)?, id, deadline }
            }
            Word::Outcome => {
                let id = reservation()?;
                Effect::Outcome { outcome: outcome(&id)?, id, deadline }
            }
            Word::Once => {
                Effect::Once { name: OnceName::replicated(subject)?, deadline, answer: second.to_vec() }
            }
            Word::Threshold => {
                Effect::Threshold { product: product()?, units: (first >= 0).then_some(first) }
            }
            Word::NoAlerts => Effect::Threshold { product: product()?, units: Some(OFF) },
            Word::Floor => Effect::Floor { sku: sku()?, units: first },
            Word::Limit => Effect::Limit { product: product()?, units: (first >= 0).then_some(first) },
            Word::Rank => Effect::Rank { place: place()?, priority: Priority::Number(first) },
            Word::Closed => Effect::Rank { place: place()?, priority: Priority::Closed },
            Word::Unrank => Effect::Unrank { place: place()? },
            Word::Clear => Effect::Clear { sku: sku()? },
        })
    }
}

impl Effect {
    /// The replicated form of the effect, which [`Word::read`] reads.
    fn form(&self) -> Form<'_> {
        let document = |json: Vec<u8>| Second::Document(json.into());
        let number = Second::Number;
        let (word, subject, first, second) = match self {
            Effect::Hold { record, deadline } => {
                (Word::Hold, record.id.as_str(), *deadline, document(record.to_json()))
            }
            Effect::Record { record, deadline } => {
                (Word::Record, record.id.as_str(), *deadline, document(record.to_json()))
            }
            Effect::Units { sku, available, reserved } => {
                (Word::Units, sku.as_str(), *available, number(*reserved))
            }
            Effect::End { id, outcome, deadline } => {
                (Word::End, id.as_str(), *deadline, document(outcome.to_json(id)))
            }
            Effect::Outcome { id, outcome, deadline } => {
                (Word::Outcome, id.as_str(), *deadline, document(outcome.to_json(id)))
            }
            Effect::Once { name, deadline, answer } => {
                (Word::Once, name.as_str(), *deadline, Second::Document(answer.into()))
            }
            Effect::Threshold { product, units: Some(OFF) } => {
                (Word::NoAlerts, product.as_str(), 0, number(0))
            }
            Effect::Threshold { product, units } => {
                (Word::Threshold, product.as_str(), units.unwrap_or(-1), number(0))
            }
            Effect::Floor { sku, units } => (Word::Floor, sku.as_str(), *units, number(0)),
            Effect::Limit { product, units } => {
                (Word::Limit, product.as_str(), units.unwrap_or(-1), number(0))
            }
            Effect::Rank { place, priority: Priority::Number(priority) } => {
                (Word::Rank, place.as_str(), *priority, number(0))
            }
            Effect::Rank { place, priority: Priority::Closed } => {
                (Word::Closed, place.as_str(), 0, number(0))
            }
            Effect::Unrank { place } => (Word::Unrank, place.as_str(), 0, number(0)),
            Effect::Clear { sku } => (Word::Clear, sku.as_str(), 0, number(0)),
        };
        Form { word, subject, first, second }
    }
}

/// The packed form of what the most frequent commands do: a header, the stored document, and the reservation's key. The
/// document says the rest. It costs less than the general form, because it has fewer arguments, and the module has made the
/// strings of most of them before.
///
/// What such commands do to many reservations is packed as well: the documents in one argument, separated by line feeds, and
/// the key of the first. A document contains no line feed, because JSON escapes it.
pub(super) struct Packed<'a> {
    header: Argument<'static>,
    documents: Vec<u8>,
    id: &'a ReservationId,
    places: Places,
}

/// Where the document of an effect is.
enum Places {
    /// The effect with this index stores the only document.
    One(usize),
    /// For each effect, the range of its document. It is empty if the effect stores none.
    Many(Vec<Range<usize>>),
}

/// What is packed. The header consists of the version, which also says how the keys are named, and a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// `HOLD`: one [`Effect::Hold`] until the deadline in the record.
    Hold,
    /// `RECORD`: one [`Effect::Record`] with the deadline in the record.
    Record,
    /// `CLOSE ttl`: [`Effect::Units`] for each item and quota of the outcome, as its ending says, and [`Effect::End`]. The outcome is
    /// kept until `ttl` milliseconds after the end, or not at all if that is 0.
    Close,
    /// `HOLDS`: the same as `HOLD` for each record.
    Holds,
    /// `CLOSES ttl`: the same as `CLOSE` for each outcome.
    Closes,
}

const HEADERS: [(&str, KeyStyle, Step); 10] = [
    ("3 HOLD", KeyStyle::Plain, Step::Hold),
    ("4 HOLD", KeyStyle::Tagged, Step::Hold),
    ("3 RECORD", KeyStyle::Plain, Step::Record),
    ("4 RECORD", KeyStyle::Tagged, Step::Record),
    ("3 CLOSE", KeyStyle::Plain, Step::Close),
    ("4 CLOSE", KeyStyle::Tagged, Step::Close),
    ("3 HOLDS", KeyStyle::Plain, Step::Holds),
    ("4 HOLDS", KeyStyle::Tagged, Step::Holds),
    ("3 CLOSES", KeyStyle::Plain, Step::Closes),
    ("4 CLOSES", KeyStyle::Tagged, Step::Closes),
];

/// The separator of packed documents.
const BETWEEN: u8 = b'\n';

/// The maximum size of packed documents in bytes. The server reads a longer argument than 512 MB only from its master.
const MOST_PACKED: usize = 256 << 20;

fn header(of: Step, named: KeyStyle) -> Option<&'static str> {
    HEADERS.iter().find(|(_, style, step)| *style == named && *step == of).map(|(text, ..)| *text)
}

/// How long an outcome is kept that expires at `deadline`; 0 if it is not kept.
fn ttl_of(outcome: &Outcome, deadline: UnixMs) -> Option<i64> {
    if deadline == 0 { Some(0) } else { deadline.checked_sub(outcome.resolved_at) }
}

impl<'a> Packed<'a> {
    /// Packs the effects. Returns `None` if their documents do not say everything.
    fn of(effects: &'a [Effect], style: KeyStyle) -> Option<Self> {
        let (effect, units) = effects.split_last()?;
        let places = Places::One(units.len());
        if let Effect::Hold { record, deadline } | Effect::Record { record, deadline } = effect
            && units.is_empty()
            && record.expires_at == *deadline
        {
            let step = if matches!(effect, Effect::Hold { .. }) { Step::Hold } else { Step::Record };
            let header = Argument::Word(header(step, style)?);
            return Some(Self { header, documents: record.to_json(), id: &record.id, places });
        }
        if let Effect::End { id, outcome, deadline } = effect
            && closes(outcome, units)
        {
            // The ttl is a setting, so the header is nearly always the same.
            let header = Argument::Phrase(header(Step::Close, style)?, ttl_of(outcome, *deadline)?);
            return Some(Self { header, documents: outcome.to_json(id), id, places });
        }
        if !are_of_many(effects) {
            return None;
        }
        match effect {
            Effect::Hold { .. } => Self::of_holds(effects, style),
            Effect::End { .. } => Self::of_ends(effects, style),
            Effect::Record { .. }
            | Effect::Units { .. }
            | Effect::Once { .. }
            | Effect::Threshold { .. }
            | Effect::Floor { .. }
            | Effect::Limit { .. }
            | Effect::Rank { .. }
            | Effect::Unrank { .. }
            | Effect::Clear { .. }
            | Effect::Outcome { .. } => None,
        }
    }

    /// Packs effects that hold stock for many reservations.
    fn of_holds(effects: &'a [Effect], style: KeyStyle) -> Option<Self> {
        let mut many = Many::with_capacity(effects.len());
        let mut first = None;
        for effect in effects {
            let Effect::Hold { record, deadline } = effect else { return None };
            if record.expires_at != *deadline {
                return None;
            }
            first = first.or(Some(&record.id));
            many.add(|out| record.write_json(out))?;
        }
        many.packed(Argument::Word(header(Step::Holds, style)?), first?)
    }

    /// Packs effects that end many reservations.
    fn of_ends(effects: &'a [Effect], style: KeyStyle) -> Option<Self> {
        let mut many = Many::with_capacity(effects.len());
        let mut first = None;
        let mut units = 0..0;
        for (index, effect) in effects.iter().enumerate() {
            match effect {
                Effect::Units { .. } => many.skip(),
                Effect::End { id, outcome, deadline } => {
                    units.end = index;
                    let ttl = ttl_of(outcome, *deadline)?;
                    let (_, known) = *first.get_or_insert((id, ttl));
                    if ttl != known || !closes(outcome, effects.get(units.clone())?) {
                        return None;
                    }
                    units.start = index.checked_add(1)?;
                    many.add(|out| outcome.write_json(id, out))?;
                }
                Effect::Hold { .. }
                | Effect::Record { .. }
                | Effect::Once { .. }
                | Effect::Threshold { .. }
                | Effect::Floor { .. }
                | Effect::Limit { .. }
                | Effect::Rank { .. }
                | Effect::Unrank { .. }
                | Effect::Clear { .. }
                | Effect::Outcome { .. } => return None,
            }
        }
        let (id, ttl) = first?;
        many.packed(Argument::Phrase(header(Step::Closes, style)?, ttl), id)
    }

    /// Reads the effects that [`Packed::of`] packs.
    fn read<'b>(header: &[u8], documents: &'b [u8], key: &[u8]) -> Option<Parsed<'b>> {
        let (text, ttl) = match header.iter().rposition(|byte| *byte == b' ').map(|at| header.split_at(at)) {
            Some((text, ttl)) if text.contains(&b' ') => (text, Some(parse_integer(ttl.get(1..)?)?)),
            _ => (header, None),
        };
        let (_, style, step) = HEADERS.iter().find(|(known, ..)| known.as_bytes() == text)?;
        let (style, step) = (*style, *step);
        let Some(Watched::Reservation(Some(id))) = watched(key, style) else { return None };
        let mut parsed = Parsed { style, effects: Vec::new(), documents: Vec::new() };
        match (step, ttl) {
            (Step::Hold, None) => {
                let record = Record::from_json(&id, documents, style)?;
                parsed.add(Effect::Hold { deadline: record.expires_at, record }, documents);
            }
            (Step::Record, None) => {
                let record = Record::from_json(&id, documents, style)?;
                parsed.add(Effect::Record { deadline: record.expires_at, record }, documents);
            }
            (Step::Close, Some(ttl)) => {
                parsed.close(id.clone(), Outcome::from_json(&id, documents, style)?, ttl, documents)?;
            }
            (Step::Holds, None) => {
                for document in documents.split(|byte| *byte == BETWEEN) {
                    let record = Record::of_any_id(document, style)?;
                    if parsed.effects.is_empty() && record.id != id {
                        return None;
                    }
                    parsed.add(Effect::Hold { deadline: record.expires_at, record }, document);
                }
            }
            (Step::Closes, Some(ttl)) => {
                for document in documents.split(|byte| *byte == BETWEEN) {
                    let (of, outcome) = Outcome::of_any_id(document, style)?;
                    if parsed.effects.is_empty() && of != id {
                        return None;
                    }
                    parsed.close(of, outcome, ttl, document)?;
                }
            }
            (Step::Hold | Step::Record | Step::Close | Step::Holds | Step::Closes, _) => return None,
        }
        Some(parsed)
    }

    /// The document that the effect with this index stores. Empty if it stores none.
    fn document(&self, index: usize) -> &[u8] {
        match &self.places {
            Places::One(last) if index == *last => &self.documents,
            Places::One(_) => &[],
            Places::Many(places) => {
                let place = places.get(index).cloned().unwrap_or_default();
                self.documents.get(place).unwrap_or_default()
            }
        }
    }
}

/// The documents of many reservations.
struct Many {
    documents: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Many {
    fn with_capacity(effects: usize) -> Self {
        // With one line, a document takes 150 to 200 bytes.
        let documents = Vec::with_capacity(effects.saturating_mul(200));
        Self { documents, places: Vec::with_capacity(effects) }
    }

    /// Passes over an effect that stores no document.
    fn skip(&mut self) {
        self.places.push(0..0);
    }

    /// Adds the document of the next effect, which `write` appends. `None` if there are too many bytes.
    fn add(&mut self, write: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Option<()> {
        if !self.documents.is_empty() {
            self.documents.push(BETWEEN);
        }
        let start = self.documents.len();
        self.documents = write(std::mem::take(&mut self.documents));
        self.places.push(start..self.documents.len());
        (self.documents.len() <= MOST_PACKED).then_some(())
    }

    fn packed<'a>(self, header: Argument<'static>, id: &'a ReservationId) -> Option<Packed<'a>> {
        let Self { documents, places } = self;
        Some(Packed { header, documents, id, places: Places::Many(places) })
    }
}

impl<'a> Parsed<'a> {
    fn add(&mut self, effect: Effect, document: &'a [u8]) {
        self.effects.push(effect);
        self.documents.push(document);
    }

    /// Adds the effects of a reservation that ends. `None` if `ttl` is not valid.
    fn close(&mut self, id: ReservationId, outcome: Outcome, ttl: i64, document: &'a [u8]) -> Option<()> {
        // The units of a reservation that was replaced have moved to its successor, which this form does not name.
        if outcome.ending == Ending::Replaced {
            return None;
        }
        let deadline = match ttl {
            0 => 0,
            1.. => outcome.resolved_at.checked_add(ttl)?,
            _ => return None,
        };
        for line in outcome.items.iter().chain(&outcome.quota) {
            self.add(units_of(line, outcome.ending), &[]);
        }
        self.add(Effect::End { id, outcome, deadline }, document);
        Some(())
    }
}

/// Whether `units` are the moves of a reservation that ends with this outcome and never had parts.
fn closes(outcome: &Outcome, units: &[Effect]) -> bool {
    let is_move = |(line, effect): (&Line, &Effect)| {
        matches!(effect, Effect::Units { sku, available, reserved }
            if *sku == line.sku && (*available, *reserved) == moved(line, outcome.ending))
    };
    // INV.REPLACE moves the difference to the successor, which no outcome tells.
    outcome.ending != Ending::Replaced
        && outcome.parts.is_none()
        && outcome.items.len().saturating_add(outcome.quota.len()) == units.len()
        && outcome.items.iter().zip(units).all(is_move)
        && outcome.quota.iter().zip(units.iter().skip(outcome.items.len())).all(is_move)
}
