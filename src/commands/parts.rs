//! The arguments that `INV.COMMIT` and `INV.ROLLBACK` have in common.

use super::args::{self, Args};
use crate::engine::keyspace::Settings;
use crate::engine::resolve::ResolveRequest;
use crate::inventory::key::OnceName;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, ReservationId};

/// Reads `id [LATE] [ONCE token] [ITEMS sku quantity …]`. `LATE` is accepted only if `may_be_late`. `command` is part
/// of the names of `ONCE` keys.
pub fn parse(
    words: &[&[u8]],
    style: KeyStyle,
    settings: &Settings,
    command: &str,
    may_be_late: bool,
    grammar: &'static str,
) -> Result<ResolveRequest, Refusal> {
    let mut args = Args::new(words, grammar)?;
    let id = ReservationId::parse(args.next("the reservation id")?, style)?;
    let (mut token, mut part, mut late) = (None, None, None);
    while let Some(word) = args.option() {
        if word.eq_ignore_ascii_case(b"ITEMS") {
            part = Some(args.items(style, settings.max_items)?);
        } else if may_be_late && word.eq_ignore_ascii_case(b"LATE") {
            args.set_once(&mut late, "LATE", ())?;
        } else if !args.token(word, &mut token)? {
            return Err(args.unknown(word));
        }
    }
    if late.is_some() && part.is_some() {
        return Err(args.wrong("LATE commits the whole reservation and cannot be combined with ITEMS"));
    }
    let asked = || match &part {
        Some(part) => args::spell(part),
        None if late.is_some() => "the whole, LATE".to_owned(),
        None => "the whole".to_owned(),
    };
    let once = args::token(token, |token| OnceName::new(command, id.as_str(), token, style), asked)?;
    Ok(ResolveRequest { id, part, late: late.is_some(), once })
}
