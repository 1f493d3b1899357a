//! Replies, RESP2 and RESP3: a map is a map in RESP3, and flat in RESP2.

use std::cell::Cell;

use redis_module::RedisValue;

use crate::engine::audit::Audit;
use crate::inventory::line::Line;
use crate::inventory::refusal::Refusal;
use crate::server::api::ctx::Ctx;

/// `OK`.
pub fn ok((): ()) -> RedisValue {
    RedisValue::SimpleStringStatic("OK")
}

/// Writes a reply piece by piece, in the order in which its fields are documented.
pub struct Reply<'a> {
    ctx: Ctx<'a>,
    /// How many elements are not written yet; `None` if none is.
    owed: Cell<Option<usize>>,
}

impl<'a> Reply<'a> {
    /// Nothing is written yet.
    pub const fn new(ctx: Ctx<'a>) -> Self {
        Self { ctx, owed: Cell::new(None) }
    }

    /// Fills what a panic left unwritten with errors, so that what comes next on the connection is not taken for it.
    /// False if nothing was written.
    pub fn mend(&self, error: &str) -> bool {
        let Some(owed) = self.owed.get() else { return false };
        (0..owed).for_each(|_| self.ctx.reply_with_error(error));
        true
    }

    /// One element is written, which has `elements` of its own.
    fn wrote(&self, elements: usize) {
        #[cfg(feature = "faults")]
        crate::server::faults::point();
        let owed = self.owed.get().unwrap_or(1);
        self.owed.set(Some(owed.saturating_sub(1).saturating_add(elements)));
    }

    /// A map of `fields` fields: each a [`Reply::text`] and a value.
    pub fn map(&self, fields: usize) {
        self.wrote(fields.saturating_mul(2));
        self.ctx.reply_with_map(fields);
    }

    /// An array.
    pub fn array(&self, elements: usize) {
        self.wrote(elements);
        self.ctx.reply_with_array(elements);
    }

    /// A string.
    pub fn text(&self, text: &str) {
        self.wrote(0);
        self.ctx.reply_with_text(text);
    }

    /// An integer.
    pub fn number(&self, number: i64) {
        self.wrote(0);
        self.ctx.reply_with_integer(number);
    }

    /// The score of a sorted set's member: an integer if it is one.
    pub fn score(&self, score: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "it is an integer within 2^53")]
        if score.fract() == 0.0 && score.abs() <= 9_007_199_254_740_992.0 {
            self.number(score as i64);
        } else {
            self.wrote(0);
            self.ctx.reply_with_double(score);
        }
    }

    /// Nothing known.
    pub fn null(&self) {
        self.wrote(0);
        self.ctx.reply_with_null();
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

    /// A sku's reserved counter beside what is held, and its `stray` units, if there are any.
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
    pub fn done(&self) -> Result<RedisValue, Refusal> {
        Ok(RedisValue::NoReply)
    }
}
