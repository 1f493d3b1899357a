//! `ONCE`: a token that makes a command harmless to send again.

use super::apply::Effect;
use super::{Keyspace, Reading};
use crate::inventory::error::Refusal;
use crate::inventory::once::{Answer, Once, from_json, to_json};
use crate::inventory::sku::Key;

/// What the same command was answered before, if it was. `MISMATCH` where the token was used with other arguments.
pub(super) fn answered<K: Keyspace>(keys: &mut K, once: Option<&Once>) -> Result<Option<Answer>, Refusal> {
    let Some(once) = once else { return Ok(None) };
    if keys.settings().outcome_ttl_ms == 0 {
        return Err(Refusal::invalid("ONCE needs inv.outcome-ttl-ms above 0: nothing is remembered now"));
    }
    let key = Key::Once(&once.name);
    let style = keys.style();
    let wrong = |found| Refusal::WrongType { key: key.name(style), found, wanted: "a remembered answer" };
    match keys.read(key) {
        Reading::Absent => Ok(None),
        Reading::Other(kind) => Err(wrong(kind.into())),
        Reading::Text(json, _) => match from_json(&json, style) {
            Some((asked, answer)) if asked == once.asked => Ok(Some(answer)),
            Some((asked, _)) => Err(Refusal::OtherOnce { asked }),
            None => Err(wrong("something else".into())),
        },
    }
}

/// The effect that remembers an answer, where the command has a token.
pub(super) fn remember<K: Keyspace>(keys: &K, once: Option<&Once>, answer: &Answer) -> Option<Effect> {
    once.map(|once| Effect::Once {
        name: once.name.clone(),
        deadline: keys.now().saturating_add(keys.settings().outcome_ttl_ms),
        answer: to_json(&once.asked, answer),
    })
}

/// A stored answer of another kind than this command gives was not stored by it.
pub(super) fn unexpected(answer: &Answer) -> Refusal {
    Refusal::invalid(format!("the answer that is remembered for this ONCE token does not fit: {answer:?}"))
}
