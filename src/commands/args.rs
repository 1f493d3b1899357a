//! Parses the arguments of a command.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use crate::engine::feed::Note;
use crate::engine::keyspace::Settings;
use crate::inventory::key::OnceName;
use crate::inventory::lifetime::Lifetime;
use crate::inventory::line::{Line, Sum};
use crate::inventory::once::Once;
use crate::inventory::quantity::{MAX_EXACT, Quantity, parse_integer};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{InvalidText, KeyStyle, Sku, check_text, is_plain};

/// The keywords of the commands with items. Such a word in the place of a sku is taken for a mistake.
const OPTION_WORDS: [&str; 11] =
    ["ITEMS", "LATE", "EX", "PX", "EXAT", "PXAT", "DATA", "SPLIT", "ONCE", "PARTIAL", "BUYER"];

/// The maximum number of arguments of a call: enough for the longest list of items or warehouses.
const MOST_ARGUMENTS: usize = 2112;

/// The maximum size of all arguments together: enough for the longest DATA and the longest ids.
const MOST_BYTES: usize = 2_097_152;

/// A cursor over the arguments of one command.
pub struct Args<'a> {
    grammar: &'static str,
    rest: &'a [&'a [u8]],
}

impl<'a> Args<'a> {
    /// Starts after the command's name.
    ///
    /// # Errors
    ///
    /// `ERR` if there are too many arguments, or if one is not UTF-8 or contains a control character. The server
    /// compares a keyword only up to a NUL, and a control character can disguise a name in a log or a terminal.
    pub fn new(words: &'a [&'a [u8]], grammar: &'static str) -> Result<Self, Refusal> {
        Self::with_most(words, grammar, MOST_ARGUMENTS)
    }

    /// The same for a command that takes more arguments than others.
    ///
    /// # Errors
    ///
    /// As for [`Args::new`].
    pub fn with_most(words: &'a [&'a [u8]], grammar: &'static str, most: usize) -> Result<Self, Refusal> {
        let rest = words.get(1..).unwrap_or_default();
        if rest.len() > most {
            let given = rest.len();
            return Err(Refusal::invalid(format!(
                "{given} arguments are given, but at most {most} are allowed"
            )));
        }
        let bytes = rest.iter().map(|word| word.len()).fold(0, usize::saturating_add);
        if bytes > MOST_BYTES {
            return Err(Refusal::invalid(format!(
                "the arguments have {bytes} bytes, but at most {MOST_BYTES} are allowed"
            )));
        }
        for (index, word) in rest.iter().enumerate() {
            if !is_plain(word) {
                let position = index.saturating_add(1);
                check_text(format_args!("argument {position}"), word)?;
            }
        }
        Ok(Self { grammar, rest })
    }

    /// The next argument. If there is none, the error says that `what` is missing.
    pub fn next(&mut self, what: impl Display) -> Result<&'a [u8], Refusal> {
        match self.option() {
            Some(word) => Ok(word),
            None => Err(self.wrong(format!("{what} is missing"))),
        }
    }

    /// The next argument, if there is one.
    pub fn option(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Passes over the next argument if it is this word. Returns whether it was.
    pub fn takes(&mut self, word: &[u8]) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if first.eq_ignore_ascii_case(word) => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The value of an option. It cannot be `ITEMS` or `PRODUCT`: the server searches for these keywords to find the
    /// keys, and would treat the wrong arguments as keys.
    pub fn value(&mut self, option: &str) -> Result<&'a [u8], Refusal> {
        let value = self.next(format_args!("the value of {option}"))?;
        if value.eq_ignore_ascii_case(b"ITEMS") || value.eq_ignore_ascii_case(b"PRODUCT") {
            return Err(self.wrong(format!("the value of {option} cannot be {}", Quoted(value))));
        }
        Ok(value)
    }

    /// The value of an option as an integer from `min` to 2^53 - 1.
    pub fn number(&mut self, option: &str, min: i64) -> Result<i64, Refusal> {
        let value = self.value(option)?;
        parse_integer(value)
            .filter(|number| (min..=MAX_EXACT).contains(number))
            .ok_or_else(|| self.no_integer(option, value, min))
    }

    /// The next argument as a quantity. `what` names it in the error.
    pub fn quantity(&mut self, what: impl Display) -> Result<Quantity, Refusal> {
        let value = self.next(&what)?;
        Quantity::parse(value).ok_or_else(|| self.no_integer(what, value, 1))
    }

    /// The error for a value that is not an integer from `min` to 2^53 - 1. If only the notation is wrong, it shows
    /// the right one.
    pub fn no_integer(&self, what: impl Display, value: &[u8], min: i64) -> Refusal {
        let (value, hint) = (Quoted(value), hint(value, &(min..=MAX_EXACT)));
        self.wrong(format!("{what} {value} is not an integer from {min} to {MAX_EXACT}{hint}"))
    }

    /// Stores the value of an option, which may be given only once.
    pub fn set_once<T>(&self, slot: &mut Option<T>, option: &str, value: T) -> Result<(), Refusal> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.wrong(format!("{option} is repeated, or conflicts with another option"))),
        }
    }

    /// The next argument as an integer from -(2^53 - 1) to 2^53 - 1.
    pub fn signed(&mut self, what: &str) -> Result<i64, Refusal> {
        let value = self.next(what)?;
        self.within_bounds(what, value, value)
    }

    /// The next argument as a signed change. Unlike [`signed`](Self::signed), it accepts a plus sign, as in `+5`.
    pub fn delta(&mut self, what: &str) -> Result<i64, Refusal> {
        let value = self.next(what)?;
        let digits = value.strip_prefix(b"+").filter(|rest| !rest.starts_with(b"-"));
        self.within_bounds(what, value, digits.unwrap_or(value))
    }

    fn within_bounds(&self, what: &str, value: &[u8], digits: &[u8]) -> Result<i64, Refusal> {
        let exact = MAX_EXACT.saturating_neg()..=MAX_EXACT;
        parse_integer(digits).filter(|number| exact.contains(number)).ok_or_else(|| {
            let (value, hint) = (Quoted(value), hint(value, &exact));
            self.wrong(format!("{what} {value} is not an integer from -{MAX_EXACT} to {MAX_EXACT}{hint}"))
        })
    }

    /// Reads the value if `word` is `EX`, `PX`, `EXAT` or `PXAT`. Returns whether it was.
    pub fn lifetime(&mut self, word: &[u8], slot: &mut Option<Lifetime>) -> Result<bool, Refusal> {
        type Make = fn(i64) -> Lifetime;
        const OPTIONS: [(&str, i64, Make); 4] = [
            ("EX", 1000, Lifetime::For),
            ("PX", 1, Lifetime::For),
            ("EXAT", 1000, Lifetime::Until),
            ("PXAT", 1, Lifetime::Until),
        ];
        let named = |(name, ..): &&(&str, i64, Make)| word.eq_ignore_ascii_case(name.as_bytes());
        let Some((option, unit, lifetime)) = OPTIONS.iter().find(named) else { return Ok(false) };
        let ms = self.number(option, 1)?.saturating_mul(*unit);
        self.set_once(slot, option, lifetime(ms))?;
        Ok(true)
    }

    /// Reads the value if `word` is `ONCE`. Returns whether it was.
    pub fn token(&mut self, word: &[u8], slot: &mut Option<&'a [u8]>) -> Result<bool, Refusal> {
        if !word.eq_ignore_ascii_case(b"ONCE") {
            return Ok(false);
        }
        let token = self.value("ONCE")?;
        self.set_once(slot, "ONCE", token)?;
        Ok(true)
    }

    /// Reads the value if `word` is `NOTE`. Returns whether it was.
    pub fn note(
        &mut self,
        word: &[u8],
        slot: &mut Option<Note>,
        settings: &Settings,
    ) -> Result<bool, Refusal> {
        if !word.eq_ignore_ascii_case(b"NOTE") {
            return Ok(false);
        }
        let text = self.value("NOTE")?;
        check_data("NOTE", text, settings)?;
        let text = String::from_utf8_lossy(text).into_owned();
        self.set_once(slot, "NOTE", Note { text, user: None })?;
        Ok(true)
    }

    /// Reads `sku quantity …` to the end. The quantities of a sku that is repeated are added up.
    pub fn items(&mut self, style: KeyStyle, max: usize) -> Result<Vec<Line>, Refusal> {
        if self.rest.is_empty() {
            return Err(self.wrong("no items after ITEMS"));
        }
        if self.rest.len().div_ceil(2) > max {
            let asked = self.rest.len().div_ceil(2);
            return Err(Refusal::invalid(format!(
                "{asked} items are given, but at most {max} are allowed (inv.max-items)"
            )));
        }
        let mut items = Sum::with_capacity(self.rest.len().div_ceil(2));
        while let Some(sku) = self.option() {
            if let Some(option) = OPTION_WORDS.iter().find(|word| sku.eq_ignore_ascii_case(word.as_bytes())) {
                return Err(
                    self.wrong(format!("{option} is given in the place of a sku: put options before ITEMS"))
                );
            }
            items.add(self.line(sku, style)?)?;
        }
        Ok(items.into_lines())
    }

    /// Reads `sku quantity` this many times. The quantities of a sku that is repeated are added up.
    pub fn counted_items(&mut self, style: KeyStyle, count: usize) -> Result<Vec<Line>, Refusal> {
        let mut items = Sum::with_capacity(count);
        for _ in 0..count {
            let sku = self.next("a sku")?;
            items.add(self.line(sku, style)?)?;
        }
        Ok(items.into_lines())
    }

    /// Reads the quantity after `sku`.
    fn line(&mut self, sku: &[u8], style: KeyStyle) -> Result<Line, Refusal> {
        let quantity = self.next(format_args!("the quantity of {}", Quoted(sku)))?;
        let sku = Sku::parse(sku, style)?;
        let quantity = Quantity::parse(quantity)
            .ok_or_else(|| self.no_integer(format_args!("the quantity of {}", sku.listed()), quantity, 1))?;
        Ok(Line { sku, quantity })
    }

    /// The next argument, which stays the next one.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.rest.first().copied()
    }

    /// Reads the number of the `what` that follow, from 1 to `most`, which `limit` explains.
    pub fn count(&mut self, what: &str, most: usize, limit: &str) -> Result<usize, Refusal> {
        let given = self.next(format_args!("the number of {what}"))?;
        let count = parse_integer(given).filter(|count| (1..=MAX_EXACT).contains(count));
        let count = count.ok_or_else(|| self.no_integer(format_args!("the number of {what}"), given, 1))?;
        usize::try_from(count).ok().filter(|count| *count <= most).ok_or_else(|| {
            Refusal::invalid(format!("{count} {what} are given, but at most {most} are allowed{limit}"))
        })
    }

    /// Checks that no argument is left.
    pub fn end(&mut self) -> Result<(), Refusal> {
        match self.option() {
            None => Ok(()),
            Some(word) => Err(self.unknown(word)),
        }
    }

    /// The error for a word that is not an option of the command.
    pub fn unknown(&self, word: &[u8]) -> Refusal {
        let hint = if self.grammar.contains(" ITEMS ") { ": put the word ITEMS before the skus" } else { "" };
        self.wrong(format!("unknown option {}{hint}", Quoted(word)))
    }

    /// An error that shows the usage of the command.
    pub fn wrong(&self, what: impl Into<String>) -> Refusal {
        Refusal::Grammar { what: what.into(), grammar: self.grammar }
    }
}

/// Checks the length of a text that is stored.
pub fn check_data(option: &str, text: &[u8], settings: &Settings) -> Result<(), Refusal> {
    let (given, most) = (text.len(), settings.max_data_bytes);
    if given <= most {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "{option} has {given} bytes, but at most {most} are allowed (inv.max-data-bytes)"
    )))
}

/// The request's `ONCE` token, if it has one. `name` builds the name of its key, and `asked` spells the rest of the
/// command.
pub fn token(
    token: Option<&[u8]>,
    name: impl FnOnce(&[u8]) -> Result<OnceName, InvalidText>,
    asked: impl FnOnce() -> String,
) -> Result<Option<Once>, Refusal> {
    let Some(token) = token else { return Ok(None) };
    Ok(Some(Once { name: name(token)?, asked: asked() }))
}

/// Spells lines in a canonical form that does not depend on their order. It is stored with the answer to a token and
/// compared with what older versions have stored, so it is separate from the form that users see
/// ([`describe`](crate::inventory::line::describe)).
pub fn spell(lines: &[Line]) -> String {
    let mut lines: Vec<Line> = lines.to_vec();
    lines.sort_by(|a, b| a.sku.cmp(&b.sku));
    let spelled = lines.iter().map(|Line { sku, quantity }| format!("{sku} {}", quantity.units()));
    spelled.collect::<Vec<_>>().join(", ")
}

/// Spells lines and whether `PARTIAL` is allowed. Without it, this is the spelling of the lines alone, as of versions
/// that did not know it.
pub fn spell_request(lines: &[Line], partial: bool) -> String {
    let mut spelled = spell(lines);
    if partial {
        spelled.push_str(", PARTIAL");
    }
    spelled
}

/// A hint for a number that is refused only because of its notation, such as `+5` or `007`: the accepted notation.
fn hint(value: &[u8], range: &RangeInclusive<i64>) -> String {
    let (sign, digits) = match value.split_first() {
        Some((b'+', digits)) => ("", digits),
        Some((b'-', digits)) => ("-", digits),
        Some(_) | None => ("", value),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return String::new();
    }
    let digits = String::from_utf8_lossy(digits);
    let number: &str = digits.trim_start_matches('0');
    let plain = if number.is_empty() { "0".to_owned() } else { format!("{sign}{number}") };
    match parse_integer(plain.as_bytes()) {
        Some(number) if range.contains(&number) => format!(": write {number}"),
        Some(_) | None => String::new(),
    }
}

/// An argument in an error message, cut off after 64 characters.
pub struct Quoted<'a>(pub &'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = String::from_utf8_lossy(self.0).chars().take(64).collect();
        write!(out, "'{shown}'")
    }
}
