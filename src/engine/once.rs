//! `ONCE`: a token that makes a command harmless to send again.

use super::change::Change;
use super::effects::Effect;
use super::keyspace::{Keyspace, Reading};
use crate::inventory::key::Key;
use crate::inventory::once::{Answer, Once, from_json, to_json};
use crate::inventory::refusal::Refusal;

/// What is known of a command's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The command has no token, or it was not seen.
    New,
    /// This very command was answered so.
    Answered(Answer),
    /// It was used with other arguments: what was asked.
    Other(String),
}

impl Seen {
    /// `MISMATCH` if the token was used with other arguments.
    pub(super) fn unless_other(self) -> Result<(), Refusal> {
        match self {
            Seen::Other(asked) => Err(Refusal::OtherOnce { asked }),
            Seen::New | Seen::Answered(_) => Ok(()),
        }
    }
}

/// Looks a token up. `WRONGTYPE` where something else is in its place.
pub(super) fn look_up<K: Keyspace>(keys: &mut K, once: Option<&Once>) -> Result<Seen, Refusal> {
    let Some(once) = once else { return Ok(Seen::New) };
    if keys.settings().outcome_ttl_ms == 0 {
        return Err(Refusal::invalid(
            "ONCE cannot be used while inv.outcome-ttl-ms is 0: no answers are remembered",
        ));
    }
    let key = Key::Once(&once.name);
    let style = keys.style();
    let wrong = |found| Refusal::WrongType { key: key.name(style), found, wanted: "a remembered answer" };
    match keys.read(key) {
        Reading::Absent => Ok(Seen::New),
        Reading::Other(kind) => Err(wrong(kind.into())),
        Reading::Text(json, _) => match from_json(&json, style) {
            Some((asked, answer)) if asked == once.asked => Ok(Seen::Answered(answer)),
            Some((asked, _)) => Ok(Seen::Other(asked)),
            None => Err(wrong("something else".into())),
        },
    }
}

/// Remembers the answer of a command that had nothing to do.
pub(super) fn remember_alone<K: Keyspace>(keys: &mut K, once: Option<&Once>, answer: &Answer) {
    if let Some(effect) = remember(keys, once, answer) {
        Change::of(vec![effect]).carry_out(keys);
    }
}

/// The effect that remembers an answer, where the command has a token.
pub(super) fn remember<K: Keyspace>(keys: &K, once: Option<&Once>, answer: &Answer) -> Option<Effect> {
    // A hold may end at its deadline at the latest, and its end is remembered from then on: so is who asked for it.
    let last = match answer {
        Answer::Reserved(reserved) => reserved.expires_at.max(keys.now()),
        Answer::Ok | Answer::Number(_) => keys.now(),
    };
    once.map(|once| Effect::Once {
        name: once.name.clone(),
        deadline: last.saturating_add(keys.settings().outcome_ttl_ms),
        answer: to_json(&once.asked, answer),
    })
}

/// A stored answer of another kind than this command gives was not stored by it.
pub(super) fn unexpected(answer: &Answer) -> Refusal {
    Refusal::invalid(format!(
        "the answer stored for this ONCE token is not one of this command ({answer:?}): use a new token"
    ))
}
