//! `ONCE` tokens, which make it safe to send a command again.

use super::change::Change;
use super::effects::Effect;
use super::keyspace::{Keyspace, Reading};
use crate::inventory::key::Key;
use crate::inventory::once::{Answer, Once, from_json, to_json};
use crate::inventory::refusal::Refusal;

/// What is known about the token of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The command has no token, or its token is new.
    New,
    /// The same command has been answered before.
    Answered(Answer),
    /// The token was used with other arguments. The text is that request.
    Other(String),
}

impl Seen {
    /// Rejects a token that was used with other arguments.
    ///
    /// # Errors
    ///
    /// [`Refusal::OtherOnce`] (`MISMATCH`).
    pub(super) fn unless_other(self) -> Result<(), Refusal> {
        match self {
            Seen::Other(asked) => Err(Refusal::OtherOnce { asked }),
            Seen::New | Seen::Answered(_) => Ok(()),
        }
    }
}

/// Looks up the token of a command.
///
/// # Errors
///
/// `WRONGTYPE` if its key holds something else, and `ERR` if remembering is turned off.
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

/// Looks up the token of a command that answers with a number. Returns that answer if it was given before.
///
/// # Errors
///
/// As for [`look_up`], and `MISMATCH` if the token was used with other arguments.
pub(super) fn answered_number<K: Keyspace>(
    keys: &mut K,
    token: Option<&Once>,
) -> Result<Option<i64>, Refusal> {
    match look_up(keys, token)? {
        Seen::New => Ok(None),
        Seen::Answered(Answer::Number(number)) => Ok(Some(number)),
        Seen::Answered(other @ (Answer::Ok | Answer::Reserved(_))) => Err(unexpected(&other)),
        Seen::Other(asked) => Err(Refusal::OtherOnce { asked }),
    }
}

/// Remembers the answer of a command that has nothing else to write.
pub(super) fn remember_alone<K: Keyspace>(keys: &mut K, once: Option<&Once>, answer: &Answer) {
    if let Some(effect) = remember(keys, once, answer) {
        Change::of(vec![effect]).carry_out(keys);
    }
}

/// The effect that remembers an answer, or `None` if the command has no token.
pub(super) fn remember<K: Keyspace>(keys: &K, once: Option<&Once>, answer: &Answer) -> Option<Effect> {
    // A reservation may last until its deadline, and its outcome is remembered for a time after that. The token is
    // remembered for at least as long.
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

/// The refusal for a remembered answer of a type that this command does not give, so that another command must have
/// stored it.
pub(super) fn unexpected(answer: &Answer) -> Refusal {
    Refusal::invalid(format!(
        "the answer stored for this ONCE token is not one of this command ({answer:?}): use a new token"
    ))
}
