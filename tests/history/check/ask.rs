//! What a call asks of a reservation, and what its answer says. A call about several reservations is one ask for each.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::record::{Call, Outcome};

/// Units by sku.
pub type Units = BTreeMap<String, i64>;

/// What is asked of one reservation, or of the two of a REPLACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Reserve { id: String, wish: Wish },
    Replace { old: String, new: String, wish: Wish },
    Commit { id: String, late: bool, part: Option<Units> },
    Rollback { id: String, fence: bool, part: Option<Units> },
    Extend { id: String, life: Life },
    Get { id: String },
}

/// What RESERVE and REPLACE ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wish {
    pub life: Life,
    pub partial: bool,
    pub buyer: Option<String>,
    pub data: Option<String>,
    pub items: Units,
}

/// A lifetime, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Life {
    Default,
    For(i64),
    Until(i64),
}

/// What a client learned from a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Unknown,
    /// The code and the text of an error.
    Refused(String, String),
    Answered(Json),
}

/// An ask with its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub ask: Ask,
    /// The whole ids of those reservations whose ids the module completed.
    pub names: Vec<String>,
    pub token: Option<String>,
    pub seen: Seen,
}

/// Errors of the server itself, or about the moment. The call has changed nothing, and they say nothing about a reservation.
const PASSING: &[&str] = &[
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "REDIRECT",
    "TRYAGAIN",
    "UNBLOCKED",
];

/// Whether the error says nothing but that the call was not carried out.
pub fn is_passing(text: &str) -> bool {
    let code = code(text);
    // An older module does not know every word. Its refusal does not depend on a reservation.
    let is_unknown_word = code == "ERR" && (text.contains("unknown command") || text.contains("syntax"));
    PASSING.contains(&code) || is_unknown_word
}

/// The first word of an error.
pub fn code(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// The name by which the checker knows a reservation. Of an id that the module completed (`cart-*`), a client knows the end only
/// after an answer, so the checker goes by what is before it.
pub fn canonical(id: &str) -> String {
    const UUID: usize = 36;
    let is_uuid = |text: &str| {
        text.len() == UUID
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    match id.len().checked_sub(UUID).and_then(|at| id.split_at_checked(at)) {
        Some((head, tail)) if is_uuid(tail) => format!("{head}*"),
        _ => id.to_owned(),
    }
}

/// The lines of a reply, by sku.
pub fn units(lines: &Json) -> Units {
    let mut units = Units::new();
    for line in lines.as_array().into_iter().flatten() {
        let product = line["product_id"].as_str().unwrap_or_default();
        let sku = match line["warehouse"].as_str() {
            Some(warehouse) => format!("{product}@{warehouse}"),
            None => product.to_owned(),
        };
        *units.entry(sku).or_default() += line["quantity"].as_i64().unwrap_or_default();
    }
    units
}

/// The product of a sku.
pub fn product_of(sku: &str) -> &str {
    sku.split('@').next().unwrap_or(sku)
}

/// Adds units to others.
pub fn add(sum: &mut Units, more: &Units) {
    for (sku, units) in more {
        *sum.entry(sku.clone()).or_default() += units;
    }
    sum.retain(|_, units| *units != 0);
}

/// What is left of units, if there are as many.
pub fn minus(units: &Units, less: &Units) -> Option<Units> {
    let mut left = units.clone();
    for (sku, count) in less {
        let have = left.get_mut(sku)?;
        *have -= count;
        if *have < 0 {
            return None;
        }
    }
    left.retain(|_, units| *units != 0);
    Some(left)
}

fn pairs(words: &[String]) -> Units {
    let mut units = Units::new();
    for pair in words.chunks_exact(2) {
        *units.entry(pair[0].clone()).or_default() += pair[1].parse::<i64>().unwrap_or_default();
    }
    units
}

/// The words before ITEMS, one after the other, and the items.
struct Options<'a> {
    words: &'a [String],
    items: Option<Units>,
}

impl<'a> Options<'a> {
    fn of(words: &'a [String]) -> Self {
        match words.iter().position(|word| word == "ITEMS") {
            Some(at) => Self { words: &words[..at], items: Some(pairs(&words[at + 1..])) },
            None => Self { words, items: None },
        }
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }

    fn after(&self, word: &str) -> Option<&'a String> {
        let at = self.words.iter().position(|known| known == word)?;
        self.words.get(at + 1)
    }

    fn number_after(&self, word: &str) -> Option<i64> {
        self.after(word)?.parse().ok()
    }

    fn life(&self) -> Life {
        let seconds = |count: i64| count * 1000;
        self.number_after("PX")
            .map(Life::For)
            .or_else(|| self.number_after("EX").map(seconds).map(Life::For))
            .or_else(|| self.number_after("PXAT").map(Life::Until))
            .or_else(|| self.number_after("EXAT").map(seconds).map(Life::Until))
            .unwrap_or(Life::Default)
    }

    fn wish(&self) -> Wish {
        Wish {
            life: self.life(),
            partial: self.has("PARTIAL"),
            buyer: self.after("BUYER").cloned(),
            data: self.after("DATA").cloned(),
            items: self.items.clone().unwrap_or_default(),
        }
    }
}

fn seen(call: &Call) -> Seen {
    match call.outcome {
        Outcome::Unknown => Seen::Unknown,
        Outcome::Ok => Seen::Answered(call.answer.clone()),
        Outcome::Fail => refused(call.answer.as_str().unwrap_or_default()),
    }
}

fn refused(text: &str) -> Seen {
    Seen::Refused(code(text).to_owned(), text.to_owned())
}

/// What this call asks of reservations. Nothing, if it is about stock, or was not carried out.
pub fn asks(call: &Call) -> Vec<Asked> {
    let words = &call.words;
    if call.outcome == Outcome::Fail && is_passing(call.answer.as_str().unwrap_or_default()) {
        return Vec::new();
    }
    let options = Options::of(words.get(2..).unwrap_or_default());
    let id = || canonical(&words[1]);
    let names =
        |ids: &[String]| ids.iter().filter(|id| canonical(id) != **id).cloned().collect::<Vec<String>>();
    let ask = match words[0].as_str() {
        "INV.RESERVE" => Ask::Reserve { id: id(), wish: options.wish() },
        "INV.COMMIT" => Ask::Commit { id: id(), late: options.has("LATE"), part: options.items.clone() },
        "INV.ROLLBACK" => {
            Ask::Rollback { id: id(), fence: options.has("FENCE"), part: options.items.clone() }
        }
        "INV.EXTEND" => Ask::Extend { id: id(), life: options.life() },
        "INV.GET" => Ask::Get { id: id() },
        "INV.REPLACE" => {
            let options = Options::of(&words[3..]);
            let (old, new) = (id(), canonical(&words[2]));
            let token = options.after("ONCE").cloned();
            let ask = Ask::Replace { old, new, wish: options.wish() };
            return vec![Asked { ask, names: names(&words[1..3]), token, seen: seen(call) }];
        }
        "INV.MRESERVE" | "INV.MCOMMIT" | "INV.MROLLBACK" => return elements(call),
        _ => return Vec::new(),
    };
    let token = options.after("ONCE").cloned();
    vec![Asked { ask, names: names(&words[1..2]), token, seen: seen(call) }]
}

/// The asks of a call about many reservations. Each has an answer of its own.
fn elements(call: &Call) -> Vec<Asked> {
    let words = &call.words;
    let asks: Vec<Ask> = match words[0].as_str() {
        "INV.MCOMMIT" => {
            words[1..].iter().map(|id| Ask::Commit { id: canonical(id), late: false, part: None }).collect()
        }
        "INV.MROLLBACK" => words[1..]
            .iter()
            .map(|id| Ask::Rollback { id: canonical(id), fence: false, part: None })
            .collect(),
        _ => {
            let (options, rest) = words[1..].split_at(2);
            let life = Options::of(options).life();
            let (mut asks, mut rest) = (Vec::new(), &rest[1..]);
            while let [id, count, behind @ ..] = rest {
                let (items, behind) = behind.split_at(2 * count.parse::<usize>().unwrap_or_default());
                let wish = Wish { life, partial: false, buyer: None, data: None, items: pairs(items) };
                asks.push(Ask::Reserve { id: canonical(id), wish });
                rest = behind;
            }
            asks
        }
    };
    let all = seen(call);
    let of = |at: usize| match &all {
        Seen::Answered(answers) => match answers[at].as_str().and_then(|text| text.strip_prefix('-')) {
            Some(text) => refused(text),
            None => Seen::Answered(answers[at].clone()),
        },
        other => other.clone(),
    };
    let ids = words[1..].iter().filter(|id| canonical(id) != **id);
    let names: Vec<String> = ids.cloned().collect();
    let asks = asks.into_iter().enumerate().map(|(at, ask)| {
        let is_own = |name: &&String| ask.ids().contains(&&canonical(name));
        let names = names.iter().filter(is_own).cloned().collect();
        Asked { ask, names, token: None, seen: of(at) }
    });
    // An element may have to be sent again, while others were carried out.
    asks.filter(|asked| !matches!(&asked.seen, Seen::Refused(_, text) if is_passing(text))).collect()
}

impl Ask {
    /// Names a reservation otherwise.
    pub fn rename(&mut self, from: &str, to: &str) {
        let ids = match self {
            Self::Replace { old, new, .. } => vec![old, new],
            Self::Reserve { id, .. }
            | Self::Commit { id, .. }
            | Self::Rollback { id, .. }
            | Self::Extend { id, .. }
            | Self::Get { id } => vec![id],
        };
        ids.into_iter().filter(|id| *id == from).for_each(|id| to.clone_into(id));
    }

    /// The reservations that it is about.
    pub fn ids(&self) -> Vec<&String> {
        match self {
            Self::Replace { old, new, .. } => vec![old, new],
            Self::Reserve { id, .. }
            | Self::Commit { id, .. }
            | Self::Rollback { id, .. }
            | Self::Extend { id, .. }
            | Self::Get { id } => vec![id],
        }
    }
}
