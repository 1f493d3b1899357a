//! Replies, RESP2 and RESP3: a map is a map in RESP3, and flat in RESP2.

use std::ffi::{c_char, c_long};

use redis_module::{Context, RedisError, RedisResult, RedisValue, raw};

use crate::engine::audit::Audit;
use crate::inventory::line::Line;
use crate::inventory::refusal::Refusal;
use crate::server::state;

/// Every refusal becomes a reply here, and is counted for INFO.
impl From<Refusal> for RedisError {
    fn from(refusal: Refusal) -> Self {
        state::refused(refusal.code());
        RedisError::String(refusal.to_string())
    }
}

/// `OK`.
pub fn ok((): ()) -> RedisValue {
    RedisValue::SimpleStringStatic("OK")
}

/// Writes a reply piece by piece, in the order in which its fields are documented.
pub struct Reply<'a>(&'a Context);

impl<'a> Reply<'a> {
    /// Nothing is written yet.
    pub fn begin(ctx: &'a Context) -> Self {
        state::owe(Some(1));
        Self(ctx)
    }

    /// Fills what a panic left unwritten with errors, so that what comes next on the connection is not taken for it.
    /// False where the reply was not begun.
    pub fn mend(ctx: &Context, error: &str) -> bool {
        let Some(owed) = state::owed() else { return false };
        (0..owed).for_each(|_| {
            ctx.reply_error_string(error);
        });
        true
    }

    /// One element is written, which has `elements` of its own.
    fn wrote(elements: usize) {
        #[cfg(feature = "faults")]
        crate::server::faults::point();
        let owed = state::owed().unwrap_or(1);
        state::owe(Some(owed.saturating_sub(1).saturating_add(elements)));
    }

    /// A map of `fields` fields: each a [`Reply::text`] and a value.
    pub fn map(&self, fields: usize) {
        Self::wrote(fields.saturating_mul(2));
        raw::reply_with_map(self.0.ctx, length(fields));
    }

    /// An array.
    pub fn array(&self, elements: usize) {
        Self::wrote(elements);
        raw::reply_with_array(self.0.ctx, length(elements));
    }

    /// A string.
    pub fn text(&self, text: &str) {
        Self::wrote(0);
        raw::reply_with_string_buffer(self.0.ctx, text.as_ptr().cast::<c_char>(), text.len());
    }

    /// An integer.
    pub fn number(&self, number: i64) {
        Self::wrote(0);
        raw::reply_with_long_long(self.0.ctx, number);
    }

    /// The score of a sorted set's member: an integer where it is one.
    pub fn score(&self, score: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "it is an integer within 2^53")]
        if score.fract() == 0.0 && score.abs() <= 9_007_199_254_740_992.0 {
            self.number(score as i64);
        } else {
            Self::wrote(0);
            raw::reply_with_double(self.0.ctx, score);
        }
    }

    /// Nothing known.
    pub fn null(&self) {
        Self::wrote(0);
        raw::reply_with_null(self.0.ctx);
    }

    /// Lines, as the stored record shows them.
    pub fn lines(&self, lines: &[Line]) {
        self.array(lines.len());
        for Line { sku, quantity } in lines {
            self.map(if sku.warehouse().is_some() { 3 } else { 2 });
            self.text("product_id");
            self.text(sku.product());
            if let Some(warehouse) = sku.warehouse() {
                self.text("warehouse");
                self.text(warehouse);
            }
            self.text("quantity");
            self.number(quantity.units());
        }
    }

    /// A sku's reserved counter beside what is held, and its `stray` units, where there are any.
    pub fn audit(&self, audit: &Audit, stray: i64) {
        self.map(if stray == 0 { 4 } else { 5 });
        self.text("sku");
        self.text(audit.sku.as_str());
        for (name, units) in [("reserved", audit.reserved), ("held", audit.held), ("drift", audit.drift())] {
            self.text(name);
            self.number(units);
        }
        if stray != 0 {
            self.text("stray");
            self.number(stray);
        }
    }

    /// The reply is written.
    pub fn done(self) -> RedisResult {
        Ok(RedisValue::NoReply)
    }
}

fn length(elements: usize) -> c_long {
    c_long::try_from(elements).unwrap_or(c_long::MAX)
}
