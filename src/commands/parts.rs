//! The arguments that `INV.COMMIT` and `INV.ROLLBACK` have in common.

use super::args::{self, Args};
use crate::engine::keyspace::Settings;
use crate::engine::resolve::ResolveRequest;
use crate::inventory::key::OnceName;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, ReservationId};

/// A word that is given with the whole reservation only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// Of INV.COMMIT.
    Late,
    /// Of INV.ROLLBACK.
    Fence,
}

impl Whole {
    const fn word(self) -> &'static str {
        match self {
            Self::Late => "LATE",
            Self::Fence => "FENCE",
        }
    }
}

/// Reads `id [whole] [ONCE token] [ITEMS sku quantity …]`. `command` is part of the names of `ONCE` keys.
pub fn parse(
    words: &[&[u8]],
    style: KeyStyle,
    settings: &Settings,
    command: &str,
    whole: Whole,
    grammar: &'static str,
) -> Result<ResolveRequest, Refusal> {
    let mut args = Args::new(words, grammar)?;
    let id = ReservationId::parse(args.next("the reservation id")?, style)?;
    let (mut token, mut part, mut given) = (None, None, None);
    while let Some(word) = args.option() {
        if word.eq_ignore_ascii_case(b"ITEMS") {
            part = Some(args.items(style, settings.max_items)?);
        } else if word.eq_ignore_ascii_case(whole.word().as_bytes()) {
            args.set_once(&mut given, whole.word(), ())?;
        } else if !args.token(word, &mut token)? {
            return Err(args.unknown(word));
        }
    }
    let is_given = given.is_some();
    if is_given && part.is_some() {
        return Err(args.wrong(match whole {
            Whole::Late => "LATE commits the whole reservation and cannot be combined with ITEMS",
            Whole::Fence => "FENCE ends the whole reservation and cannot be combined with ITEMS",
        }));
    }
    let asked = || match &part {
        Some(part) => args::spell(part),
        None if is_given => format!("the whole, {}", whole.word()),
        None => "the whole".to_owned(),
    };
    let once = args::token(token, |token| OnceName::new(command, id.as_str(), token, style), asked)?;
    let [late, fence] = [Whole::Late, Whole::Fence].map(|word| is_given && word == whole);
    Ok(ResolveRequest { id, part, late, fence, once })
}
